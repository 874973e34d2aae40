"""The engine: outcomes by boundary, limits, execution classes, cancellation, determinism."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import probes
import pytest

from arena.agents import build
from arena.core.episode import Episode
from arena.core.errors import InfrastructureError, UsageError
from arena.core.outcome import Outcome
from arena.core.task import Task
from arena.records import create_run, open_run
from arena.rollout import Engine, Job, Limits

CLASSES = ("probe/Count-v0", "probe/CountThread-v0", "probe/CountProcess-v0")


def run(jobs: list[Job], agent: Any = None, **options: Any) -> list[Episode]:
    episodes: list[Episode] = []
    agents = {"agent": agent or probes.Go(), "others": build("random")}
    asyncio.run(Engine(agents, on_episode=episodes.append, **{"retries": 0, **options}).run(jobs))
    return episodes


def one(
    env: str, agent: Any = None, limits: Limits | None = None, max_turns: int | None = 10, **params: Any
) -> Episode:
    [episode] = run([Job(Task(env, 1, params, None, max_turns))], agent, limits=limits)
    return episode


@pytest.mark.parametrize("env", [*CLASSES, "probe/Later-v0"])
def test_an_episode_runs_in_every_execution_class(env):
    episode = one(env)
    assert episode.outcome is Outcome.SUCCESS
    assert [turn.text for turn in episode.turns] == ["start", "count 1", "count 2"]
    assert episode.final_observation[0].text == "count 3"
    assert (episode.score, episode.total_reward) == (1.0, 3.0)


def test_a_process_environment_runs_elsewhere_and_a_thread_one_on_one_thread():
    elsewhere = {turn.info["pid"] for turn in one("probe/CountProcess-v0", behaviour="pid").turns}
    assert len(elsewhere) == 1
    assert os.getpid() not in elsewhere
    assert all(turn.info["same_thread"] for turn in one("probe/CountThread-v0", behaviour="pid").turns)


@pytest.mark.parametrize("env", CLASSES)
@pytest.mark.parametrize("behaviour", ["raise", "reset", "nan", "not json", "bad info", "short", "bad brief", "misuse"])
def test_a_bug_in_an_environment_is_its_own_and_not_scored(env, behaviour):
    episode = one(env, behaviour=behaviour)
    assert episode.outcome is Outcome.ENVIRONMENT_ERROR
    assert episode.failure is not None
    assert episode.failure.boundary == "environment"
    assert episode.score is None


def test_a_worker_that_dies_is_an_infrastructure_error_and_is_tried_again():
    episodes = run([Job(Task("probe/CountProcess-v0", 1, {"behaviour": "exit"}))], retries=1)
    assert [episode.outcome for episode in episodes] == [Outcome.INFRASTRUCTURE_ERROR] * 2
    assert [episode.key.attempt for episode in episodes] == [0, 1]
    assert "exited with code 9" in episodes[0].failure.message


def test_a_lost_worker_does_not_harm_the_next_episodes():
    bad = Job(Task("probe/CountProcess-v0", 1, {"behaviour": "exit"}))
    good = [Job(Task("probe/CountProcess-v0", seed)) for seed in range(4)]
    outcomes = [episode.outcome for episode in run([bad, *good], concurrency=1, workers=1)]
    assert outcomes == [Outcome.INFRASTRUCTURE_ERROR, *[Outcome.SUCCESS] * 4]


@pytest.mark.parametrize("behaviour", ["raise", "wrong type", "no text"])
def test_a_bug_in_an_agent_scores_zero(behaviour):
    episode = one("probe/Count-v0", probes.Go(behaviour))
    assert episode.outcome is Outcome.AGENT_ERROR
    assert episode.score == 0.0
    assert len(episode.turns) == 1


def test_an_agent_that_stops_leaves_a_cancelled_episode():
    episode = one("probe/Count-v0", probes.Go("stop"))
    assert (episode.outcome, episode.score, len(episode.turns)) == (Outcome.CANCELLED, None, 1)


def test_the_turn_limit_is_the_tasks_and_the_environment_grades_what_was_done():
    episode = one("probe/Count-v0", max_turns=2, length=4)
    assert (episode.outcome, episode.limit, episode.score) == (Outcome.TRUNCATED, "turns", 0.5)
    assert episode.conclusion is not None
    assert not episode.turns[-1].truncated


def test_an_environment_names_its_own_limit():
    episode = one("probe/Count-v0", behaviour="cut")
    assert (episode.outcome, episode.limit, episode.turns[-1].truncated) == (Outcome.TRUNCATED, "budget", True)
    assert "limit" not in episode.turns[-1].info


def test_a_slow_decision_is_truncated_by_name():
    episode = one("probe/Count-v0", probes.Go("hang"), Limits(turn_seconds=0.05))
    assert (episode.outcome, episode.limit) == (Outcome.TRUNCATED, "turn_time")
    assert episode.score == pytest.approx(1 / 3)


@pytest.mark.parametrize("env", ["probe/Later-v0", "probe/CountProcess-v0", "probe/CountThread-v0"])
def test_a_step_that_hangs_is_truncated_and_earns_nothing(env):
    behaviour = "hang" if "Later" in env else "sleep"
    episode = one(env, None, Limits(turn_seconds=1.5), behaviour=behaviour)
    assert (episode.outcome, episode.limit, episode.score) == (Outcome.TRUNCATED, "turn_time", 0.0)


def test_a_step_that_hangs_in_a_thread_does_not_keep_the_process():
    """A pool's threads are waited for at exit, so the process would never end."""
    code = """
import asyncio, probes
from arena.core.task import Task
from arena.rollout import Engine, Job, Limits
job = Job(Task("probe/CountThread-v0", 1, {"behaviour": "sleep"}))
asyncio.run(Engine({"agent": probes.Go()}, limits=Limits(turn_seconds=0.3)).run([job]))
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=True, timeout=20)


def test_waiting_for_a_shared_worker_is_not_the_environments_time():
    """Scores would depend on how many episodes run beside one another."""
    jobs = [Job(Task("probe/CountProcess-v0", seed, {"behaviour": "nap"})) for seed in range(5)]
    episodes = run(jobs, limits=Limits(turn_seconds=1.2), workers=1, concurrency=5)
    assert [episode.outcome for episode in episodes] == [Outcome.SUCCESS] * 5


@pytest.mark.parametrize("env", ["probe/CountThread-v0", "probe/CountProcess-v0"])
def test_a_reset_that_hangs_is_an_environment_error(env):
    episode = one(env, None, Limits(reset_seconds=1.5), behaviour="slow reset")
    assert episode.outcome is Outcome.ENVIRONMENT_ERROR
    assert "longer than 1.5 s" in episode.failure.message


def test_killing_a_worker_kills_what_it_started():
    one("probe/CountProcess-v0", None, Limits(turn_seconds=1.5), behaviour="child")
    assert "31.4159" not in subprocess.run(["ps", "ax"], capture_output=True, text=True, check=True).stdout


def test_asynchronous_environments_are_closed_after_a_timeout_and_a_cancellation():
    """Browsers and containers would be left behind."""
    probes.CLOSED.clear()
    one("probe/Later-v0", None, Limits(turn_seconds=0.2), behaviour="hang")
    assert len(probes.CLOSED) == 1

    async def main() -> None:
        engine = Engine({"agent": probes.Go("hang")})
        async with asyncio.TaskGroup() as group:
            group.create_task(engine.run([Job(Task("probe/Later-v0", seed)) for seed in range(3)]))
            await asyncio.sleep(0.1)
            engine.cancel()

    asyncio.run(main())
    assert len(probes.CLOSED) == 4


def test_numpy_rewards_are_numbers():
    assert one("probe/Count-v0", behaviour="numpy").total_reward == 3.0


def test_a_record_that_cannot_be_written_ends_the_run_with_one_error():
    class Full:
        def __getattr__(self, name: str) -> Any:
            return lambda *arguments: None

        def append(self, episode: Episode) -> None:
            raise InfrastructureError("the disk is full")

    with pytest.raises(InfrastructureError, match="the disk is full"):
        run([Job(Task("probe/Count-v0", seed)) for seed in range(9)], writer=Full())


def test_a_timeout_of_the_agents_own_is_its_bug_and_not_the_limit():
    episode = one("probe/Count-v0", probes.Go("timeout"), Limits(turn_seconds=5))
    assert (episode.outcome, episode.limit) == (Outcome.AGENT_ERROR, None)


def test_the_time_limit_covers_the_whole_episode():
    episode = one("probe/Count-v0", probes.Go("hang"), Limits(seconds=0.1))
    assert (episode.outcome, episode.limit) == (Outcome.TRUNCATED, "time")


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(UsageError, match="above 0"):
        Limits(tokens=0)


def test_concurrency_does_not_change_what_agents_and_environments_do():
    jobs = [
        Job(task, repeat)
        for task in (Task("arena/GuessNumber-v0", s, {}, None, 12) for s in range(6))
        for repeat in (0, 1)
    ]

    def actions(concurrency: int) -> dict[Any, list[str]]:
        episodes = run(jobs, build("random"), concurrency=concurrency)
        return {(e.key.task, e.key.repeat): [turn.action for turn in e.turns] for e in episodes}

    alone = actions(1)
    assert alone == actions(7)
    assert alone["arena/GuessNumber-v0@1!12", 0] != alone["arena/GuessNumber-v0@1!12", 1]


def test_draining_begins_no_more_episodes_and_cancelling_records_those_in_flight():
    episodes: list[Episode] = []

    async def main(stop: str) -> None:
        engine = Engine({"agent": probes.Go("hang")}, concurrency=2, on_episode=episodes.append)
        jobs = [Job(Task("probe/Count-v0", seed)) for seed in range(5)]
        async with asyncio.TaskGroup() as group:
            group.create_task(engine.run(jobs))
            await asyncio.sleep(0.05)
            engine.drain()
            await asyncio.sleep(0.05)
            engine.cancel()

    asyncio.run(main("cancel"))
    assert [episode.outcome for episode in episodes] == [Outcome.CANCELLED] * 2
    assert all(len(episode.turns) == 1 for episode in episodes)


def test_bad_input_stops_the_run_with_its_reason_and_keeps_what_was_done(tmp_path: Path):
    jobs = [Job(Task("arena/GuessNumber-v0", 1, {}, None, 5)), Job(Task("probe/Count-v0", 1))]
    with create_run(tmp_path / "run", {}) as writer, pytest.raises(UsageError, match="legal actions"):
        run(jobs, build("random"), writer=writer, concurrency=1)
    assert [row.env for row in open_run(tmp_path / "run").rows()] == ["arena/GuessNumber-v0"]


def test_a_game_of_two_is_recorded_with_both_players():
    [episode] = run([Job(Task("arena/NoughtsAndCrosses-v0", 3))], build("oracle"))
    assert list(episode.agents) == ["x", "o"]
    assert episode.outcome is Outcome.SUCCESS
    assert {turn.player for turn in episode.turns} == {"x", "o"}
    assert episode.scores is not None
    assert episode.scores["x"] == episode.score == 1.0


def test_images_are_kept_once_under_blobs(tmp_path: Path):
    with create_run(tmp_path / "run", {}) as writer:
        [episode] = run([Job(Task("arena/LightsOut-v0", 3))], build("oracle"), writer=writer)
    images = {part.sha256 for turn in episode.turns for part in turn.observation if part.type == "image"}
    images |= {part.sha256 for part in episode.final_observation if part.type == "image"}
    assert {path.name for path in (tmp_path / "run" / "blobs").iterdir()} == images
    assert len(images) > 1


def test_recorded_snapshots_restore_the_state_of_their_turn(tmp_path: Path):
    with create_run(tmp_path / "run", {}) as writer:
        [episode] = run([Job(Task("arena/KeyDoor-v0", 3))], build("oracle"), writer=writer, snapshots=True)
    run_ = open_run(tmp_path / "run")
    import arena

    env = arena.make("arena/KeyDoor-v0").unwrapped
    turn = episode.turns[2]
    env.restore(run_.blob(turn.snapshot))
    observation, *_ = env.step(turn.action)
    assert observation == episode.turns[3].text
