"""Students: tiny models made for one game."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from arena.agents.models.local import LocalModel
from arena.core.errors import UsageError
from arena.trainers._student import build_student, spoken


def test_every_action_of_the_game_is_one_token(tmp_path):
    """An answer of one token would be half an action, and nothing could ever be done."""
    folder = build_student(tmp_path / "student", "arena/KeyDoor-v0", {"length": 2, "keys": 2})
    tokenizer = LocalModel(str(folder)).load().tokenizer
    texts, actions = spoken("arena/KeyDoor-v0", {"length": 2, "keys": 2}, 8)
    assert {"go north", "open door", "take red key"} <= set(actions)
    assert {len(tokenizer.encode(action, add_special_tokens=False)) for action in actions} == {1}
    assert max(len(tokenizer.encode(text, add_special_tokens=False)) for text in texts) <= 20


def test_a_vocabulary_that_is_too_small_is_said(tmp_path):
    """Training would run for hours with a model that cannot say a single action."""
    with pytest.raises(UsageError, match=r"The action 'move \w+' is \d+ tokens.*more vocabulary"):
        build_student(tmp_path / "student", "arena/Maze-v0", {"size": 4}, episodes=4, vocabulary=280)
