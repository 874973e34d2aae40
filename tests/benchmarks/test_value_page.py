"""The value benchmark: its statistics, its page, and that recorded episodes teach more than imitating them does."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("matplotlib")

from arena.evaluation import evaluate
from arena.evaluation.statistics import wilson
from arena.records import open_run
from benchmarks._value_exact import Ranked, exact_worth
from benchmarks._value_known import Known, share_explained
from benchmarks._value_online import Trained, pooled
from benchmarks._value_page import write_page
from benchmarks._value_runs import Played
from benchmarks._value_turns import ratio_of_medians, success_after, turns_to

NEVER = float("inf")
WHEN = "2026-01-31T12:00:00+00:00"


def played(name, seed, reward, task="maze"):
    return Played(task, name, seed, reward, 0.5, -12.0, -6.0, -4.0, 200, 40.0, WHEN)


def trained(algorithm, seed, *success, task="keydoor", predicted=(), earned=()):
    points = [[1000.0 * x, y, y - 0.05, y + 0.05] for x, y in enumerate(success)]
    return Trained(task, algorithm, seed, points, [], 40.0, 5.0, WHEN, predicted, earned)


def test_scores_are_normalised_by_the_data_and_the_oracle():
    """A score of 50 is as good as the data; below it and above it the scales differ."""
    assert [played("bc", 0, reward).normalised for reward in (-12, -9, -6, -5, -4)] == [0, 25, 50, 75, 100]


def test_turns_to_the_goal_are_read_off_between_evaluations():
    assert turns_to(trained("archer", 0, 0.4, 0.6, 1.0), 0.8) == pytest.approx(1500)
    assert turns_to(trained("archer", 0, 0.9, 0.2), 0.8) == 0
    assert turns_to(trained("archer", 0, 0.4, 0.7), 0.8) == NEVER
    assert success_after(trained("archer", 0, 0.4, 0.6, 1.0), 1500) == pytest.approx(0.8)


def test_runs_that_never_got_there_make_no_finite_ratio():
    """Left out, an algorithm that mostly fails would look quick."""
    ratio, low, high = ratio_of_medians(np.array([4000.0, 5000.0, 6000.0]), np.array([1000.0, 1000.0, 1000.0]))
    assert (ratio, low, high) == (5, 4, 6)
    ratio, low, high = ratio_of_medians(np.array([4000.0, NEVER, NEVER]), np.array([1000.0, 1000.0, 1000.0]))
    assert ratio == NEVER
    assert low == 4
    assert high == NEVER
    assert np.isnan(ratio_of_medians(np.array([NEVER]), np.array([NEVER]))).all()


def test_sampled_episodes_count_for_the_turns_before_them():
    """Set to the turns after, a step would seem to have needed its own episodes to be as good as it was."""
    on_policy = pooled([[100.0, 0.5], [250.0, 0.75]], group=8, tasks=2)
    assert [point[:2] for point in on_policy] == [[0, 0.5], [100, 0.75]]
    smaller = pooled([[20.0 * step, 0.25 * (step > 4)] for step in range(1, 9)], group=2, tasks=8)
    assert [point[:2] for point in smaller] == [[30, 0.0], [110, 0.25]]
    assert [point[2:] for point in on_policy[:1]] == [list(wilson(8, 16))]


def test_the_share_that_is_explained_can_be_worse_than_none():
    """A critic that is further off than the mean of the returns would pass for one that knows nothing."""
    came = np.array([0.0, 1.0, 2.0, 3.0])
    assert [share_explained(said, came) for said in (came, np.full(4, 1.5), came[::-1])] == [1.0, 0.0, -3.0]


def test_the_page_says_how_many_seeds_a_figure_rests_on(tmp_path):
    """A single seed without an interval, or a part that nobody ran, would pass for a result."""
    offline = [played("bc", seed, -6.0) for seed in range(3)] + [played("ilql", seed, -5.0) for seed in range(2)]
    offline += [played("filtered_bc", seed, -5.5) for seed in range(2)]
    both = {"predicted": (0.2, 0.4), "earned": (0.1, 0.4)}
    online = [trained("archer", seed, 0.4, 0.9, **both) for seed in range(2)]
    online += [trained("grpo", seed, 0.4, 0.5, 0.6) for seed in range(3)]
    exact = [Ranked("maze", "mc", seed, 500, 0.25, 0.7, 0.9, 0.0, WHEN) for seed in range(2)]
    known = [Known("wordle", "mc", seed, 0.3, -0.1, 0.4, WHEN) for seed in range(2)]
    page = write_page(offline, online, exact, known, page=tmp_path / "value.md")
    assert "| bc | 50.0 [50.0, 50.0] (3) | not run | not run | not run | not run |" in page
    assert "| ilql - filtered_bc | +12.5 [+12.5, +12.5] (2) | not run | not run | not run | not run |" in page
    never = "never (0 of 3) | never [never, never] | "
    beside = f"0.600 [0.600, 0.600] | 2,000 | {never}{never}40 |"
    assert "| after 1,000 turns |" in page
    assert f"| grpo | 3 | 0.400 [0.400, 0.400] | 0.500 [0.500, 0.500] | {beside}" in page
    assert (
        "| keydoor | squared errors | 2 | 0.050 [0.050, 0.050] | +0.050 [+0.050, +0.050] | 0.900 [0.900, 0.900] |"
        in page
    )
    assert "| keydoor | HL-Gauss | not run | | | |" in page
    assert "| maze | mc | 2 | 0.700 [0.700, 0.700] | 0.250 [0.250, 0.250] | 0.900 [0.900, 0.900] |" in page
    assert "| maze | bc | not run | | | | |" in page
    assert "| wordle | mc | 2 | 0.30 [0.30, 0.30] | -0.10 [-0.10, -0.10] | 0.40 [0.40, 0.40] |" in page
    assert "| maze | ilql | not run | | | |" in page
    assert "### questions\n\nNot run yet.\n" in page
    assert (tmp_path / "value.md").read_text() == page
    assert (tmp_path / "value-keydoor.png").stat().st_size > 10_000


def test_moves_are_worth_the_way_that_is_left(tmp_path):
    """Beside a wrong distance, or that of another square, a critic that knows the maze would seem not to."""
    evaluate("arena/Maze-v0", "oracle", tasks=2, params={"layout": "umaze"}, out=tmp_path / "run")
    with open_run(tmp_path / "run") as run:
        episodes = list(run.episodes())
    worth, moves = exact_worth(episodes)
    done = [(turn.action, len(episode.turns) - turn.index - 1) for episode in episodes for turn in episode.turns]
    assert len(worth) == len(done)
    for values, (action, left) in zip(worth, done, strict=True):
        assert values[moves.index(action)] == values.max() == -left
        assert values.min() <= -left - 1
