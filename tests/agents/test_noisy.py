"""The noisy agent: another's actions, with slips."""

from __future__ import annotations

import asyncio

import pytest

from arena.agents import build
from arena.core.agent import Brief
from arena.core.errors import UsageError
from arena.core.observation import Observation
from arena.evaluation import evaluate


def brief() -> Brief:
    async def legal():
        return ("a", "b")

    async def solution():
        return "right"

    return Brief("Rules.", legal_actions=legal, oracle=solution)


def played(spec: str, seed: int, turns: int = 400) -> list[str]:
    async def episode():
        session = build(spec).start(brief(), seed)
        return [(await session.act(Observation("here"))).text for _ in range(turns)]

    return asyncio.run(episode())


def test_slips_come_as_often_as_told_and_from_the_seed_alone():
    """The stated quality of a data set would be another, or a collection could not be completed."""
    actions = played("noisy:epsilon=0.25", 3)
    assert actions == played("noisy:epsilon=0.25", 3)
    assert actions != played("noisy:epsilon=0.25", 4)
    assert 70 < sum(action != "right" for action in actions) < 130
    assert set(played("noisy:epsilon=0.0", 0)) == {"right"}
    assert set(played("noisy:epsilon=1.0", 0)) == {"a", "b"}


def test_the_oracle_mends_slips(tmp_path):
    """An oracle that plays a fixed list would go on as if nothing had happened."""
    summary = evaluate("arena/KeyDoor-v0", "noisy:epsilon=0.2", tasks=20, out=tmp_path / "run", max_turns=60).summary
    assert summary.overall.success.mean > 0.8


def test_an_environment_without_legal_actions_is_refused():
    with pytest.raises(UsageError, match="lists none"):
        build("noisy").start(Brief("Rules."), 0)
