"""One run of the value benchmark: recorded episodes, a student cloned from them, an algorithm, and how it plays.

Results are lines of a JSON Lines file, one appended per finished run; what was made on the way (data, clones,
critics) stays in the work folder until the task and seed are done, so next to nothing is lost.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from arena.evaluation import evaluate
from arena.evaluation.collection import CollectConfig, collect_async
from arena.evaluation.evaluate import in_any_thread
from arena.records import open_run
from arena.trainers._student import build_student
from benchmarks._learning_runs import Said, train
from benchmarks._value_tasks import BETA, CANDIDATES, CLONING, OFFLINE, TASKS, TOLD, ValueTask


@dataclass(frozen=True)
class Played:
    """What one run came to.

    Attributes:
        task, name, seed: which run it is; the seed is that of the data, the student and all samples.
        reward: mean return of the held-out episodes.
        success: share of them that succeeded.
        lowest, usual, best: the lowest return in the data, its mean, and the oracle's mean on the held-out tasks.
        episodes: held-out ones that were scored.
        cpu_seconds: of the run, what it goes on from not counted.
        finished: when.
    """

    task: str
    name: str
    seed: int
    reward: float
    success: float
    lowest: float
    usual: float
    best: float
    episodes: int
    cpu_seconds: float
    finished: str

    @property
    def key(self) -> tuple[str, str, int]:
        """Names the run."""
        return self.task, self.name, self.seed

    @property
    def normalised(self) -> float:
        """LMRL-Gym's: 0 is the lowest return, 50 the data's mean, 100 the oracle's; linear in between and beyond."""
        if self.reward >= self.usual:
            return 50 + 50 * (self.reward - self.usual) / (self.best - self.usual)
        return 50 * (self.reward - self.lowest) / (self.usual - self.lowest)


NAMES = (*OFFLINE, *(f"best_of_{n}" for n in CANDIDATES))
"""In the order in which the runs of a task and seed follow from one another."""


def read(file: Path) -> list[Played]:
    """The finished runs of a file; none where there is no file."""
    return [Played(**line) for line in lines_of(file)]


def lines_of(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a JSON Lines file; none where there is no file."""
    if file.exists():
        yield from (json.loads(line) for line in file.read_text().splitlines() if line)


def append(file: Path, found: Any) -> None:
    """Add a line for a finished run."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as opened:
        opened.write(json.dumps(asdict(found)) + "\n")


def read_turns(
    run_folder: Path, model: Path, agent: str, gamma: float, most: int | None = None
) -> tuple[Any, Any, Any]:
    """The scored episodes of a run and their turns, written as an agent with a model would have been shown them.

    Args:
        run_folder: of the run.
        model: in whose tokens.
        agent: spec of the agent.
        gamma: discount per turn of the returns.
        most: so many episodes at most.

    Returns:
        The model as a policy, the episodes, and their `TurnRows`.
    """
    from arena.agents import build
    from arena.trainers import TurnTable
    from arena.trainers._policy import Policy
    from arena.trainers._turn_rows import TurnReader

    with open_run(run_folder) as run:
        episodes = [episode for episode in run.episodes() if episode.outcome.scored and episode.turns][:most]
    policy = Policy.load(str(model))
    reader = TurnReader(lambda made: build(agent, made), policy.model, policy.context)
    return policy, episodes, reader.rows(episodes, TurnTable.from_episodes(episodes), gamma, own=False)


def run_missing(
    wanted: Iterable[tuple[str, str, int]], file: Path, work: Path, say: Said = print, **changes: Any
) -> list[Played]:
    """Do the runs that the file lacks, in order, and append each as it ends.

    Args:
        wanted: task, name and seed of each.
        file: JSON Lines of finished runs.
        work: folder for data, clones and critics.
        say: receives a line now and then.
        changes: to attributes of all tasks, such as `held_out=50`.
    """
    for key in wanted:
        if key in {found.key for found in read(file)}:
            continue
        task, name, seed = key
        played = Offline(replace(TASKS[task], **changes), task, seed, work / f"{task}-{seed}", say).run(name)
        append(file, played)
        say(
            f"{task} {name} seed {seed}: {played.normalised:.1f} of 100, success {played.success:.3f}, "
            f"{played.cpu_seconds:.0f} CPU-s"
        )
    return read(file)


@dataclass(frozen=True)
class Offline:
    """The runs of one task and seed, which share their data and their clone."""

    task: ValueTask
    name: str
    seed: int
    folder: Path
    say: Said = print

    def run(self, name: str) -> Played:
        """Train as `name` says, unless that is done, and play the held-out tasks."""
        made = {"bc", name if name in OFFLINE else "offline_archer"}
        for needed in sorted(made - {name}):
            self.trained(needed)
        lowest, usual, best = self.bounds()
        begun = time.process_time()
        agent, model = self.players(name)
        rewards, successes = self.play(name, agent, model)
        return Played(
            self.name,
            name,
            self.seed,
            float(np.mean(rewards)),
            float(np.mean(successes)),
            lowest,
            usual,
            best,
            len(rewards),
            round(time.process_time() - begun, 1),
            datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def players(self, name: str) -> tuple[str, str]:
        """Agent and model that play for a name."""
        if name.startswith("best_of_"):
            kind, _, options = self.task.agent.partition(":")
            assert kind == "chat"
            chosen = f"best_of_n:n={name.rpartition('_')[2]},critic={self.trained('offline_archer')},{options}"
            return chosen, f"hf:{self.trained('bc') / 'model'}"
        folder = self.trained(name)
        if name in ("mc", "ilql"):
            return self.task.agent, f"hf:{folder / 'model'},critic={folder},beta={BETA}"
        return self.task.agent, f"hf:{folder / 'model'}"

    def play(self, name: str, agent: str, model: str | None) -> tuple[list[float], list[bool]]:
        """Return and success of each held-out episode."""
        folder = self.folder / f"played-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        evaluate(self.task.env, agent, model, out=folder, concurrency=64, **self.task.played)
        with open_run(folder) as run:
            rows = [row for row in run.rows() if row.outcome.scored]
        return [row.reward for row in rows], [bool(row.success) for row in rows]

    def bounds(self) -> tuple[float, float, float]:
        """The lowest return of the data, its mean, and the oracle's mean on the held-out tasks."""
        with open_run(self.data()) as run:
            returns = [row.reward for row in run.rows()]
        kept = self.folder / "oracle.json"
        if not kept.exists():
            kept.write_text(json.dumps(float(np.mean(self.play("oracle", "oracle", None)[0]))))
        return min(returns), float(np.mean(returns)), json.loads(kept.read_text())

    def data(self) -> Path:
        """The recorded episodes; collected if they are not there, completed if they are not all there."""
        folder, task = self.folder / "data", self.task
        asked = CollectConfig.read(
            {
                "target": task.env,
                "agents": task.agents,
                "episodes": task.episodes,
                "params": task.params,
                "max_turns": task.max_turns,
                "seed": self.seed,
            }
        )
        there = (folder / "run.toml").exists()
        in_any_thread(collect_async(asked, out=None if there else folder, resume=folder if there else None))
        return folder

    def trained(self, name: str) -> Path:
        """The run folder of an algorithm, trained if it is not there."""
        out = self.folder / name
        if (out / "model").exists():
            return out
        imitates = name in ("bc", "filtered_bc")
        config: dict[str, Any] = {
            **self.task.common,
            **(CLONING if imitates else {}),
            "data": {"runs": [str(self.data())]},
            "model": str(self.student() if imitates else self.trained("bc") / "model"),
            "eval_every": 0,
            "seed": self.seed,
            **TOLD[name],
            **self.task.told.get(name, {}),
        }
        train(config, out, lambda text: self.say(f"{self.name} {name}: {text}"))
        return out

    def student(self) -> Path:
        """A model with random weights that knows the game's words."""
        folder, task = self.folder / "student", self.task
        if not folder.exists():
            build_student(folder, task.env, task.params, seed=self.seed, **task.student)
        return folder


__all__ = ["NAMES", "Offline", "Played", "append", "lines_of", "read", "read_turns", "run_missing"]
