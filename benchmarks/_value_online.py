"""ArCHer beside on-policy algorithms: one run that plays, and how well its critic's values are those it earns.

Shapes: T turns of held-out episodes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.core.seeds import Split
from arena.evaluation.statistics import wilson
from benchmarks._learning_runs import Learned, Said, learn_on, name_of
from benchmarks._learning_tasks import LEARNING, LearningTask
from benchmarks._value_runs import append, lines_of, read_turns
from benchmarks._value_tasks import ARCHERS, ONLINE_TASKS, SAMPLED, archer_told, drawn_from

_BINS, _EPISODES, _GAMMA, _POOLED = 10, 100, 0.95, 8


@dataclass(frozen=True)
class Trained(Learned):
    """A run of the learning benchmark's form, and what its critic is worth.

    Attributes:
        predicted, earned: means over ten equal parts of the turns of held-out episodes, by what the critic says of
            the action that was taken (min Q), and of the discounted return that came; empty without a critic.
    """

    predicted: tuple[float, ...] = ()
    earned: tuple[float, ...] = ()

    @property
    def calibration_error(self) -> float:
        """How far apart the two are, on average over the parts."""
        return float(np.abs(np.subtract(self.predicted, self.earned)).mean())

    @property
    def bias(self) -> float:
        """How much more the critic promises than comes."""
        return float(np.subtract(self.predicted, self.earned).mean())


def read(file: Path) -> list[Trained]:
    """The finished runs of a file; none where there is no file. Those of the learning benchmark have no critic."""
    return [Trained(**line) for line in lines_of(file)]


def run_missing(
    wanted: Iterable[tuple[str, str, int]], file: Path, work: Path, say: Said = print, **changes: Any
) -> list[Trained]:
    """Do the runs that the file lacks, in order, and append each as it ends; see `_value_runs.run_missing`."""
    for key in wanted:
        if key in {found.key for found in read(file)}:
            continue
        found = learned(key, work, say, **changes)
        append(file, found)
        first, (turns, last, *_) = found.points[0][1], found.points[-1]
        critic = f", calibration error {found.calibration_error:.3f}" if found.predicted else ""
        said = f"{first:.3f} -> {last:.3f} after {turns:,.0f} turns{critic}, {found.cpu_seconds:.0f} CPU-s"
        say(f"{name_of(key)}: {said}")
    return read(file)


def learned(key: tuple[str, str, int], work: Path, say: Said = print, **changes: Any) -> Trained:
    """Clone a student and let it go on playing."""
    task, name, seed = key
    known = replace(ONLINE_TASKS[task], **changes)
    split: Split = "train" if task in SAMPLED else "eval"
    told: dict[str, Any] = {}
    parts: list[tuple[tuple[float, ...], tuple[float, ...]]] = []
    if name in ARCHERS:
        told = {**archer_told(task, name), **({"steps": changes["steps"]} if "steps" in changes else {})}
        told["eval_every"] = max(told["steps"] // 6, 1)
    if task in SAMPLED:
        told |= {"eval_every": 0, "tasks": known.train_tasks}
    look = (lambda folder: parts.append(calibration(folder, known, split, seed))) if name in ARCHERS else None
    found = learn_on(known, key, work, say, told=told, look=look)
    if task in SAMPLED:
        group = told.get("group_size", LEARNING["group_size"])
        found = replace(found, points=pooled(found.sampled, group, known.train_tasks))
    predicted, earned = parts[0] if parts else ((), ())
    return Trained(**vars(found), predicted=predicted, earned=earned)


def pooled(sampled: list[list[float]], group: int, tasks: int) -> list[list[float]]:
    """[turns so far, success, low, high] of what was sampled, eight episodes of each task to a point.

    Args:
        sampled: [turns with those of the step, success of its episodes] of each step.
        group: episodes of each task in a step.
        tasks: of a step; each of them plays all tasks.
    """
    before, steps = [0.0, *(turns for turns, _ in sampled)], max(_POOLED // group, 1)
    found = []
    for first in range(0, len(sampled), steps):
        part = sampled[first : first + steps]
        success, number = float(np.mean([won for _, won in part])), tasks * group * len(part)
        low, high = wilson(success * number, number)
        found.append([float(np.mean(before[first : first + len(part)])), success, low, high])
    return found


def calibration(
    folder: Path, task: LearningTask, split: Split, seed: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What the critic of a run says of the turns of held-out episodes, and what came of them; see `Trained`.

    The trained policy plays them. An episode that the turn limit ends has earned what it has earned: the critic
    here is trained without bootstrapping from the state at the limit.
    """
    from arena.evaluation import evaluate

    out = folder / "calibration"
    shutil.rmtree(out, ignore_errors=True)
    told = {"params": task.params, "max_turns": task.max_turns, "tasks": min(_EPISODES, task.held_out), "seed": seed}
    told |= drawn_from(split)
    evaluate(task.env, task.agent, f"hf:{folder / 'model'}", out=out, concurrency=64, **told)
    _, _, turns = read_turns(out, folder / "model", task.agent, _GAMMA)
    sequences = turns.sequences
    ids = [np.concatenate(both) for both in zip(sequences["prompt"], sequences["answer"], strict=True)]
    said, came = least_q(folder / "critic", ids), turns.scalars["return"]
    order = np.array_split(np.argsort(said, kind="stable"), _BINS)
    predicted = tuple(round(float(said[part].mean()), 4) for part in order)
    return predicted, tuple(round(float(came[part].mean()), 4) for part in order)


def least_q(folder: Path, sequences: list[NDArray[Any]]) -> NDArray[np.float64]:
    """The least of a critic's Q at the last token of each sequence (T)."""
    import torch

    from arena.agents.models.critic import Critic
    from arena.agents.models.critic_scores import least, q_heads

    critic = Critic.load(folder)
    heads, found = q_heads(critic, str(folder)), []
    with torch.inference_mode():
        for start in range(0, len(sequences), 64):
            part = [torch.tensor(ids[-critic.context :], dtype=torch.long) for ids in sequences[start : start + 64]]
            ids = torch.nn.utils.rnn.pad_sequence(part, batch_first=True)
            lengths = torch.tensor([len(each) for each in part])
            attention = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
            hidden = critic.hidden(ids, attention)[torch.arange(len(part)), lengths - 1]
            found.append(least(critic, heads, hidden).double().reshape(-1).numpy())
    return np.concatenate(found)


__all__ = ["Trained", "calibration", "learned", "least_q", "read", "run_missing"]
