"""What the agent is told: what somebody would see go wrong, and never where."""

from __future__ import annotations

import re

import pytest

from arena.environments.swe import _manifest
from arena.environments.swe._bugs import ASIDE
from arena.environments.swe._sources import original_tree
from arena.environments.swe._statements import observation, statement
from arena.environments.swe._trees import is_protected, is_test

PACKAGES = _manifest.load()
CHAINED = """\
/repo/tiny/scale.py:7: in scaled
    return value / by
E   ZeroDivisionError: division by zero

The above exception was the direct cause of the following exception:
tests/test_tiny.py:21: in test_scaled
    assert tiny.scaled(1, 0) == 0
tiny/scale.py:9: in scaled
    raise TooSmall(by) from error
E   tiny.TooSmall: <tests.test_tiny.test_scaled.<locals>.Zero object at 0x7f0012345678>
"""


def test_where_one_error_came_of_another_the_place_in_the_package_is_not_told():
    """The first frame of such a traceback is the line with the bug."""
    assert observation(CHAINED) == (
        "> assert tiny.scaled(1, 0) == 0\nZeroDivisionError: division by zero\ntiny.TooSmall: <Zero object>"
    )


def test_the_same_is_told_once_and_no_more_than_three():
    texts = {f"t{number}": f"tests/test_x.py:{number}: in t\n    f({number % 4})\nE   x" for number in range(9)}
    assert re.findall(r"f\(\d\)", statement("tiny", 9, texts)) == ["f(0)", "f(1)", "f(2)"]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_no_shipped_task_says_where_its_bug_is(package):
    """It would be given away; and a statement without any value would not say what is wrong."""
    for task in package.tasks:
        changed = {line.strip() for edit in task.edits for line in (*edit.old.splitlines(), *edit.new.splitlines())}
        told = {line.removeprefix("> ").strip() for line in task.statement.splitlines()}
        assert not {line for line in changed & told if len(line) > 10}, task.id
        assert not re.search(r"\w\.py\b|line \d|<locals>| at 0x", task.statement), task.id
        blocks = re.findall(r"```\n(.*?)```", task.statement, re.DOTALL)
        said = {"\n".join(line for line in block.splitlines() if not line.startswith("> ")) for block in blocks}
        assert said - {"AssertionError"}, task.id


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_what_is_quoted_stands_in_the_tests_and_the_bug_in_the_package(require, package):
    """A quoted line of the package is the way to the bug, and code beside the package is nobody's to repair."""
    require("swe")
    tests = [text.decode("latin-1") for file, text in original_tree(package).items() if is_test(file)]
    lines = {line.strip() for text in tests for line in text.split("\n")}
    for task in package.tasks:
        quoted = {line.encode().decode("latin-1") for line in re.findall(r"(?m)^> (.*)$", task.statement)}
        assert quoted <= lines, task.id
        for edit in task.edits:
            assert not is_protected(edit.file), task.id
            assert edit.file.startswith(package.root), task.id
            assert edit.file.partition("/")[0] not in ASIDE, task.id
