"""How much of what is earned critics know: of the episodes that they learned from, and of held-out ones.

Shapes: T turns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._value_exact import scores_after
from benchmarks._value_online import least_q
from benchmarks._value_runs import append, lines_of, read_turns
from benchmarks._value_tasks import TASKS

NAMES = ("mc", "ilql", "offline_archer")
"""Who is asked."""

_GAMMA = 0.99


@dataclass(frozen=True)
class Known:
    """What one run's critic says of the actions that were taken, beside the discounted returns that came.

    Attributes:
        task, name, seed: which run.
        data: the share of the returns' variance in the data that its Q explains.
        held_out: the same in the clone's held-out episodes; below 0: it is further off than their mean.
        by_turn: what the mean of all turns with the same number explains there.
        finished: when.
    """

    task: str
    name: str
    seed: int
    data: float
    held_out: float
    by_turn: float
    finished: str

    @property
    def key(self) -> tuple[str, str, int]:
        """Names the run."""
        return self.task, self.name, self.seed


def read(file: Path) -> list[Known]:
    """What has been asked; nothing where there is no file."""
    return [Known(**line) for line in lines_of(file)]


def ask_missing(wanted: Iterable[tuple[str, str, int]], file: Path, work: Path) -> None:
    """Ask the critics of the finished runs that the file lacks, and append an answer for each."""
    for task, name, seed in wanted:
        folder = work / f"{task}-{seed}"
        asked = (task, name, seed) not in {found.key for found in read(file)}
        if asked and name in NAMES and (folder / name / "model").exists() and (folder / "played-bc").exists():
            append(file, known(task, name, seed, folder))


def known(task: str, name: str, seed: int, folder: Path) -> Known:
    """Ask one run's critic about both kinds of episodes."""
    data, _ = _explained(task, name, folder, folder / "data")
    held_out, by_turn = _explained(task, name, folder, folder / "played-bc")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Known(task, name, seed, round(data, 4), round(held_out, 4), round(by_turn, 4), now)


def share_explained(said: NDArray[Any], came: NDArray[Any]) -> float:
    """1 - mean (came - said)^2 / var(came), of T numbers each."""
    return float(1 - np.square(came - said).mean() / came.var())


def _explained(task: str, name: str, folder: Path, run_folder: Path) -> tuple[float, float]:
    """What Q, and what the turn's number, explain of the returns of a run's turns."""
    policy, _, rows = read_turns(run_folder, folder / "bc" / "model", TASKS[task].agent, _GAMMA)
    prompts, answers = rows.sequences["prompt"], rows.sequences["answer"]
    came, number, critic = rows.scalars["return"], rows.scalars["turn"], folder / name / "critic"
    if name == "offline_archer":
        said = least_q(critic, [np.concatenate(both) for both in zip(prompts, answers, strict=True)])
    else:  # what is to be expected once the last token of an answer is said
        before = [np.concatenate([p, a[:-1]]) for p, a in zip(prompts, answers, strict=True)]
        last = np.array([answer[-1] for answer in answers])
        said = scores_after(before, policy.network, critic)[np.arange(len(last)), last]
    means = {turn: came[number == turn].mean() for turn in np.unique(number).tolist()}
    by_turn = np.array([means[turn] for turn in number.tolist()])
    return share_explained(said, came), share_explained(by_turn, came)


__all__ = ["NAMES", "Known", "ask_missing", "known", "read", "share_explained"]
