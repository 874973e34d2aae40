"""Two runs compared in pairs: the same tasks and seeds, so the difference is the agents'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from arena.core.errors import UsageError
from arena.evaluation.statistics import FEW_TASKS, Estimate, estimate_difference
from arena.records import Row, Run


@dataclass(frozen=True, slots=True)
class Flip:
    """A task that one run solved more often than the other (mean scores over its repeats)."""

    task: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The second run against the first.

    Attributes:
        difference: mean over the shared tasks of (second - first), with its paired 95 % interval.
        by_env: the same for each environment.
        better, worse: tasks whose mean score rose or fell, the largest change first.
        shared: tasks that both runs scored; `only_first` and `only_second` are left out of the difference.
        warnings: what a reader should know.
    """

    difference: Estimate
    by_env: dict[str, Estimate]
    better: tuple[Flip, ...]
    worse: tuple[Flip, ...]
    shared: int
    only_first: int
    only_second: int
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As `arena compare --json` prints it."""
        return {
            "difference": self.difference.to_json(),
            "environments": {env: estimate.to_json() for env, estimate in self.by_env.items()},
            "better": [{"task": f.task, "before": f.before, "after": f.after} for f in self.better],
            "worse": [{"task": f.task, "before": f.before, "after": f.after} for f in self.worse],
            "shared": self.shared,
            "only_first": self.only_first,
            "only_second": self.only_second,
            "warnings": list(self.warnings),
        }


def compare(first: Run, second: Run) -> Comparison:
    """Compare two runs over the tasks that both scored.

    Raises:
        UsageError: they share no scored task.
    """
    a, b = _scores(first.rows()), _scores(second.rows())
    shared = {task: env for task, (env, _) in a.items() if task in b}
    if not shared:
        raise UsageError("The two runs share no scored task (same environment, parameters, seed and turn limit).")
    of_a = {task: a[task][1] for task in shared}
    of_b = {task: b[task][1] for task in shared}
    changes = [Flip(task, fmean(of_a[task]), fmean(of_b[task])) for task in shared]
    changes.sort(key=lambda flip: -abs(flip.after - flip.before))
    by_env = {
        env: estimate_difference({t: of_a[t] for t in shared if shared[t] == env}, of_b)
        for env in dict.fromkeys(shared.values())
    }
    difference = estimate_difference(of_a, of_b)
    return Comparison(
        difference=difference,
        by_env=by_env,
        better=tuple(flip for flip in changes if flip.after > flip.before),
        worse=tuple(flip for flip in changes if flip.after < flip.before),
        shared=len(shared),
        only_first=len(a) - len(shared),
        only_second=len(b) - len(shared),
        warnings=tuple(_warnings(difference, len(shared), len(a), len(b))),
    )


def _scores(rows: Sequence[Row]) -> dict[str, tuple[str, list[float]]]:
    scores: dict[str, tuple[str, list[float]]] = {}
    for row in rows:
        if row.outcome.scored and row.score is not None:
            scores.setdefault(row.key.task, (row.env, []))[1].append(row.score)
    return scores


def _warnings(difference: Estimate, shared: int, first: int, second: int) -> list[str]:
    warnings = []
    if difference.method == "clustered" and shared < FEW_TASKS:
        warnings.append(f"Only {shared} shared tasks, so the interval is rough.")
    if shared < max(first, second):
        warnings.append(f"{first - shared} tasks of the first run and {second - shared} of the second have no pair.")
    return warnings
