"""Tasks that live in images: rows as SWE-bench and SWE-smith publish them, and SWE-bench 5's task repositories.

A row is a JSON object in a `.json` list, a line of a `.jsonl`, or a row of a `.parquet`; `FAIL_TO_PASS` and
`PASS_TO_PASS` may be lists or lists written as JSON. In SWE-smith's rows, known by their `image_name`, `patch` brings
the bug in, and taking it back is the solution; everywhere else it is the solution.

A task repository is a folder with `sweb.yaml` and `tasks/<id>/` (`swebench.task.repo` of swebench 5.0.2).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from arena.core.errors import MissingPrerequisite, UsageError
from arena.environments.swe._trees import SUFFIXES, TEST_FILE

__all__ = ["FILES", "Instance", "files_of", "is_repository", "read_instances"]

FILES = {"eval_script": "eval.sh", "patch": "gold.patch", "test_patch": "test.patch"}
"""Columns that have a file of their own in a task repository."""
STATEMENT, HINTS, TESTS = "problem_statement.md", "hints.md", "tests.json"
WORKDIR = "/testbed"
"""Where the images of SWE-bench and SWE-smith have the repository."""
HOOKS = {"conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", "tox.ini", "sitecustomize.py", "usercustomize.py"}
"""Files that change what tests say, wherever they lie."""
INSTALL = 'pip install "arena-gym[swe]"'
INSTALL_PARQUET = "pip install pyarrow"


@dataclass(frozen=True)
class Instance:
    """A task whose repository is in an image.

    Attributes:
        id: `instance_id`.
        base_commit: what the tests' files are taken back to.
        images: the names its image may have, the likeliest first.
        statement: what the agent is told.
        solution: a diff that solves it; empty where taking back `bug` does.
        bug: a diff that brings the bug in; empty where the image has it.
        test_patch: a diff that brings the deciding tests in.
        eval_script: what runs the tests, between SWE-bench's two marks; empty where we write one for pytest.
        log_parser: who reads what it prints, by SWE-bench's name.
        fail_only: only tests that are told to fail count (SWE-bench's `eval_type` of that name).
        build: the folder with its Dockerfile; None without one.
        dockerfile: its text, where there is no folder.
    """

    id: str
    repo: str
    version: str
    base_commit: str
    images: tuple[str, ...]
    statement: str
    solution: str
    fail_to_pass: tuple[str, ...]
    pass_to_pass: tuple[str, ...]
    bug: str = ""
    test_patch: str = ""
    eval_script: str = ""
    log_parser: str = "parse_log_pytest_v2"
    fail_only: bool = False
    build: Path | None = None
    dockerfile: str = ""

    def is_protected(self, path: str) -> bool:
        """Whether an agent's change of a file does not count: configuration of tests, and the files that decide.

        What the solution changes does count, wherever it lies: packages that test others keep their code in `test`.
        """
        if path in files_of(self.solution) | files_of(self.bug):
            return False
        deciding = files_of(self.test_patch) | {test.partition("::")[0] for test in self.fail_to_pass}
        name = path.rpartition("/")[2].lower()
        return path in deciding or name in HOOKS or name.endswith(SUFFIXES) or TEST_FILE.fullmatch(name) is not None


def files_of(diff: str) -> set[str]:
    """The files that a unified diff changes."""
    return {line[6:].rstrip() for line in diff.splitlines() if line.startswith(("--- a/", "+++ b/"))}


def is_repository(path: Path) -> bool:
    """Whether a folder is a task repository."""
    return (path / "tasks").is_dir() and any((path / "tasks").glob("*/task.yaml"))


@cache
def read_instances(path: Path) -> Mapping[str, Instance]:
    """The tasks of a file of rows or of a task repository: id -> task.

    Raises:
        UsageError: it cannot be read, or a row lacks what a task needs.
        MissingPrerequisite: a format that takes a package that is not installed.
    """
    found: dict[str, Instance] = {}
    rows = _repository(path) if path.is_dir() else _rows(path)
    for number, row in enumerate(rows):
        try:
            instance = _instance(row)
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"Row {number} of {path} cannot be read as a task: {type(error).__name__}: {error}"
            ) from error
        found[instance.id] = instance
    if not found:
        raise UsageError(f"There is no task in {path}.")
    return found


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        if path.suffix == ".jsonl":
            yield from (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        elif path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            yield from content.values() if isinstance(content, dict) else content
        elif path.suffix == ".parquet":
            yield from _parquet(path)
        else:
            raise UsageError(f"{path} is no list of tasks: .json, .jsonl and .parquet are read, and task repositories.")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingPrerequisite("Reading .parquet takes pyarrow.", INSTALL_PARQUET) from None
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=64):
            yield from batch.to_pylist()


def _repository(path: Path) -> Iterator[dict[str, Any]]:
    try:
        import yaml
    except ImportError:
        raise MissingPrerequisite("Task repositories need PyYAML.", INSTALL) from None
    for about in sorted((path / "tasks").glob("*/task.yaml")):
        folder = about.parent
        try:
            row: dict[str, Any] = yaml.safe_load(about.read_text(encoding="utf-8"))
            row |= json.loads((folder / TESTS).read_text(encoding="utf-8"))
            row["problem_statement"] = (folder / STATEMENT).read_text(encoding="utf-8")
            for column, name in FILES.items():
                with (folder / name).open(encoding="utf-8", newline="") as file:
                    row[column] = file.read()
        except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
            raise UsageError(f"The task {folder} cannot be read: {error}") from error
        yield {**row, "build": folder if (folder / "Dockerfile").is_file() else None}


def _instance(row: dict[str, Any]) -> Instance:
    id = str(row["instance_id"])
    smith = "image_name" in row
    patch = str(row["patch"])
    failing, passing = (_tests(row[key]) for key in ("FAIL_TO_PASS", "PASS_TO_PASS"))
    if not failing:
        raise ValueError(f"{id} has no FAIL_TO_PASS, so nothing decides it")
    return Instance(
        id=id,
        repo=str(row["repo"]),
        version=str(row.get("version") or ""),
        base_commit=str(row.get("base_commit") or "HEAD"),
        images=_images(id, row),
        statement=str(row.get("problem_statement") or "").strip() or _unsaid(failing),
        solution="" if smith else patch,
        fail_to_pass=failing,
        pass_to_pass=passing,
        bug=patch if smith else "",
        test_patch=str(row.get("test_patch") or ""),
        eval_script=str(row.get("eval_script") or ""),
        log_parser=str(row.get("log_parser") or "parse_log_pytest_v2"),
        fail_only=row.get("eval_type") == "fail_only",
        build=row.get("build"),
        dockerfile=str(row.get("dockerfile") or ""),
    )


def _tests(value: Any) -> tuple[str, ...]:
    return tuple(str(test) for test in (json.loads(value) if isinstance(value, str) else value))


def _images(id: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    """The image that a row names, and those that SWE-bench's harness looks for."""
    named = [str(row[key]) for key in ("image", "image_name", "docker_image") if row.get(key)]
    local = f"sweb.eval.x86_64.{id}:latest".lower()
    return tuple(dict.fromkeys([*named, local, f"swebench/{local}".replace("__", "_1776_")]))


def _unsaid(failing: tuple[str, ...]) -> str:
    """SWE-smith's rows may come without a statement."""
    return f"{len(failing)} of the repository's tests fail. Find the cause in its code and repair it."
