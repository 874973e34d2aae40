"""Making tasks from a package: what a run that was stopped leaves is gone on with, wherever it was made."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from arena.core.errors import UsageError
from arena.environments.swe import _manifest
from arena.environments.swe._trees import apply_edits
from arena.environments.swe.making import make_tasks
from arena.sandboxes import Bubblewrap


def made(folder, package, count):
    """The package's tasks after a run that goes on with what `package` holds."""
    _manifest.save(package, folder / "tiny.json")
    return asyncio.run(make_tasks("tiny==1.0", count, Bubblewrap, out=folder))


@pytest.fixture(scope="module")
def two(require, tiny, tmp_path_factory):
    """Two tasks of the tiny package, made at once."""
    require("bwrap")
    bare = replace(tiny.case.package, tests={}, tasks=())
    return made(tmp_path_factory.mktemp("made"), bare, 2)


def test_tasks_are_bugs_that_some_tests_notice(two, tiny):
    """Tasks without a failing test, or without a passing one, would decide nothing."""
    assert [task.id for task in two.tasks] == ["tiny-000", "tiny-001"]
    assert set(two.test_ids) == set(tiny.case.package.test_ids)
    for task in two.tasks:
        assert 0 < len(task.fail_to_pass) < len(two.test_ids)
        assert apply_edits(tiny.case.original, task.edits) != tiny.case.original


def test_a_run_that_was_stopped_makes_what_one_at_once_makes(two, tmp_path):
    """Neither the same bug twice nor another in its place, in another folder as well; and no number is given twice."""
    first, second = two.tasks
    before = replace(first, id="tiny-006")
    assert made(tmp_path, replace(two, tasks=(before,)), 2).tasks == (before, replace(second, id="tiny-007"))


def test_a_manifest_whose_tests_do_not_pass_here_is_not_gone_on_with(two, tmp_path):
    """Every bug would seem to break them."""
    other = replace(two, tests={"tests/test_tiny.py": ("test_of_another_machine",)}, tasks=())
    with pytest.raises(UsageError, match=r"counts on tests/test_tiny\.py::test_of_another_machine"):
        made(tmp_path, other, 1)
