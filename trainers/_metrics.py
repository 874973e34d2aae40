"""What is measured at each step, as one JSON line a step in `metrics.jsonl`."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.evaluation.statistics import estimate_mean
from arena.trainers._groups import has_spread
from arena.trainers._segments import sum_by

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from arena.core.episode import Episode
    from arena.core.task import Task
    from arena.trainers._ranks import Ranks
    from arena.trainers._table import TurnTable

TIMED = ("seconds", "rates")
"""The entries of a line that depend on the clock; everything else is the same in a run repeated."""


class MetricsFile:
    """`metrics.jsonl`: a line per step, the one of step 0 being the evaluation before the first.

    Attributes:
        lines: all of them.
    """

    def __init__(self, folder: Path, until: int | None = None, *, writes: bool = True) -> None:
        """Open it; lines after step `until` are cut off. Without `writes` it only remembers what is added."""
        self._path, self._writes = folder / "metrics.jsonl", writes
        self.lines: list[dict[str, Any]] = []
        if until is None or not self._path.exists():
            return
        for text in self._path.read_text().splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                break  # the end of a line that was being written
            if line["step"] <= until:
                self.lines.append(line)
        if not writes:
            return
        fresh = self._path.with_suffix(".new")
        fresh.write_text("".join(json.dumps(line) + "\n" for line in self.lines))
        fresh.replace(self._path)

    def add(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Append a line; it is on the disk when this returns. Returns it as it stands there."""
        plain: dict[str, Any] = _plain(line)
        self.lines.append(plain)
        if self._writes:
            with self._path.open("a") as file:
                file.write(json.dumps(plain) + "\n")
                file.flush()
                os.fsync(file.fileno())
        return plain

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The lines of training steps."""
        return [line for line in self.lines if line["step"] > 0]

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """The lines with an evaluation."""
        return [line for line in self.lines if "eval" in line]

    def in_short(self) -> list[str]:
        """Where training stands, in a few words each."""
        words = []
        if self.steps:
            last = self.steps[-1]
            shown = (("success", 2), ("reward", 2), ("entropy", 3))
            words += [f"{name} {last[name] or 0:.{digits}f}" for name, digits in shown if name in last]
        if self.evaluations:
            held_out = self.evaluations[-1]["eval"]["success"]["mean"]
            words.append(f"held-out {held_out if held_out is not None else float('nan'):.2f}")
        return words


def of_episodes(episodes: Sequence[Episode]) -> dict[str, Any]:
    """Reward, success with its interval, lengths, and the share that was lost, also by the turn that was reached."""
    scored = [episode for episode in episodes if episode.outcome.scored]
    by_task: dict[str, list[float]] = {}
    for episode in scored:
        by_task.setdefault(episode.key.task, []).append(float(bool(episode.success)))
    success = estimate_mean(by_task)
    turns = sum(len(episode.turns) for episode in scored)
    sampled = sum(episode.usage.output for episode in scored)
    lost = Counter(len(episode.turns) for episode in episodes if not episode.outcome.scored)
    return {
        "episodes": len(episodes),
        "reward": _mean([episode.total_reward for episode in scored]),
        "score": _mean([episode.score or 0.0 for episode in scored]),
        "success": success.mean,
        "success_low": success.low,
        "success_high": success.high,
        "turns": turns / max(len(scored), 1),
        "sampled_tokens": sampled,
        "tokens_per_turn": sampled / max(turns, 1),
        "lost": 1 - len(scored) / max(len(episodes), 1),
        "lost_at_turn": {str(turn): count / len(episodes) for turn, count in sorted(lost.items())},
    }


def of_credit(table: TurnTable, credit: NDArray[np.float64]) -> dict[str, float]:
    """How the credit is spread: over the tokens that were sampled in scored episodes."""
    tokens = table.sampled
    values = credit[tokens.where][tokens.scored]
    spread = has_spread(table.trajectory_return, table.trajectory_group, table.trajectory_scored)
    flat = dict.fromkeys(table.trajectory_group.tolist(), True)
    flat |= {group: False for group, has in zip(table.trajectory_group.tolist(), spread, strict=True) if has}
    return {
        "zero_spread": sum(flat.values()) / max(len(flat), 1),
        "advantage_mean": float(values.mean()) if len(values) else 0.0,
        "advantage_std": float(values.std()) if len(values) else 0.0,
        "advantage_zero": float((values == 0).mean()) if len(values) else 1.0,
    }


def magnitudes(
    played: Sequence[Episode], trained: Sequence[Episode], table: TurnTable, credit: NDArray[np.float64]
) -> list[tuple[Task, float]]:
    """The mean absolute advantage over the sampled tokens of each scored episode: what curricula learn from.

    Args:
        played: all episodes of the step; those that were dropped taught nothing and have 0.
        trained: the episodes of the table.
        table: their turns.
        credit: advantage of each token (N).
    """
    tokens = table.sampled
    episode = table.episode[tokens.turn]
    total = sum_by(episode, np.abs(credit[tokens.where]), len(trained))
    mean = total / np.maximum(np.bincount(episode, minlength=len(trained)), 1)
    found = {one.key: float(value) for one, value in zip(trained, mean, strict=True)}
    return [(one.task.task, found.get(one.key, 0.0)) for one in played if one.outcome.scored]


def rates(line: Mapping[str, Any]) -> dict[str, float]:
    """Tokens per second of a step's sampling and of its update, where it had one."""
    seconds = line["seconds"]
    counted = (("sampled_tokens", "sample"), ("computed_tokens", "update"))
    return {
        f"{name}_per_second": line[name] / max(seconds.get(what, 0.0), 1e-9) for name, what in counted if name in line
    }


class Averages:
    """Means of metrics over the passes of a step, each weighed by its tokens."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._weights: dict[str, float] = {}

    def add(self, values: Mapping[str, float], weight: float) -> None:
        """Take in the values of a pass."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + weight * value
            self._weights[name] = self._weights.get(name, 0.0) + weight

    def add_up(self, ranks: Ranks) -> None:
        """Take in what the other ranks averaged."""
        found = ranks.exchange((self._sums, self._weights))
        self._sums, self._weights = _sums(sums for sums, _ in found), _sums(weights for _, weights in found)

    def means(self) -> dict[str, float]:
        """What they come to."""
        return {name: total / (self._weights[name] or 1.0) for name, total in self._sums.items()}


def _sums(found: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for values in found:
        for name, value in values.items():
            total[name] = total.get(name, 0.0) + value
    return total


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.fsum(found) / len(found) if found else math.nan


def _plain(value: Any) -> Any:
    """As JSON takes it: what is not finite becomes None, numbers Python's own."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


__all__ = ["TIMED", "Averages", "MetricsFile", "magnitudes", "of_credit", "of_episodes", "rates"]
