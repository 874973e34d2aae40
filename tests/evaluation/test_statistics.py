"""Intervals and pass rates against values known in closed form or by enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from arena.evaluation.report import interval
from arena.evaluation.statistics import (
    estimate_difference,
    estimate_mean,
    estimate_pass,
    pass_at_k,
    pass_hat_k,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe 1998, table I, method 3 (Wilson's score interval without continuity correction).
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_agrees_with_the_published_table(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_one_binary_episode_per_task_gets_wilson():
    estimate = estimate_mean({str(i): [float(i < 15)] for i in range(20)})
    assert (estimate.method, estimate.n, estimate.mean) == ("wilson", 20, 0.75)
    assert (estimate.low, estimate.high) == pytest.approx(wilson(15, 20))


def test_repeats_are_clustered_by_task_and_not_counted_as_independent():
    """Ten equal repeats of each task say no more than one: the interval must not shrink."""
    once = {str(i): [float(i % 2)] for i in range(12)}
    often = {task: values * 10 for task, values in once.items()}
    clustered = estimate_mean(often)
    assert (clustered.method, clustered.n) == ("clustered", 12)
    naive = wilson(60, 120)
    assert clustered.high - clustered.low > 2.5 * (naive[1] - naive[0])


def test_the_clustered_interval_is_the_cluster_robust_one():
    """The same numbers by the textbook formula written out in another way (regression on a constant)."""
    rng = np.random.default_rng(0)
    scores = {str(i): list(rng.random(1 + i % 4)) for i in range(9)}
    y = np.concatenate([np.array(values) for values in scores.values()])
    g = np.concatenate([np.full(len(values), i) for i, values in enumerate(scores.values())])
    u = y - y.mean()
    meat = sum(np.outer(u[g == i], u[g == i]).sum() for i in range(9))
    error = math.sqrt(9 / 8 * meat) / len(y)
    t = 2.3060041350333704  # 97.5 % point of Student's t with 8 degrees of freedom
    estimate = estimate_mean(scores)
    assert (estimate.low, estimate.high) == pytest.approx((y.mean() - t * error, y.mean() + t * error))


def test_all_alike_is_not_certain():
    estimate = estimate_mean({str(i): [1.0, 1.0] for i in range(12)})
    assert estimate.mean == estimate.high == 1.0
    assert estimate.low == pytest.approx(wilson(12, 12)[0])


@pytest.mark.parametrize(
    ("scores", "expected"),
    # By hand, from the exact upper bound of 0 in n: 0.975, 0.841886 and 0.707598 for n = 1, 2, 3.
    [
        ({"a": [0.5]}, (0.0125, 0.9875)),
        ({"a": [0.2], "b": [0.2]}, (0.031623, 0.873509)),
        ({"a": [0.5], "b": [0.5], "c": [0.5]}, (0.146201, 0.853799)),
        ({"a": [0.2, 0.8], "b": [0.8, 0.2], "c": [0.5]}, (0.146201, 0.853799)),
    ],
)
def test_grades_that_are_all_alike_are_not_certain(scores, expected):
    """Three tasks graded 0.5 would claim that every task is graded 0.5."""
    estimate = estimate_mean(scores)
    assert (estimate.method, estimate.n) == ("alike", len(scores))
    assert (estimate.low, estimate.high) == pytest.approx(expected, abs=1e-6)


def test_pass_rates_that_are_all_alike_are_not_certain():
    estimate = estimate_pass({task: [True, False, False] for task in "ab"}, 2)
    assert estimate.mean == pytest.approx(2 / 3)
    assert (estimate.low, estimate.high) == pytest.approx((2 / 3 - 0.841886 * 2 / 3, 2 / 3 + 0.841886 / 3), abs=1e-6)


def test_differences_that_are_all_alike_are_not_certain():
    """Two tasks won would claim that all tasks are; more tasks alike say more."""
    two = estimate_difference({"a": [0], "b": [0]}, {"a": [1], "b": [1]})
    assert (two.mean, two.high, two.method) == (1.0, 1.0, "alike")
    assert two.low == pytest.approx(1 - 2 * 0.841886, abs=1e-6)
    same = {str(i): [1.0] for i in range(100)}
    assert estimate_difference(same, same).low == pytest.approx(-0.036217, abs=1e-6)
    one = estimate_difference({"a": [0.5]}, {"a": [0.5]})
    assert (one.low, one.high) == pytest.approx((-0.975, 0.975))


def test_returns_that_are_all_alike_have_no_interval():
    """Nothing bounds what another task would return."""
    for returns in ({"a": [7.0]}, {"a": [7.0], "b": [7.0]}):
        estimate = estimate_mean(returns, bounds=None)
        assert (estimate.mean, estimate.method) == (7.0, "none")
        assert math.isnan(estimate.low)
        assert math.isnan(estimate.high)
        assert interval(estimate) == "7.000"


@pytest.mark.parametrize("tasks", [1, 2, 3, 5, 20])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.8])
def test_an_interval_of_tasks_all_alike_misses_the_mean_in_one_of_twenty_runs_at_most(tasks, share):
    """The chance that tasks come out all alike and their interval misses, over tasks of two kinds, enumerated."""
    for first, second in ((0.0, 0.5), (0.5, 1.0), (0.3, 0.6)):
        mean = (1 - share) * first + share * second
        missed = 0.0
        for value, chance in ((first, (1 - share) ** tasks), (second, share**tasks)):
            found = estimate_mean({str(i): [value] for i in range(tasks)})
            missed += 0.0 if found.low <= mean <= found.high else chance
        assert missed <= 0.05


def test_nothing_scored_is_nothing():
    estimate = estimate_mean({"a": []})
    assert math.isnan(estimate.mean)
    assert estimate.to_json()["mean"] is None


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 1), (5, 2, 3), (6, 0, 2), (6, 6, 4), (4, 3, 4)])
def test_pass_rates_equal_enumeration_over_all_draws(n, c, k):
    runs = [True] * c + [False] * (n - c)
    draws = list(itertools.combinations(runs, k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(any(d) for d in draws) / len(draws))
    assert pass_hat_k(n, c, k) == pytest.approx(sum(all(d) for d in draws) / len(draws))


def test_pass_at_k_leaves_out_tasks_with_too_few_scored_repeats():
    runs = {"a": [True, False], "b": [True], "c": [False, False]}
    estimate = estimate_pass(runs, 2)
    assert (estimate.n, estimate.mean) == (2, 0.5)
    assert estimate_pass(runs, 2, every=True).mean == 0.0


def test_differences_are_paired_by_task():
    """Two runs that differ by 0.1 on every task differ by exactly that, however much the tasks vary."""
    first = {str(i): [i / 10] for i in range(9)}
    second = {str(i): [i / 10 + 0.1 + (i % 2) * 0.001] for i in range(9)}
    estimate = estimate_difference(first, second)
    assert estimate.mean == pytest.approx(0.1, abs=1e-3)
    assert estimate.high - estimate.low < 0.002
