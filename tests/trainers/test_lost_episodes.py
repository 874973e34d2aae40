"""Episodes that could not be scored are played again, and what is lost in the end biases nothing silently."""

from __future__ import annotations

import flaky
import numpy as np
import pytest

from arena.agents import build as build_agent
from arena.core.errors import ArenaError
from arena.core.outcome import Outcome
from arena.core.task import Task
from arena.evaluation.evaluate import in_any_thread
from arena.records import create_run, open_run
from arena.rollout import Job
from arena.trainers import TurnTable, grpo
from arena.trainers._collect import collect_groups, play, whole_groups


@pytest.fixture(autouse=True)
def _nothing_played():
    flaky.PLAYED.clear()
    flaky.BROKEN.clear()


def task(seed, **params):
    return Task("flaky/Flaky-v0", seed, params, None, 3)


def groups(tasks, size=2, writer=None, **options):
    """Groups of these tasks, one episode at a time."""
    left = list(tasks)

    def take(number, used):
        taken, left[:] = left[:number], left[number:]
        return taken

    def play_tasks(taken):
        jobs = [Job(one, repeat, 1) for one in taken for repeat in range(size)]
        return in_any_thread(play(build_agent("idle"), jobs, seed=0, concurrency=1, writer=writer))

    return collect_groups(take, play_tasks, **{"wanted": len(tasks), "least": 2, **options})


@pytest.mark.parametrize("bug", [False, True], ids=["its sandbox died", "the environment has a bug"])
def test_a_lost_episode_is_played_again_with_the_same_seeds(tmp_path, bug):
    """One that a third attempt saves must count as if nothing had happened, and all attempts stay on record."""
    flaky.BROKEN[7] = [1, 0]
    with create_run(tmp_path / "run", {"kind": "train"}) as writer:
        collected = groups([task(7, bug=bug), task(8, bug=bug)], size=2, writer=writer)
    assert [episode.outcome for episode in collected.played] == [Outcome.SUCCESS] * 4
    assert collected.redone == 2
    assert collected.metrics()["lost"] == 0
    with open_run(tmp_path / "run") as run:
        attempts = list(run.episodes(latest=False))
    first = [episode for episode in attempts if episode.key.repeat == 0 and episode.task.seed == 7]
    assert [episode.key.attempt for episode in first] == [0, 1]
    assert len({(episode.seed, episode.task.seed) for episode in first}) == 1


def test_nobody_plays_a_fourth_time():
    """A sandbox that always dies must not hold the training up for ever."""
    flaky.BROKEN[7] = [0] * 100
    collected = groups([task(seed) for seed in range(5, 11)], size=2)
    assert flaky.PLAYED[7] == 2 * 3
    assert collected.metrics()["groups_dropped"] == 1


def test_what_is_lost_is_told_by_the_turn_that_was_reached():
    """Losses that grow with length bias the policy to short episodes; a single share would hide it."""
    flaky.BROKEN.update({seed: [turn, None, None, turn, turn] for seed, turn in ((1, 2), (2, 2), (3, 0))})
    metrics = groups([task(seed) for seed in range(1, 7)], size=3).metrics()
    assert metrics["lost"] == pytest.approx(3 / 18)
    assert metrics["lost_at_turn"] == {"0": pytest.approx(1 / 18), "2": pytest.approx(2 / 18)}


def test_a_lost_episode_leaves_the_statistics_and_gets_no_credit():
    """Scored as 0 it would push up what the others of its group did."""
    flaky.BROKEN[1] = [None, 1, None, 1, 1]
    collected = groups([task(seed) for seed in range(1, 4)], size=3)
    table = TurnTable.from_episodes(collected.kept)
    lost = np.flatnonzero(~table.scored)
    assert len(lost) > 0
    credit = grpo.advantages(table, grpo.Config(scale="none"))
    assert not credit[lost].any()
    own = table.group == table.group[lost[0]]
    returns = table.trajectory_return[table.trajectory_scored & own[table.trajectories.starts]]
    expected = {round(value, 6) for value in returns - returns.mean()}
    assert {round(value, 6) for value in credit[own & table.scored]} == expected


def test_a_group_with_one_episode_left_is_dropped():
    """Compared with nothing, it would enter the loss's token count and teach nothing."""
    flaky.BROKEN[1] = [None, 0, 0, 0]
    collected = groups([task(seed) for seed in range(1, 7)], size=2)
    assert {episode.task.seed for episode in collected.kept} == {2, 3, 4, 5, 6}
    assert len(whole_groups(collected.played, 1)) == 12


def test_a_step_that_lost_too_much_stops_with_the_reasons():
    flaky.BROKEN.update({1: [0] * 9, 2: [1] * 9})
    with pytest.raises(ArenaError, match=r"(?s)4 of 10 episodes .* 3 attempts .* 20%.*4 x .*the sandbox died"):
        groups([task(seed) for seed in range(1, 6)], size=2)


def test_groups_without_spread_are_dropped_and_others_played_in_their_place():
    """DAPO's dynamic sampling: a step of groups that all teach, and the metrics say what it took."""
    alike, different = {"levels": (1,)}, {}
    tasks = [task(1, **alike), task(2, **different), task(3, **alike), task(4, **different), task(5, **different)]
    collected = groups(tasks, size=2, wanted=2, informative=grpo.informative, rounds=3)
    assert [episode.task.seed for episode in collected.kept] == [2, 2, 4, 4]
    metrics = collected.metrics()
    assert (metrics["groups"], metrics["groups_dropped"], metrics["sampling_rounds"]) == (4, 2, 3)
    assert metrics["episodes"] == 8


def test_dynamic_sampling_gives_up_after_its_rounds():
    """Where everything is solved it would otherwise play for ever; the step then goes on with what there is."""
    collected = groups(
        [task(n, levels=(1,)) for n in range(9)], size=2, wanted=2, informative=grpo.informative, rounds=3
    )
    assert collected.rounds == 3
    assert len(collected.kept) == len(collected.played) == 12
