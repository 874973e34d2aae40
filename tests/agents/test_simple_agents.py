"""The agents without a model: random, oracle, idle, scripted, replaying."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

from arena.agents import build
from arena.agents.replaying import ReplayingAgent
from arena.agents.scripted import ScriptedAgent
from arena.core.agent import Brief
from arena.core.episode import Episode, Key, TaskRecord, TextPart, Turn
from arena.core.errors import BadSpec, EpisodeStopped, UsageError
from arena.core.observation import Observation
from arena.core.outcome import Outcome

SEEN = Observation("here")


def actions(session, turns: int) -> list[str]:
    async def episode():
        return [(await session.act(SEEN)).text for _ in range(turns)]

    return asyncio.run(episode())


def listing(*legal: str) -> Brief:
    async def now():
        return legal

    return Brief("Rules.", legal_actions=now)


def test_random_is_uniform_and_depends_on_its_seed_only():
    """Two episodes in turns would change each other, or some action would be played more than others."""
    agent = build("random")
    brief = listing("a", "b", "c")
    alone = actions(agent.start(brief, 7), 60)
    first, second = agent.start(brief, 7), agent.start(brief, 8)

    async def in_turns():
        mine = []
        for _ in range(60):
            mine.append((await first.act(SEEN)).text)
            await second.act(SEEN)
        return mine

    assert asyncio.run(in_turns()) == alone
    assert actions(agent.start(brief, 8), 60) != alone
    counts = Counter(actions(agent.start(brief, 0), 3000))
    assert set(counts) == {"a", "b", "c"}
    assert all(900 < count < 1100 for count in counts.values())


def test_random_asks_for_the_legal_actions_of_the_moment():
    """An action that was legal a turn ago would be played."""
    turn = iter([["a"], ["b"]])

    async def now():
        return next(turn)

    assert actions(build("random").start(Brief("Rules.", legal_actions=now), 0), 2) == ["a", "b"]


def test_random_and_oracle_need_the_environments_help():
    """The episode would fail later, and not say why."""
    with pytest.raises(UsageError, match="lists none"):
        build("random").start(Brief("Rules."), 0)
    with pytest.raises(UsageError, match="has none"):
        build("oracle").start(Brief("Rules."), 0)


def test_oracle_plays_what_the_environment_says():
    """The ceiling would not be the environment's own."""
    solution = iter("xyz")

    async def now():
        return next(solution)

    session = build("oracle").start(Brief("Rules.", oracle=now), 0)
    session.take(SEEN, "w")
    assert actions(session, 3) == ["x", "y", "z"]
    session.end(SEEN, Outcome.SUCCESS)


def test_idle_does_nothing():
    """The floor would do something."""
    assert actions(build("idle").start(Brief("Rules.", idle="wait"), 0), 2) == ["wait", "wait"]


def test_scripted_plays_its_list_and_then_idles(tmp_path):
    """A list in Python, as text and in a file would play differently."""
    listed = ["look", "go north, slowly", "«»"]
    file = tmp_path / "actions.json"
    file.write_text(json.dumps(listed, ensure_ascii=False), encoding="utf-8")
    for agent in (
        ScriptedAgent(actions=listed),
        build(f"scripted:actions={file}"),
        build(f"scripted:actions={json.dumps(listed)}"),
    ):
        assert agent.spec == 'scripted:actions=["look", "go north, slowly", "«»"]'
        session = agent.start(Brief("Rules.", idle="wait"), 0)
        session.take(SEEN, "jump")
        assert actions(session, 4) == [*listed[1:], "wait", "wait"]
    assert actions(build("scripted:text=look").start(Brief("Rules.", idle="wait"), 0), 3) == ["look"] * 3


@pytest.mark.parametrize("content", ['{"a": 1}', "[1]", "look", "[", '"look"'])
def test_a_file_that_is_no_list_of_actions_is_refused(tmp_path, content):
    """The first turn would fail, or each letter be an action."""
    file = tmp_path / "actions.json"
    file.write_text(content)
    for name in ("scripted", "replaying"):
        with pytest.raises(BadSpec, match=r"list of (actions|strings)"):
            build(f"{name}:actions={file}")


def recorded(*played: tuple[str, str]) -> Episode:
    turns = [
        Turn(index=n, player=player, observation=(TextPart(text="here"),), action=action)
        for n, (player, action) in enumerate(played)
    ]
    return Episode(
        key=Key(task="t"),
        task=TaskRecord(env="e", seed=1),
        seed=0,
        agents={"agent": "chat"},
        turns=tuple(turns),
        outcome=Outcome.FAILURE,
    )


def test_replaying_plays_one_players_part_and_stops_where_it_ends():
    """A replay would play another player's moves, or make up actions that were never recorded."""
    episode = recorded(("noughts", "a"), ("crosses", "b"), ("noughts", "c, d"))
    agent = ReplayingAgent.of(episode, "noughts")
    assert agent.spec == 'replaying:actions=["a", "c, d"]'
    for replaying in (agent, build(agent.spec)):
        session = replaying.start(Brief("Rules."), 0)
        assert actions(session, 2) == ["a", "c, d"]
        with pytest.raises(EpisodeStopped, match="ends after 2 actions"):
            actions(session, 1)
    session = ReplayingAgent.of(episode, "noughts").start(Brief("Rules."), 0)
    session.take(SEEN, "a")
    assert actions(session, 1) == ["c, d"]
