"""`arena quickstart --train`: a model that knows nothing learns to find its way, from examples and then by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from arena.cli._console import counted, notice, pairs, say, show
from arena.cli._learned import before_and_after, evaluating, save_plots

ENV, PARAMS = "arena/Maze-v0", {"size": 5, "walls": 0.5, "reward": "illegal_penalty"}
DEMONSTRATIONS = 24

GAME: dict[str, Any] = {"env": ENV, "params": PARAMS, "max_turns": 16, "eval_tasks": 200}
CLONING: dict[str, Any] = {
    "algorithm": "bc",
    "steps": 1,
    "tasks": DEMONSTRATIONS,
    "epochs": 30,
    "minibatches": 5,
    "eval_every": 1,
    "optimiser": {"learning_rate": 2e-3, "final_share": 0.1},
}
LEARNING: dict[str, Any] = {
    "algorithm": "gigpo",
    "steps": 60,
    "tasks": 16,
    "group_size": 8,
    "minibatches": 8,
    "eval_every": 15,
    "optimiser": {"learning_rate": 4e-4},
    "settings": {"mode": "mean_std_norm", "clip_high": 0.28},
}


def teach(folder: Path) -> int:
    """Build a student, clone the oracle, train it from its own episodes; the learning curve and a table at the end."""
    from arena.trainers._curve import curve, in_terminal
    from arena.trainers._student import AGENT, build_student

    notice("1/3  Building a tiny model with random weights …")
    student = build_student(folder / "student", ENV, PARAMS)
    notice(f"2/3  Showing it {counted(DEMONSTRATIONS, 'solved maze')} (behaviour cloning) …")
    cloned = _train({**GAME, **CLONING, "agent": AGENT, "model": str(student)}, folder / "cloned")
    if cloned is None:
        return 130
    episodes = LEARNING["tasks"] * LEARNING["group_size"]
    notice(f"3/3  Training it with GiGPO from its own episodes, {LEARNING['steps']} times {episodes} of them …")
    trained = _train({**GAME, **LEARNING, "agent": AGENT, "model": str(folder / "cloned" / "model")}, folder / "gigpo")
    if trained is None:
        say(f"\nGo on with: arena train --resume {folder / 'gigpo'}")
        return 130
    say()
    for line in in_terminal(curve(trained.metrics.lines), measure="success on mazes it was never trained on"):
        say(line)
    untaught, taught = (line["eval"] for line in cloned.metrics.evaluations)
    rows = {"random weights": untaught, f"after {DEMONSTRATIONS} solved mazes": taught}
    show(before_and_after(trained, {**rows, "after its own episodes": trained.metrics.evaluations[-1]["eval"]}))
    say("\nWhat next:")
    following: dict[str, object] = {
        "see it walk": f"arena replay {folder / 'gigpo'}",
        "evaluate it": evaluating(trained),
        "another algorithm": f"arena train grpo -c {folder / 'gigpo' / 'run.toml'}",
        "your model": f"arena train gigpo --env {ENV} --model FOLDER",
    }
    plots = save_plots(trained)
    if plots:
        following["learning curve"] = plots[0]
    pairs(following)
    return 0


def _train(config: dict[str, Any], folder: Path) -> Any:
    """One training; None if Ctrl-C ended it."""
    from arena.cli.train import follow
    from arena.trainers._config import TrainConfig
    from arena.trainers._training import Training

    with Training.start(TrainConfig.read(config), folder) as training:
        return None if follow(training) else training
