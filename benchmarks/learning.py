"""Whether a tiny model learns from its own episodes: held-out success against environment turns.

A model of 0.3 M parameters is built on the spot, clones an oracle on a few mazes, and goes on with each
algorithm from there. As a module it is the reduced run; the full one names more:

    python -m benchmarks learning
    python -m benchmarks.learning --algorithms gigpo,grpo,rloo,reinforce --seeds 5 --steps 60
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.agents.models.tiny import build_tiny_model
from arena.core import registry
from arena.trainers._config import TrainConfig
from arena.trainers._training import Training
from benchmarks._report import Figure, Report

SYSTEM = "Maze."
SHOWN = "system\n{system}\nuser\n12 turns have passed.\n\nObservation: {text}\nassistant\n{actions}"
ACTIONS = "move left move right move up move down"
TASKS = {"maze": {"env": "arena/Maze-v0", "params": {"size": 5}, "max_turns": 25}}
CLONING = {
    "algorithm": "bc",
    "steps": 3,
    "tasks": 60,
    "epochs": 7,
    "minibatches": 8,
    "eval_every": 3,
    "optimiser": {"learning_rate": 2e-3, "final_share": 0.1},
}
LEARNING = {
    "tasks": 16,
    "group_size": 8,
    "epochs": 2,
    "minibatches": 6,
    "eval_every": 10,
    "entropy_bonus": 0.003,
    "optimiser": {"learning_rate": 3e-4},
}
SETTINGS: dict[str, dict[str, Any]] = {"gigpo": {"clip_high": 0.28}, "grpo": {"clip_high": 0.28}}
HELD_OUT = 200


@dataclass(frozen=True)
class Curve:
    """One training: held-out success after so many environment turns.

    Attributes:
        points: (turns, success, low, high), the first before the first step.
        seconds: CPU time.
    """

    task: str
    algorithm: str
    seed: int
    points: list[tuple[int, float, float, float]]
    seconds: float


def build(folder: Path, task: str, seed: int) -> Path:
    """A model whose tokenizer knows the game's words, so that an observation is about 50 tokens."""
    told = TASKS[task]
    game = registry.make_raw(told["env"], **told["params"])
    text = []
    for drawn in registry.tasks(told["env"], "train", 50, 9, told["params"]):
        observation, _ = game.reset(seed=drawn.seed)
        text.append(SHOWN.format(system=SYSTEM, text=observation, actions=ACTIONS))
    (folder / "system.j2").write_text(SYSTEM)
    sizes = {"hidden": 96, "layers": 2, "vocabulary": 600, "context": 128, "initializer_range": 0.03}
    return build_tiny_model(folder / "model", text=text, seed=seed, **sizes)


def train(out: Path, model: Path, *, system: Path, task: str, seed: int, options: dict[str, Any]) -> Curve:
    """One training run, with its evaluations."""
    agent = f"chat:window=0,system={system},max_tokens=4"
    common = {**TASKS[task], "model": str(model), "agent": agent, "seed": seed, "eval_tasks": HELD_OUT}
    begun = time.process_time()
    with Training.start(TrainConfig.read({**common, **options}), out) as training:
        training.on_notice = print
        training.run()
        lines = training.metrics.lines
    points, turns = [], 0
    for line in lines:
        turns += round(line.get("turns", 0) * line.get("episodes", 0))
        if "eval" in line:
            found = line["eval"]["success"]
            points.append((turns, found["mean"], found["low"], found["high"]))
    return Curve(task, options["algorithm"], seed, points, time.process_time() - begun)


def curves(algorithms: Sequence[str], seeds: int, steps: int, task: str = "maze") -> list[Curve]:
    """All trainings: for each seed a clone, and from it every algorithm."""
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        for seed in range(seeds):
            folder = Path(temporary, str(seed))
            folder.mkdir()
            start, system = build(folder, task, seed), folder / "system.j2"
            found.append(train(folder / "bc", start, system=system, task=task, seed=seed, options=CLONING))
            for name in algorithms:
                options = {**LEARNING, "algorithm": name, "steps": steps, "settings": SETTINGS.get(name, {})}
                clone = folder / "bc" / "model"
                found.append(train(folder / name, clone, system=system, task=task, seed=seed, options=options))
                last = found[-1].points[-1]
                print(f"{task} {name} seed {seed}: {found[-1].points[0][1]:.3f} -> {last[1]:.3f}", flush=True)
    return found


def interquartile_mean(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean of the middle half, with a bootstrapped 95 % interval over seeds (Agarwal et al. 2021)."""
    import numpy as np
    from scipy import stats

    mean = float(stats.trim_mean(values, 0.25))
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    generator = np.random.default_rng(0)
    drawn = generator.choice(np.asarray(values), (10_000, len(values)))
    low, high = np.quantile(stats.trim_mean(drawn, 0.25, axis=1), [0.025, 0.975])
    return mean, float(low), float(high)


def report(found: Sequence[Curve], steps: int, seeds: int) -> Report:
    """Before and after, for each task and algorithm."""
    figures = []
    for task, name in dict.fromkeys((curve.task, curve.algorithm) for curve in found):
        own = [curve for curve in found if (curve.task, curve.algorithm) == (task, name)]
        mean, low, high = interquartile_mean([curve.points[-1][1] for curve in own])
        before = interquartile_mean([curve.points[0][1] for curve in own])[0]
        _, _, least, most = own[0].points[-1]
        interval = f"[{low:.3f}, {high:.3f}] over seeds" if len(own) > 1 else f"[{least:.3f}, {most:.3f}] over mazes"
        turns, seconds = own[0].points[-1][0], sum(curve.seconds for curve in own) / len(own)
        note = f"before {before:.3f}; 95 % interval {interval}; {turns:,} turns, {seconds:.0f} CPU-s a run."
        figures.append(Figure(f"{task}, {name}: held-out success", mean, "share", more_is_better=True, note=note))
    method = (
        f"{seeds} seed(s), {steps} steps of {LEARNING['tasks']} tasks x {LEARNING['group_size']} episodes, from a "
        f"clone of the oracle on {CLONING['tasks'] * CLONING['steps']} mazes; {HELD_OUT} held-out mazes, sampled."
    )
    extra = {"curves": [vars(curve) for curve in found]}
    return Report(method, figures, extra)


def measure() -> Report:
    """The reduced run: GiGPO and GRPO, one seed."""
    return report(curves(["gigpo", "grpo"], 1, 30), 30, 1)


def main() -> None:
    """The full run, as it is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning")
    parser.add_argument("--algorithms", default="gigpo,grpo,rloo,reinforce")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    asked = parser.parse_args()
    done = report(curves(asked.algorithms.split(","), asked.seeds, asked.steps), asked.steps, asked.seeds)
    done.write("learning")
    print(done.table())


if __name__ == "__main__":
    main()
