"""The rotation must leave nothing out and must be repeatable, or a large suite would rot unseen."""

from __future__ import annotations

import pytest
from rotation import rotating


def test_ten_rotations_cover_every_item_once(monkeypatch):
    monkeypatch.delenv("ARENA_FULL", raising=False)
    seen = []
    for number in range(700, 710):
        monkeypatch.setenv("ARENA_ROTATION", str(number))
        assert rotating(range(95)) == rotating(range(95))
        seen += rotating(range(95))
    assert sorted(seen) == list(range(95))


@pytest.mark.parametrize("count", [1, 3, 9])
def test_short_lists_always_run_something(monkeypatch, count):
    monkeypatch.delenv("ARENA_FULL", raising=False)
    for number in range(10):
        monkeypatch.setenv("ARENA_ROTATION", str(number))
        assert len(rotating(range(count))) == 1


def test_full_runs_everything(monkeypatch):
    monkeypatch.setenv("ARENA_FULL", "1")
    assert rotating("abcdefghijklmnopqrstuvwxyz") == list("abcdefghijklmnopqrstuvwxyz")


def test_a_prerequisite_that_is_here_does_not_skip(require):
    require("python3")


def test_a_missing_prerequisite_fails_only_where_it_is_insisted_on(require, monkeypatch):
    monkeypatch.delenv("ARENA_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no_such_program"):
        require("no_such_program")
    monkeypatch.setenv("ARENA_REQUIRE", "all")
    with pytest.raises(pytest.fail.Exception, match="ARENA_REQUIRE"):
        require("no_such_program")
