"""How many turns runs took to a success: medians of several seeds, and their ratios.

Shapes: S seeds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks._learning_runs import Learned

_DRAWS = 10_000

Values = NDArray[np.float64]


def turns_to(run: Learned, goal: float) -> float:
    """Turns after which success first was at least so high, read off between evaluations; inf: never."""
    (before, was), *later = [(point[0], point[1]) for point in run.points]
    if was >= goal:
        return 0.0
    for turns, success in later:
        if success >= goal:
            return before + (turns - before) * (goal - was) / (success - was)
        before, was = turns, success
    return float("inf")


def success_after(run: Learned, turns: float) -> float:
    """Success after so many turns, read off between evaluations."""
    return float(np.interp(turns, [point[0] for point in run.points], [point[1] for point in run.points]))


def ratio_of_medians(one: Values, other: Values) -> tuple[float, float, float]:
    """How many times as many turns one took as the other, by the medians of S runs each, with 95 % of bootstraps.

    Runs that never got there count as infinite; where both medians are, the ratio is not known (NaN).
    """
    generator = np.random.default_rng(0)
    drawn = [values[generator.integers(len(values), size=(_DRAWS, len(values)))] for values in (one, other)]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = median_of(drawn[0]) / median_of(drawn[1])
        ratio = float((median_of(one[None]) / median_of(other[None]))[0])
    known = np.sort(ratios[~np.isnan(ratios)])
    if len(known) < 0.975 * _DRAWS or len(one) < 2 or len(other) < 2:
        return ratio, float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975], method="nearest")
    return ratio, float(low), float(high)


def median_of(values: Values) -> Values:
    """Of each row, the upper of the middle two: with infinite values there is nothing between them."""
    found: Values = np.sort(values, axis=1)[:, values.shape[1] // 2]
    return found


__all__ = ["median_of", "ratio_of_medians", "success_after", "turns_to"]
