"""The trees of a task: as released, broken, handed out, and graded; and what an agent may change in them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from arena.core.errors import EnvironmentFailure
from arena.environments.swe._hidden import without_functions
from arena.environments.swe._manifest import Edit, Package, SweTask
from arena.environments.swe._sources import Tree, original_tree

__all__ = [
    "Case",
    "Changes",
    "apply_edits",
    "case_of",
    "changed",
    "compare",
    "is_protected",
    "is_test",
    "patch",
    "read_tree",
]

CONFIGURATION = {
    *("conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg"),
    *("pyproject.toml", "setup.py", "sitecustomize.py", "usercustomize.py", ".coveragerc", "noxfile.py"),
}
"""Files that decide what tests are run and how, wherever they lie."""
OWN = {".git", "__pycache__", ".pytest_cache"}
"""Folders that tools make; what is in them is not worth mentioning."""
SUFFIXES = (".pth", ".pyc", ".pyo", ".so", ".pyd", ".egg-link")
"""What Python loads or obeys without its source."""
FOLDERS = {"test", "tests", *OWN, "_pytest", "pytest", "pluggy", "site-packages"}
TEST_FILE = re.compile(r"(test_.*|.*_test|tests?)\.py")


@dataclass(frozen=True)
class Case:
    """A task with its trees.

    Attributes:
        original: as released.
        broken: with the bug; what is graded is this with the agent's changes.
        handed_out: the broken one without the tests that decide.
    """

    package: Package
    task: SweTask
    original: Tree
    broken: Tree
    handed_out: Tree


@dataclass(frozen=True)
class Changes:
    """What an agent did to the tree: files with their new content, None for one that is gone.

    Attributes:
        counted: what is graded.
        ignored: tests, configuration and the like, which are graded as they were.
    """

    counted: dict[str, bytes | None]
    ignored: tuple[str, ...]


def case_of(package: Package, task: SweTask) -> Case:
    """A task with its trees.

    Raises:
        InfrastructureError: the source cannot be fetched.
        EnvironmentFailure: the manifest does not fit the source.
    """
    original = original_tree(package)
    broken = apply_edits(original, task.edits)
    return Case(package, task, original, broken, without_functions(broken, task.fail_to_pass))


def apply_edits(tree: Tree, edits: Sequence[Edit]) -> dict[str, bytes]:
    """A tree with some edits made.

    Raises:
        EnvironmentFailure: an edit does not fit.
    """
    edited = dict(tree)
    for edit in edits:
        text = edited.get(edit.file, b"").decode()
        if text.count(edit.old) != 1:
            raise EnvironmentFailure(f"{edit.file} has the text of an edit {text.count(edit.old)} times, not once.")
        edited[edit.file] = text.replace(edit.old, edit.new).encode()
    return edited


def is_test(path: str) -> bool:
    """Whether a file belongs to the tests."""
    parts = PurePosixPath(path).parts
    return bool({"test", "tests"} & set(parts[:-1])) or TEST_FILE.fullmatch(parts[-1]) is not None


def is_protected(path: str) -> bool:
    """Whether an agent's change of a file does not count: tests, configuration, compiled code, the repository's own."""
    parts = PurePosixPath(path).parts
    return (
        is_test(path)
        or parts[-1].lower() in CONFIGURATION
        or parts[-1].lower().endswith(SUFFIXES)
        or bool(FOLDERS & set(parts))
        or parts[-1].removesuffix(".py") in FOLDERS
    )


def compare(before: Tree, after: Tree, protected: Callable[[str], bool] = is_protected) -> Changes:
    """What changed from the tree that was handed out to the one that came back; what is `protected` does not count."""
    counted: dict[str, bytes | None] = {}
    ignored = []
    for path in sorted({*before, *after}):
        if before.get(path) == after.get(path):
            continue
        if not protected(path):
            counted[path] = after.get(path)
        elif not OWN & set(PurePosixPath(path).parts):
            ignored.append(path)
    return Changes(counted, tuple(ignored))


def changed(tree: Tree, changes: Changes) -> dict[str, bytes]:
    """A tree with an agent's changes made."""
    made = {path: content for path, content in tree.items() if path not in changes.counted}
    made |= {path: content for path, content in changes.counted.items() if content is not None}
    return dict(sorted(made.items()))


def read_tree(folder: Path) -> dict[str, bytes]:
    """The files under a folder that we have written ourselves: no links are followed."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def patch(before: Tree, after: Tree) -> str:
    """A unified diff that `git apply` takes; files that are no text are named only."""
    pieces = []
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        names = (f"a/{path}" if old is not None else "/dev/null", f"b/{path}" if new is not None else "/dev/null")
        try:
            before_lines, after_lines = ((side or b"").decode().splitlines(keepends=True) for side in (old, new))
        except UnicodeDecodeError:
            pieces.append(f"Binary files {names[0]} and {names[1]} differ\n")
            continue
        lines = difflib.unified_diff(before_lines, after_lines, *names)
        pieces.append(f"diff --git a/{path} b/{path}\n")
        if old is None or new is None:
            pieces.append("new file mode 100644\n" if old is None else "deleted file mode 100644\n")
        pieces += [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]
    return "".join(pieces)
