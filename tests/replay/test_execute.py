"""Recorded actions executed again: nothing differs, or the first turn that does is named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from recorded import Ledger, one, record

import arena
from arena.core import registry
from arena.core.episode import Episode, TextPart
from arena.core.errors import InfrastructureError, UnknownName
from arena.core.outcome import Outcome
from arena.core.task import Suite
from arena.evaluation import EvalConfig, evaluate, evaluate_async
from arena.evaluation.evaluate import in_any_thread
from arena.replay import Execution, execute_all

NATIVE = sorted(id for id, known in registry.environments().items() if id.startswith("arena/") and not known.extra)


@pytest.fixture(autouse=True)
def _unchanged():
    yield
    Ledger.changed = ""


def again(*episodes: Episode) -> list[Execution]:
    return asyncio.run(execute_all(episodes))


def lost(executions: Iterable[Execution]) -> list[str]:
    return [f"{e.key.task}: {e.divergence}" for e in executions if e.divergence is not None]


@pytest.mark.parametrize("env", NATIVE)
def test_a_thousand_episodes_come_out_the_same(env, tmp_path):
    """With the eight others: 1,000 episodes of every environment that needs no extra, half of them by the oracle."""
    n = -(-1000 // (2 * len(NATIVE)))
    for agent in ("random", "oracle"):
        run = evaluate(env, agent, tasks=n, out=tmp_path / agent).run
        executions = again(*run.episodes())
        assert lost(executions) == []
        assert [e.skipped for e in executions] == [None] * n
        assert sum(e.turns for e in executions) == sum(row.turns for row in run.rows())


def test_textworld_comes_out_the_same(require, tmp_path):
    """Both agents in one game of each kind; two worker processes, one to record and one to execute."""
    require("textworld")
    names = [id for id, known in registry.environments().items() if id.startswith("arena/") and known.extra == "text"]
    suite = Suite("textworld", tuple(task for env in names for task in registry.tasks(env, "eval", 1)))
    episodes = []
    for agent in ("random", "oracle"):
        config = EvalConfig(target="textworld", agent=agent, workers=1)
        episodes += in_any_thread(evaluate_async(config, out=tmp_path / agent, suite=suite)).run.episodes()
    executions = again(*episodes)
    assert len(executions) == 2 * len(names) > 0
    assert lost(executions) == []
    assert [e.turns for e in executions] == [len(episode.turns) for episode in episodes]


def test_episodes_that_a_limit_ended_are_graded_again(tmp_path):
    run = evaluate("arena/KeyDoor-v0", "random", tasks=3, max_turns=4, out=tmp_path / "run").run
    assert {row.limit for row in run.rows()} == {"turns"}
    assert lost(again(*run.episodes())) == []


def altered(episode: Episode, turn: int, **fields: Any) -> Episode:
    """The episode with something else in one of its turns."""
    turns = list(episode.turns)
    turns[turn] = turns[turn].model_copy(update=fields)
    return episode.model_copy(update={"turns": tuple(turns)})


ALTERATIONS: dict[str, Callable[[Episode], Episode]] = {
    "text": lambda e: altered(e, 8, observation=(TextPart(text="page 8, torn"),)),
    "state_key": lambda e: altered(e, 8, state_key="elsewhere"),
    "reward": lambda e: altered(e, 7, reward=9.0),
    "valid": lambda e: altered(e, 7, valid=False),
    "terminated": lambda e: altered(e, 7, terminated=True),
    "truncated": lambda e: altered(e, 7, truncated=True),
}


@pytest.mark.parametrize("field", ALTERATIONS)
def test_what_was_altered_at_turn_7_is_reported_at_turn_7(field, tmp_path):
    [execution] = again(ALTERATIONS[field](one("recorded/Ledger-v0", tmp_path / "run")))
    assert execution.divergence is not None
    assert (execution.divergence.turn, execution.divergence.field) == (7, field)
    assert execution.divergence.expected != execution.divergence.found


@pytest.mark.parametrize(("field", "value"), [("score", 1.0), ("success", False)])
def test_another_grade_is_reported_at_the_turn_that_was_graded(field, value, tmp_path):
    episode = one("recorded/Ledger-v0", tmp_path / "run", params={"length": 8})
    [execution] = again(episode.model_copy(update={field: value}))
    assert execution.divergence is not None
    assert (execution.divergence.turn, execution.divergence.field) == (7, field)


def test_another_reset_is_reported_before_the_first_turn(tmp_path):
    episode = one("recorded/Ledger-v0", tmp_path / "run")
    [execution] = again(episode.model_copy(update={"instance": "another"}))
    assert str(execution.divergence) == "at reset: instance was 'another' and is now '1'"


def test_an_environment_that_raises_is_reported_with_its_error(tmp_path):
    episode = one("recorded/Ledger-v0", tmp_path / "run")
    Ledger.changed = "raises"
    [execution] = again(episode)
    assert execution.divergence is not None
    assert (execution.divergence.turn, execution.divergence.field) == (7, "error")
    assert "the ink ran dry" in execution.divergence.found


def test_an_episode_that_ended_with_that_error_comes_out_the_same_before_it(tmp_path):
    Ledger.changed = "raises"
    episode = one("recorded/Ledger-v0", tmp_path / "run")
    assert (episode.outcome, len(episode.turns)) == (Outcome.ENVIRONMENT_ERROR, 7)
    assert lost(again(episode)) == []


def test_what_is_declared_volatile_may_differ_and_nothing_else(tmp_path):
    declared, undeclared = (one(f"recorded/{n}-v0", tmp_path / n) for n in ("Clock", "ClockUndeclared"))
    one_more = altered(declared, 8, observation=(TextPart(text="page 8, torn after 8 ms"),))
    same, other, torn = again(declared, undeclared, one_more)
    assert same.divergence is None
    assert (other.divergence.turn, other.divergence.field) == (0, "text")
    assert (torn.divergence.turn, torn.divergence.field) == (7, "text")


def test_what_cannot_be_replayed_is_skipped_with_the_declared_reason(tmp_path):
    [execution] = again(one("recorded/Live-v0", tmp_path / "run"))
    assert (execution.skipped, execution.turns, execution.divergence) == ("it asks a live server", 0, None)


def test_an_environment_that_is_gone_is_named(tmp_path):
    arena.register("recorded/Gone-v0", "recorded:Ledger")
    episode = one("recorded/Gone-v0", tmp_path / "run")
    del registry._environments["recorded/Gone-v0"]
    with pytest.raises(UnknownName, match=r"recorded/Gone-v0"):
        again(episode)


def test_a_worker_that_dies_is_not_called_a_divergence(tmp_path):
    arena.register("recorded/Killed-v0", "recorded:Ledger")
    episode = one("recorded/Killed-v0", tmp_path / "run")
    arena.register("recorded/Killed-v0", "os:_exit", execution="process")
    with pytest.raises(InfrastructureError, match="worker process"):
        again(episode.model_copy(update={"task": episode.task.model_copy(update={"params": {"status": 3}})}))


def test_results_come_in_the_order_of_the_episodes(tmp_path):
    episodes = list(record("arena/GuessNumber-v0", tmp_path / "run", "random", n=12).episodes())
    assert [e.key for e in asyncio.run(execute_all(episodes, concurrency=5))] == [e.key for e in episodes]
