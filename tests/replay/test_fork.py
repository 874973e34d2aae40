"""Branches of recorded episodes: they begin as their parent did, end by another's hand, and can be executed again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recorded import Ledger, record

from arena.agents.human import HumanAgent
from arena.core.episode import Episode, ImagePart
from arena.core.errors import UsageError
from arena.core.outcome import Outcome
from arena.core.task import Suite
from arena.evaluation import EvalConfig, Evaluation, Made, evaluate, evaluate_async
from arena.evaluation.evaluate import in_any_thread
from arena.records import Run
from arena.replay import execute_all, fork_job


@pytest.fixture(autouse=True)
def _unchanged():
    yield
    Ledger.changed = ""


def random_run(folder: Path, env: str = "arena/KeyDoor-v0", **options: Any) -> Run:
    return evaluate(env, "random", tasks=1, out=folder, **options).run


def branch(run: Run, folder: Path, turn: int, agent: str, made: Made | None = None, **options: Any) -> Evaluation:
    """The first episode of a run, continued from a turn by another agent."""
    parent = run.episode(0)
    config = EvalConfig.read({"target": parent.task.env, "agent": agent, "concurrency": 1, "retries": 0, **options})
    suite = Suite(parent.task.env, (parent.task.task,))
    jobs = [fork_job(run, parent, turn)]
    return in_any_thread(evaluate_async(config, out=folder, suite=suite, jobs=jobs, made=made))


def assert_branch(episode: Episode, run: Run, turn: int, by: str = "replay") -> None:
    """It names its parent, begins as its parent did, and comes out the same when it is executed again."""
    parent = run.episode(0)
    assert episode.failure is None
    assert episode.parent is not None
    assert (episode.parent.run, episode.parent.key) == (run.name, parent.key)
    assert (episode.parent.turn, episode.parent.by) == (turn, by)
    assert [t.forced for t in episode.turns] == [True] * turn + [False] * (len(episode.turns) - turn)
    seen = [(t.text, t.action, t.reward, t.state_key) for t in episode.turns]
    assert seen[:turn] == [(t.text, t.action, t.reward, t.state_key) for t in parent.turns[:turn]]
    assert episode.turns[turn].text == parent.turns[turn].text
    [execution] = asyncio.run(execute_all([episode]))
    assert (execution.divergence, execution.turns) == (None, len(episode.turns))


@pytest.mark.parametrize("snapshots", [False, True])
def test_the_oracle_rescues_a_random_episode(snapshots, tmp_path):
    run = random_run(tmp_path / "parent", snapshots=snapshots)
    assert run.episode(0).outcome is not Outcome.SUCCESS
    episode = branch(run, tmp_path / "branch", 3, "oracle").run.episode(0)
    assert_branch(episode, run, 3, by="snapshot" if snapshots else "replay")
    assert (episode.outcome, episode.score) == (Outcome.SUCCESS, 1.0)


def test_a_scripted_model_goes_on(tmp_path):
    run = random_run(tmp_path / "parent")
    episode = branch(run, tmp_path / "branch", 3, "chat", model="scripted:replies=look").run.episode(0)
    assert_branch(episode, run, 3)
    assert {turn.action for turn in episode.turns[3:]} == {"look"}
    told = [message.text for message in episode.prompt(episode.turns[3].calls[0])]
    for turn in episode.turns[:3]:
        assert any(turn.text in text for text in told)
        assert turn.action in told, "the turns before the fork are the agent's own history"


def test_a_local_model_goes_on(tiny_model, tmp_path):
    run = random_run(tmp_path / "parent", "arena/GuessNumber-v0")
    episode = branch(run, tmp_path / "branch", 3, "chat:max_tokens=4", model=f"hf:{tiny_model}").run.episode(0)
    assert_branch(episode, run, 3)
    assert all(turn.calls[0].token_ids for turn in episode.turns[3:])


def test_a_person_goes_on(tmp_path):
    run = random_run(tmp_path / "parent", "arena/GuessNumber-v0")
    lines: Iterator[str] = iter(["?", "7", "11"])
    shown: list[str] = []

    def read(prompt: str) -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    made = Made(HumanAgent(read=read, write=shown.append))
    episode = branch(run, tmp_path / "branch", 3, "human", made=made).run.episode(0)
    assert_branch(episode, run, 3)
    assert [turn.action for turn in episode.turns[3:]] == ["7", "11"]
    assert (episode.outcome, episode.score) == (Outcome.CANCELLED, None)
    for turn in run.episode(0).turns[:3]:
        assert any(turn.text in text for text in shown), "a person sees what was played before"


@pytest.mark.parametrize("agent", ["random", "chat"])
@pytest.mark.parametrize(
    "env", ["arena/KeyDoor-v0", "arena/GuessNumber-v0", "arena/LightsOut-v0", "arena/NoughtsAndCrosses-v0"]
)
def test_by_snapshot_and_by_replay_give_the_same_continuation(env, agent, tmp_path):
    run = random_run(tmp_path / "parent", env, snapshots=True)
    bare = random_run(tmp_path / "bare", env)
    model = "scripted:echo" if agent == "chat" else None
    ends = [
        branch(parent, tmp_path / f"branch-{n}", 2, agent, model=model).run.episode(0)
        for n, parent in enumerate((run, bare))
    ]
    assert [episode.parent.by for episode in ends] == ["snapshot", "replay"]

    def told(episode: Episode) -> list[Any]:
        turns = [t.model_dump(exclude={"timing", "snapshot", "calls"}) for t in episode.turns]
        return [turns, episode.messages, episode.final_observation, episode.outcome, episode.score, episode.scores]

    assert told(ends[0]) == told(ends[1])


def test_every_turn_can_be_the_start_of_a_branch_and_no_other(tmp_path):
    run = random_run(tmp_path / "parent", "arena/GuessNumber-v0")
    parent = run.episode(0)
    for turn in range(len(parent.turns)):
        episode = branch(run, tmp_path / f"at-{turn}", turn, "oracle").run.episode(0)
        assert_branch(episode, run, turn)
    with pytest.raises(UsageError, match=f"turns 0 to {len(parent.turns) - 1}, not at {len(parent.turns)}"):
        fork_job(run, parent, len(parent.turns))


def test_an_episode_that_a_limit_ended_goes_on_from_its_end(tmp_path):
    run = random_run(tmp_path / "parent", max_turns=5)
    parent = run.episode(0)
    assert parent.limit == "turns"
    job = fork_job(run, parent, 5)
    assert len(job.prefix.turns) == 5
    assert job.prefix.observations[-1].text == parent.final_observation[0].text


def test_images_before_the_fork_are_kept_in_the_new_run(tmp_path):
    for snapshots in (False, True):
        run = random_run(tmp_path / f"parent-{snapshots}", "arena/LightsOut-v0", snapshots=snapshots)
        forked = branch(run, tmp_path / f"branch-{snapshots}", 3, "oracle").run
        images = [part for turn in forked.episode(0).turns for part in turn.observation if isinstance(part, ImagePart)]
        assert len(images) == len(forked.episode(0).turns) > 3
        assert all(forked.blob(image).startswith(b"\x89PNG") for image in images)


def test_an_image_reaches_the_agent_that_takes_over_by_snapshot(tmp_path):
    run = random_run(tmp_path / "parent", "arena/LightsOut-v0", snapshots=True)
    episode = branch(run, tmp_path / "branch", 3, "chat", model="scripted:echo").run.episode(0)
    told = [part for message in episode.prompt(episode.turns[3].calls[0]) for part in message.parts]
    assert sum(part.type == "image" for part in told) == 4


def test_a_branch_can_be_branched(tmp_path):
    run = random_run(tmp_path / "parent", snapshots=True)
    first = branch(run, tmp_path / "first", 3, "random", snapshots=True, seed=5).run
    for turn, by in ((2, "replay"), (5, "snapshot")):
        second = branch(first, tmp_path / f"second-{turn}", turn, "oracle").run.episode(0)
        assert_branch(second, first, turn, by=by)


@pytest.mark.parametrize(("turn", "broken"), [(2, False), (3, True), (6, True)])
def test_an_environment_that_changed_is_refused_in_words(turn, broken, tmp_path):
    """The change shows in what turn 2 gives: a branch from turn 2 does not meet it, one from turn 3 acts on it."""
    run = record("recorded/Ledger-v0", tmp_path / "parent")
    Ledger.changed = "text"
    episode = branch(run, tmp_path / "branch", turn, "scripted:text=ink").run.episode(0)
    if not broken:
        assert episode.failure is None
        return
    assert episode.outcome is Outcome.ENVIRONMENT_ERROR
    assert episode.failure.message.startswith("Turn 2 of the parent episode does not come out the same")
    assert "arena replay RUN EPISODE --execute" in episode.failure.message


def test_what_is_volatile_does_not_hinder_a_fork(tmp_path):
    run = record("recorded/Clock-v0", tmp_path / "parent")
    episode = branch(run, tmp_path / "branch", 4, "scripted:text=lead").run.episode(0)
    assert (episode.failure, len(episode.turns)) == (None, 10)
    undeclared = record("recorded/ClockUndeclared-v0", tmp_path / "other")
    episode = branch(undeclared, tmp_path / "refused", 4, "scripted:text=lead").run.episode(0)
    assert episode.outcome is Outcome.ENVIRONMENT_ERROR


def test_branches_of_one_episode_are_apart(tmp_path):
    run = random_run(tmp_path / "parent")
    parent = run.episode(0)
    config = EvalConfig(target=parent.task.env, agent="random", repeats=4)
    suite = Suite(parent.task.env, (parent.task.task,))
    jobs = [fork_job(run, parent, 3, repeat) for repeat in range(4)]
    branches = list(in_any_thread(evaluate_async(config, out=tmp_path / "n", suite=suite, jobs=jobs)).run.episodes())
    assert len({tuple(turn.action for turn in episode.turns) for episode in branches}) == 4
    assert {episode.turns[2].action for episode in branches} == {parent.turns[2].action}
