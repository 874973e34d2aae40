"""What a task is: a package by hash, a bug as edits of its files, and the tests that decide. Only this is committed.

One JSON file per package holds the tests that pass on the original and, a line each, the tasks, which name their tests
by their places in that list; the sources are fetched by hash.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from arena.core.errors import UnknownName, UsageError
from arena.core.seeds import Split

__all__ = ["Difficulty", "Edit", "Package", "SweTask", "Wheel", "load", "packages", "read", "save", "task_named"]

Difficulty = Literal["one edit", "several edits", "removed body", "removed feature"]

FOLDER = Path(__file__).with_name("manifests")
FORMAT = 2


@dataclass(frozen=True)
class Edit:
    """One place of a bug: `old` stands once in the original file, `new` once in the broken one."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Wheel:
    """A pure Python package that the tests need, by version and the sha256 of its wheel."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class SweTask:
    """A bug and the tests that fail with it; every other test of the package passes with it and without.

    Attributes:
        id: `package-number`; names the task in suites and records.
        seed: the seed its edits were drawn from.
        statement: what a user would observe.
    """

    id: str
    difficulty: Difficulty
    seed: int
    edits: tuple[Edit, ...]
    fail_to_pass: tuple[str, ...]
    statement: str


@dataclass(frozen=True)
class Package:
    """A source package and its tasks.

    Attributes:
        sha256: of the source archive.
        root: the folder that imports start from, relative to the repository; empty for the repository itself.
        split: which split its tasks belong to.
        needs: what its tests import beside pytest.
        tests: the tests that passed three times on the original, by file.
    """

    name: str
    version: str
    sha256: str
    root: str
    split: Split
    tests: Mapping[str, tuple[str, ...]]
    needs: tuple[Wheel, ...] = ()
    tasks: tuple[SweTask, ...] = field(default=())

    @property
    def test_ids(self) -> tuple[str, ...]:
        """All tests, as pytest names them."""
        return tuple(f"{file}::{name}" for file, names in self.tests.items() for name in names)

    def pass_to_pass(self, task: SweTask) -> tuple[str, ...]:
        """The tests that pass with the bug and must still pass afterwards."""
        failing = set(task.fail_to_pass)
        return tuple(test for test in self.test_ids if test not in failing)


def by_file(tests: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Test ids grouped by their file."""
    found: dict[str, list[str]] = {}
    for test in sorted(tests):
        file, _, name = test.partition("::")
        found.setdefault(file, []).append(name)
    return {file: tuple(names) for file, names in found.items()}


def read(path: Path) -> Package:
    """A package's manifest.

    Raises:
        UsageError: the file cannot be read as one.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("format") != FORMAT:
            raise UsageError(f"{path} is of another format than {FORMAT}: make its tasks again.")
        return _package(data)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(f"The task manifest {path} cannot be read: {type(error).__name__}: {error}") from error


def save(package: Package, path: Path) -> None:
    """Write a manifest; the file is replaced at once or not at all."""
    place = {test: number for number, test in enumerate(package.test_ids)}
    data = {"format": FORMAT, **asdict(package)}
    tests, tasks = data.pop("tests"), data.pop("tasks")
    for task in tasks:
        task["fail_to_pass"] = [place[test] for test in task["fail_to_pass"]]
    lines = [f"{_compact(key)}: {_compact(value)}" for key, value in data.items()]
    lines.append(
        '"tests": {\n  ' + ",\n  ".join(f"{_compact(key)}: {_compact(names)}" for key, names in tests.items()) + "\n }"
    )
    lines.append('"tasks": [\n  ' + ",\n  ".join(_compact(task) for task in tasks) + "\n ]")
    text = "{\n " + ",\n ".join(lines) + "\n}"
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)


@cache
def load(folder: Path = FOLDER) -> tuple[Package, ...]:
    """All manifests of a folder, by name.

    Raises:
        UsageError: there is none, or one cannot be read.
    """
    found = tuple(read(path) for path in sorted(folder.glob("*.json")))
    if not found:
        raise UsageError(f"There is no task manifest in {folder}. `arena swe make-tasks PACKAGE==VERSION` makes one.")
    return found


def packages(split: Split, folder: Path = FOLDER) -> Iterator[Package]:
    """The packages of a split."""
    return (package for package in load(folder) if package.split == split)


def task_named(id: str, folder: Path = FOLDER) -> tuple[Package, SweTask]:
    """A task and its package.

    Raises:
        UnknownName: there is none of this name.
    """
    known = {task.id: (package, task) for package in load(folder) for task in package.tasks}
    if id not in known:
        raise UnknownName("task", id, known)
    return known[id]


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _package(data: dict[str, Any]) -> Package:
    tests = {file: tuple(names) for file, names in data.pop("tests").items()}
    ids = [f"{file}::{name}" for file, names in tests.items() for name in names]
    tasks = tuple(
        SweTask(
            **{
                **task,
                "edits": tuple(Edit(**edit) for edit in task["edits"]),
                "fail_to_pass": tuple(ids[place] for place in task["fail_to_pass"]),
            }
        )
        for task in data.pop("tasks")
    )
    needs = tuple(Wheel(**wheel) for wheel in data.pop("needs"))
    return Package(**data, tests=tests, needs=needs, tasks=tasks)
