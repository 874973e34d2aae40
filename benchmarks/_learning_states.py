"""How often states recur in the learning benchmark's tasks: what GiGPO's step advantages have to work with.

Measured on episodes that the clones play, before anything is learned from them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from arena.trainers import gigpo
from arena.trainers._config import TrainConfig
from arena.trainers._table import TurnTable
from arena.trainers._training import Training
from benchmarks._learning_runs import Said, cloned
from benchmarks._learning_tasks import LEARNING, SETTINGS, TASKS

_STEPS = 3
"""The first step takes tasks of which the clone knows some, so the others are counted."""


@dataclass(frozen=True)
class Recurring:
    """What one clone's episodes hold, as shares.

    Attributes:
        task, seed: whose.
        turns: of the episodes.
        success: of the episodes.
        silent: groups whose episodes all had the same return, so that GRPO learns nothing from them.
        recurring: turns that acted in a state in which another episode of the group acted too.
        credited: turns with a step advantage other than 0 …
        credited_silent: … and among the turns of the silent groups.
    """

    task: str
    seed: int
    turns: int
    success: float
    silent: float
    recurring: float
    credited: float
    credited_silent: float


def measure_states(task: str, seed: int, work: Path, say: Said = print) -> Recurring:
    """Let the clone of a task play some steps."""
    known = TASKS[task]
    clone = cloned(known, work / f"{task}-{seed}", seed, say)
    told = {**known.common, **LEARNING, "algorithm": "gigpo", "model": str(clone), "seed": seed, "eval_every": 0}
    with (
        tempfile.TemporaryDirectory() as folder,
        Training.start(TrainConfig.read(told), Path(folder, "run")) as training,
    ):
        next(training.steps())
        episodes = [episode for step in range(1, _STEPS + 1) for episode in training.collect(step) if step > 1]
    table = TurnTable.from_episodes(episodes)
    return recurring(table, task, seed, float(np.mean([bool(episode.success) for episode in episodes])))


def recurring(table: TurnTable, task: str, seed: int, success: float) -> Recurring:
    """The shares of a table of turns."""
    config = gigpo.Config(**SETTINGS["gigpo"])
    states = gigpo.step_groups(table, config)
    pairs = np.unique(np.stack([states, table.episode]), axis=1)
    shared = np.bincount(pairs[0], minlength=states.max() + 1)[states] > 1
    credited = gigpo.step_advantages(table, config) != 0
    groups, place = np.unique(table.group, return_inverse=True)
    compared = np.bincount(place, gigpo.episode_advantages(table, config) != 0, len(groups))
    equal = compared == 0
    in_silent = equal[place]
    return Recurring(
        task,
        seed,
        len(table),
        round(success, 4),
        round(float(equal.mean()), 4),
        round(float(shared.mean()), 4),
        round(float(credited.mean()), 4),
        round(float(credited[in_silent].mean()), 4) if in_silent.any() else 0.0,
    )


def write_states(found: Iterable[Recurring], file: Path) -> None:
    """Add to a JSON Lines file what it does not have yet, and replace what it has."""
    known = {(one.task, one.seed): one for one in [*read_states(file), *found]}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(asdict(one)) + "\n" for one in known.values()))


def read_states(file: Path) -> list[Recurring]:
    """What was measured; nothing where there is no file."""
    if not file.exists():
        return []
    return [Recurring(**json.loads(line)) for line in file.read_text().splitlines() if line]
