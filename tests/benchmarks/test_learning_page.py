"""The learning benchmark: its statistics, its page, and that an interrupted grid goes on where it stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("matplotlib")

from arena.trainers import TurnTable, gigpo, grpo
from arena.trainers._config import TrainConfig
from arena.trainers._training import Training
from benchmarks._learning_page import along_turns, interquartile_mean, write_page
from benchmarks._learning_runs import Learned, read, run_missing, train
from benchmarks._learning_states import read_states, recurring, write_states
from benchmarks._learning_tasks import SETTINGS


def learned(algorithm, seed, *success, turns=1000):
    places = np.linspace(0, turns, len(success))
    points = [[float(x), y, y - 0.05, y + 0.05] for x, y in zip(places, success, strict=True)]
    return Learned("maze", algorithm, seed, points, [[500.0, 0.5]], 40.0, 5.0, "2026-01-31T12:00:00+00:00")


def test_the_middle_half_of_the_seeds_counts():
    """One seed that failed, or one lucky one, would move the figure."""
    mean, low, high = interquartile_mean(np.array([[0.0], [0.5], [0.6], [0.7], [1.0]]))
    assert mean == pytest.approx(0.6)
    assert 0.0 < low[0] < 0.6 < high[0] < 1.0
    assert np.isnan(interquartile_mean(np.array([[0.5]]))[1:]).all()


def test_curves_are_compared_at_equal_turns():
    """A run with longer episodes has taken more turns at the same step."""
    places, values = along_turns([learned("grpo", 0, 0.2, 0.4), learned("grpo", 1, 0.2, 0.6, turns=2000)])
    assert (places[0], places[-1]) == (0, 1000)
    assert values[:, 0].tolist() == [0.2, 0.2]
    assert values[:, -1] == pytest.approx([0.4, 0.4])


def test_the_page_says_what_was_run(tmp_path):
    """A figure without its interval, or a task that nobody ran, would pass for a result."""
    runs = [learned("gigpo", seed, 0.4, 0.6, 0.8) for seed in range(5)]
    runs += [learned("grpo", seed, 0.4, 0.5 + seed / 50) for seed in range(3)]
    page = write_page(runs, tmp_path / "learning.md")
    assert "| gigpo | 5 | 0.400 [0.400, 0.400] | 0.800 [0.800, 0.800] | +0.400 [+0.400, +0.400] | 1,000 | 40 |" in page
    assert "| maze | 3 | +0.280 [+0.260, +0.300] | +0.140 [+0.130, +0.150] |" in page
    assert "| wordle | 0 | – | – |" in page
    assert "How often states recur" not in page
    assert "8 of the 100 runs of the grid" in page
    assert "## wordle\n\nNot run yet.\n" in page
    assert (tmp_path / "learning.md").read_text() == page
    assert (tmp_path / "learning-maze.png").stat().st_size > 10_000


def test_recurring_states_are_counted(tmp_path):
    """Two episodes that meet once, in a group of equal returns and in one of unequal ones."""
    table = TurnTable.of(
        group=[1] * 4 + [2] * 4,
        episode=[0, 0, 1, 1, 2, 2, 3, 3],
        state=[5, 6, 7, 5, 5, 6, 5, 8],
        reward=[0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0],
    )
    found = recurring(table, "maze", 0, 0.75)
    assert (found.silent, found.recurring, found.credited, found.credited_silent) == (0.5, 0.5, 0.5, 0.5)
    write_states([found, replace(found, seed=1)], tmp_path / "states.jsonl")
    write_states([replace(found, silent=1.0)], tmp_path / "states.jsonl")
    states = read_states(tmp_path / "states.jsonl")
    assert [(one.seed, one.silent) for one in states] == [(0, 1.0), (1, 0.5)]
    assert "| maze | 2 | 75% [50%, 100%] | 50% [50%, 50%] | 50% [50%, 50%] | 50% [50%, 50%] |" in write_page(
        [learned("grpo", 0, 0.4, 0.5)], tmp_path / "p.md", states
    )


def test_where_no_state_recurs_gigpo_is_grpo():
    """Any other difference between their settings would be taken for what step advantages bring."""
    drawn = np.random.default_rng(0)
    table = TurnTable.of(
        group=np.arange(40) // 20, episode=np.arange(40) // 5, state=np.arange(40), reward=drawn.random(40)
    )
    one, other = gigpo.Config(**SETTINGS["gigpo"]), grpo.Config(**SETTINGS["grpo"])
    np.testing.assert_array_equal(gigpo.advantages(table, one), grpo.advantages(table, other))
    assert np.abs(gigpo.advantages(table, one)).max() > 0.1
    for name in ("clip_low", "clip_high", "aggregation"):
        assert getattr(one, name) == getattr(other, name), name
    assert other.dual_clip is None


def test_a_run_that_is_there_is_not_done_again(tmp_path):
    """An interrupted night would begin anew, or a second process would do the first one's work."""
    file, said, quick = tmp_path / "runs.jsonl", [], {"demonstrations": 5, "passes": 1, "steps": 1, "held_out": 4}
    wanted = [("maze", "gigpo", 3), ("maze", "reinforce", 3)]
    first = run_missing(wanted[:1], file, tmp_path / "work", said.append, **quick)
    both = run_missing(wanted, file, tmp_path / "work", said.append, **quick)
    assert [run.key for run in both] == wanted
    assert both[0] == first[0] == read(file)[0]
    assert both[0].cloned_in > 0
    assert both[1].cloned_in < 0.3
    assert both[0].points[0] == both[1].points[0]
    assert len(both[0].points) == 2


def test_a_run_that_was_left_off_goes_on(tiny_model, tmp_path):
    """Whoever interrupts the grid would lose the run at work; with other settings it must begin anew."""
    options = {"algorithm": "reinforce", "env": "arena/Maze-v0", "model": str(tiny_model), "agent": "chat:max_tokens=1"}
    options |= {"params": {"size": 3}, "max_turns": 1, "tasks": 1, "group_size": 1, "steps": 2, "eval_every": 0}
    with Training.start(TrainConfig.read(options), tmp_path / "run") as left_off:
        left_off.on_progress = lambda text: setattr(left_off, "stopping", True)
        left_off.run()
        (first,) = left_off.metrics.lines
    lines = train(options, tmp_path / "run", print)
    assert [line["step"] for line in lines] == [1, 2]
    assert lines[0] == first
    assert len(train({**options, "steps": 1}, tmp_path / "run", print)) == 1
