"""`arena quickstart --train`, with fewer of everything."""

from __future__ import annotations

import pytest
from typed import Shell

pytest.importorskip("torch")
pytest.importorskip("transformers")

from arena.cli import _quickstart_training as quickstart


def test_it_ends_with_the_curve_before_and_after_and_what_to_type_next(arena: Shell, monkeypatch):
    """The first training that a person sees would end in a traceback, or without saying what came of it."""
    monkeypatch.setitem(quickstart.GAME, "eval_tasks", 10)
    monkeypatch.setitem(quickstart.CLONING, "epochs", 1)
    for name, value in {"steps": 2, "tasks": 2, "group_size": 2, "eval_every": 1}.items():
        monkeypatch.setitem(quickstart.LEARNING, name, value)
    said = arena("quickstart", "--train", "--out", "first")
    assert said.code == 0, said.err
    rows = [line for line in said.out.splitlines() if "after" in line or "random weights" in line]
    assert len(rows) == 3
    assert "success on mazes it was never trained on" in said.out
    assert "arena replay first/gigpo" in said.out
    assert (arena.folder / "first" / "gigpo" / "curve.png").exists()
    evaluate = next(line for line in said.out.splitlines() if "arena eval" in line)
    assert "max_turns=16" in evaluate
