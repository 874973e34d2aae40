"""Intervals for what evaluations report. Letters: G tasks, n scored repeats of a task, c of them successes.

Episodes of one task are not independent, so where tasks ran more than once the task is the unit:
an interval that treats every episode as independent can be several times too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

FEW_TASKS = 10
"""Below this many tasks a clustered interval is only rough, and tables say so."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval.

    Attributes:
        mean: NaN where nothing was scored.
        low, high: the interval; NaN where nothing bounds it.
        method: `wilson`, `clustered`, `alike` (all tasks came out alike: what others may do is bounded), or `none`
            where there is no interval.
        n: how many independent units it rests on (episodes for Wilson, tasks otherwise).
    """

    mean: float
    low: float
    high: float
    method: str
    n: int

    def to_json(self) -> dict[str, float | str | int | None]:
        """With None for NaN."""
        mean, low, high = (None if math.isnan(x) else round(x, 6) for x in (self.mean, self.low, self.high))
        return {"mean": mean, "low": low, "high": high, "method": self.method, "n": self.n}


def wilson(successes: float, n: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a proportion (Wilson 1927); n >= 1."""
    z = 1.959963984540054
    p, spread = successes / n, z * z / n
    center = (p + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(p * (1 - p) / n + spread / (4 * n))
    return max(0.0, center - half), min(1.0, center + half)


def unseen_share(n: int) -> float:
    """The largest share that a kind of task can have of which n drawn tasks show none, at 95 % confidence.

    The upper end of the exact interval for 0 of n: the q with (1 - q)^n = 0.025.
    Source: Clopper and Pearson 1934, "The use of confidence or fiducial limits", Biometrika 26.
    """
    return float(1 - 0.025 ** (1 / n))


def estimate_mean(
    scores: Mapping[str, Sequence[float]], *, bounds: tuple[float, float] | None = (0.0, 1.0)
) -> Estimate:
    """The mean over all episodes, with the interval that fits how they were run.

    Args:
        scores: task -> the scores of its scored repeats.
        bounds: between which every score lies, so the interval is cut to them; None where nothing bounds them.

    Returns:
        Wilson's interval where each task ran once and every score is 0 or 1; otherwise the
        interval clustered by task, mean ± t(G-1) SE with SE² = G/(G-1) Σ_g (Σ_i (x_gi - mean))² / N²
        (N episodes in all). Where every task came out alike, and where there is only one, that SE is 0
        although nothing is certain. Then, for scores of 0 or 1, Wilson's interval with n = G stands in;
        for other bounded scores, the tasks that would come out otherwise are at most `unseen_share(G)` of
        all and lie within the bounds, which bounds the mean whatever the distribution; for unbounded
        ones there is no interval.
    """
    groups = [np.asarray(values, dtype=float) for values in scores.values() if len(values)]
    if not groups:
        return Estimate(math.nan, math.nan, math.nan, "none", 0)
    every = np.concatenate(groups)
    mean, total, tasks = float(every.mean()), len(every), len(groups)
    binary = bounds == (0.0, 1.0) and bool(np.isin(every, bounds).all())
    if binary and total == tasks:
        return Estimate(mean, *wilson(float(every.sum()), total), "wilson", total)
    squares = sum(float((group - mean).sum()) ** 2 for group in groups)
    low, high = bounds or (-math.inf, math.inf)
    if tasks == 1 or squares < 1e-24:
        if binary:
            return Estimate(mean, *wilson(mean * tasks, tasks), "clustered", tasks)
        if bounds is None:
            return Estimate(mean, math.nan, math.nan, "none", tasks)
        others = unseen_share(tasks)
        return Estimate(mean, mean - others * (mean - low), mean + others * (high - mean), "alike", tasks)
    half = _t975(tasks - 1) * math.sqrt(tasks / (tasks - 1) * squares) / total
    return Estimate(mean, max(low, mean - half), min(high, mean + half), "clustered", tasks)


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that at least one of k repeats drawn from n (c successes) succeeds: 1 - C(n-c, k) / C(n, k).

    Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code", equation 1.
    """
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def pass_hat_k(n: int, c: int, k: int) -> float:
    """Chance that all of k repeats drawn from n (c successes) succeed: C(c, k) / C(n, k).

    Source: Yao et al. 2024, "tau-bench", section 3 (pass^k).
    """
    return math.comb(c, k) / math.comb(n, k)


def estimate_pass(successes: Mapping[str, Sequence[bool]], k: int, *, every: bool = False) -> Estimate:
    """pass@k (or pass^k with `every`) over the tasks that have at least k scored repeats."""
    of = pass_hat_k if every else pass_at_k
    values = {task: [of(len(runs), sum(runs), k)] for task, runs in successes.items() if len(runs) >= k}
    return estimate_mean(values)


def estimate_difference(first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]) -> Estimate:
    """Mean of (second - first) over the tasks both scored, each task's repeats averaged first: paired, t(G-1).

    The scores lie in [0, 1], so the differences in [-1, 1].
    """
    shared = [task for task in first if first[task] and second.get(task)]
    pairs = {task: [float(np.mean(second[task]) - np.mean(first[task]))] for task in shared}
    return estimate_mean(pairs, bounds=(-1.0, 1.0))


def _t975(degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))
