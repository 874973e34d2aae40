"""One run of the learning benchmark: a student, its clone, and one algorithm that goes on from there.

Results are lines of a JSON Lines file, one appended per finished run. A run that was interrupted goes on from
its newest checkpoint, so next to nothing is lost.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from arena.core.errors import UsageError
from arena.records import open_run
from arena.trainers._config import TrainConfig
from arena.trainers._student import build_student
from arena.trainers._training import Training
from benchmarks._learning_tasks import CLONING, LEARNING, ON_POLICY, SETTINGS, TASKS, LearningTask

Said = Callable[[str], None]


@dataclass(frozen=True)
class Learned:
    """What one run came to.

    Attributes:
        task, algorithm, seed: which run it is; the seed is that of the student, its demonstrations, the
            training tasks and all samples.
        points: [turns so far, success, low, high] on held-out tasks, the first before the first step, the
            interval over tasks.
        sampled: [turns so far, success] of the episodes of each step.
        cpu_seconds: of the run, its clone not counted; of an interrupted one, since it went on.
        cloned_in: CPU seconds of the clone; 0 where another run had made it.
        finished: when.
    """

    task: str
    algorithm: str
    seed: int
    points: list[list[float]]
    sampled: list[list[float]]
    cpu_seconds: float
    cloned_in: float
    finished: str

    @property
    def key(self) -> tuple[str, str, int]:
        """Names the run."""
        return self.task, self.algorithm, self.seed


def read(file: Path) -> list[Learned]:
    """The finished runs of a file; none where there is no file."""
    if not file.exists():
        return []
    return [Learned(**json.loads(line)) for line in file.read_text().splitlines() if line]


def run_missing(
    wanted: Iterable[tuple[str, str, int]], file: Path, work: Path, say: Said = print, **changes: Any
) -> list[Learned]:
    """Do the runs that the file lacks, in order, and append each as it ends.

    Args:
        wanted: task, algorithm and seed of each.
        file: JSON Lines of finished runs.
        work: folder for what is made on the way; clones and interrupted runs stay there, finished ones do not.
        say: receives a line now and then.
        changes: to attributes of all tasks, such as `steps=4`.
    """
    for key in wanted:
        if key in {found.key for found in read(file)}:
            continue
        learned = learn(*key, work, say, **changes)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as opened:
            opened.write(json.dumps(asdict(learned)) + "\n")
        first, last = learned.points[0][1], learned.points[-1][1]
        said = f"held-out {first:.3f} -> {last:.3f} after {learned.points[-1][0]:,.0f} turns"
        say(f"{name_of(key)}: {said}, {learned.cpu_seconds:.0f} CPU-s")
    return read(file)


def learn(task: str, algorithm: str, seed: int, work: Path, say: Said = print, **changes: Any) -> Learned:
    """Clone a student, unless that was done for another algorithm, and train it."""
    return learn_on(replace(TASKS[task], **changes), (task, algorithm, seed), work, say)


def learn_on(
    known: LearningTask,
    key: tuple[str, str, int],
    work: Path,
    say: Said = print,
    *,
    told: Mapping[str, Any] = MappingProxyType({}),
    look: Callable[[Path], None] | None = None,
) -> Learned:
    """`learn` for a task that need not be among those of the learning benchmark.

    Args:
        known: the task.
        key: names the run: task, algorithm and seed.
        work: folder for clones and interrupted runs.
        say: receives a line now and then.
        told: what the training is told besides, or otherwise, than all are.
        look: is shown the run folder at the end, before it is removed.
    """
    task, algorithm, seed = key
    begun = time.process_time()
    clone = cloned(known, work / f"{task}-{seed}", seed, say)
    cloned_in, begun = time.process_time() - begun, time.process_time()
    config = {
        **known.common,
        **LEARNING,
        **ON_POLICY.get(algorithm, {}),
        "algorithm": algorithm,
        "model": str(clone),
        "steps": known.steps,
        "eval_every": max(known.steps // 3, 1),
        "checkpoint_every": 4,
        "seed": seed,
        "settings": SETTINGS.get(algorithm, {}),
        **told,
    }
    folder = work / f"{task}-{seed}-{algorithm}"
    lines = train(config, folder, lambda text: say(f"{name_of(key)}: {text}"))
    if look is not None:
        look(folder)
    scored = min((line["eval"]["success"]["n"] for line in lines if "eval" in line), default=known.held_out)
    if scored == known.held_out:
        shutil.rmtree(folder)
    else:
        say(f"{name_of(key)}: an evaluation scored only {scored} tasks; see {folder}")
    return Learned(
        task,
        algorithm,
        seed,
        held_out(lines),
        [[turns, line["success"]] for turns, line in along(lines) if line["step"]],
        round(time.process_time() - begun, 1),
        round(cloned_in, 1),
        datetime.now(UTC).isoformat(timespec="seconds"),
    )


def cloned(task: LearningTask, folder: Path, seed: int, say: Said = print) -> Path:
    """The model that was cloned from demonstrations; made if it is not there yet."""
    clone = folder / "clone" / "model"
    if clone.exists():
        return clone
    student = build_student(folder / "student", task.env, task.params, seed=seed, **task.student)
    config = {
        **task.common,
        **CLONING,
        "model": str(student),
        "tasks": min(task.demonstrations, task.train_tasks),
        "epochs": task.passes,
        "minibatches": max(task.demonstrations // 5, 1),
        "eval_every": 0,
        "seed": seed,
    }
    train(config, folder / "clone", lambda text: say(f"clone: {text}"))
    return clone


def train(config: dict[str, Any], folder: Path, say: Said) -> list[dict[str, Any]]:
    """Run a training, or go on with the same one where it was left off in the folder; the lines of its metrics."""
    with _opened(TrainConfig.read(config), folder) as training:
        training.on_notice = say
        training.run()
        return list(training.metrics.lines)


def _opened(config: TrainConfig, folder: Path) -> Training:
    if (folder / "run.toml").exists():
        with open_run(folder) as run:
            before = run.config
        if before["kind"] == "train" and TrainConfig.read(before["train"]) == config:
            with contextlib.suppress(UsageError):  # it was left off before its first checkpoint
                return Training.resume(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return Training.start(config, folder)


def along(lines: Sequence[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """Each line with the environment turns that training has taken until then."""
    turns, found = 0, []
    for line in lines:
        turns += round((line.get("turns") or 0) * (line.get("episodes") or 0))
        found.append((turns, line))
    return found


def held_out(lines: Sequence[dict[str, Any]]) -> list[list[float]]:
    """[turns so far, success, low, high] of each evaluation."""
    success = [(turns, line["eval"]["success"]) for turns, line in along(lines) if "eval" in line]
    return [[turns, found["mean"], found["low"], found["high"]] for turns, found in success]


def name_of(key: tuple[str, str, int]) -> str:
    """`maze gigpo seed 0`."""
    return f"{key[0]} {key[1]} seed {key[2]}"
