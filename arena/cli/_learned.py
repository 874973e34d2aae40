"""What a training came to: the learning curve, the table before and after, and what to type next."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.cli._console import notice, pairs, say, show
from arena.core.errors import MissingPrerequisite

if TYPE_CHECKING:
    from rich.table import Table

    from arena.trainers._training import Training


def save_plots(training: Training) -> list[Path]:
    """The learning curve as figures in the run folder; none where matplotlib is missing or there is nothing to draw."""
    from arena.trainers._algorithms import algorithm
    from arena.trainers._curve import curve, figure, save_figure

    lines, config = training.metrics.lines, training.config
    held_out, sampled = curve(lines, label="held-out tasks, 95 % interval"), curve(lines, "sampled", label="training")
    if algorithm(config.algorithm).imitates:
        sampled = curve([])  # how well somebody else played
    front, behind = ([held_out], [sampled] if len(sampled) else []) if len(held_out) else ([sampled], [])
    if not any(map(len, front)):
        return []
    drawn_alone = f"success on {'held-out' if len(held_out) else 'training'} tasks, 95 % interval"
    measure = "success" if behind else drawn_alone
    try:
        drawn = figure(front, behind=behind, title=f"{config.algorithm} on {config.env}", measure=measure)
    except MissingPrerequisite as error:
        notice(f"! {error}")
        return []
    return save_figure(drawn, training.folder / "curve")


def report(training: Training, complete: bool, plots: list[Path]) -> None:
    """The learning curve, before and after on held-out tasks, and what to type next."""
    from arena.trainers._curve import curve, in_terminal

    folder, evaluations = training.folder, training.metrics.evaluations
    if evaluations:
        for line in in_terminal(curve(training.metrics.lines), measure="success on held-out tasks"):
            say(line)
        last = evaluations[-1]
        after = {f"after step {last['step']}": last["eval"]} if last["step"] else {}
        show(before_and_after(training, {"before": evaluations[0]["eval"], **after}))
    say()
    following = {"evaluate it": evaluating(training)} if complete else {"go on": f"arena train --resume {folder}"}
    following["read its episodes"] = f"arena replay {folder}"
    if plots:
        following["learning curve"] = str(plots[0])
    pairs({**following, "metrics": str(folder / "metrics.jsonl")})


def before_and_after(training: Training, evaluations: dict[str, dict[str, Any]]) -> Table:
    """Evaluations on the held-out tasks of a training, one row each."""
    from rich.table import Table

    number = next(iter(evaluations.values()))["success"]["n"]
    table = Table(title=f"{training.config.env}, {number} held-out tasks", title_justify="left")
    for name in ("", "success, 95 %", "score, 95 %", "turns"):
        table.add_column(name, justify="left" if not name else "right")
    for name, found in evaluations.items():
        turns = found["turns"]
        shown = "–" if turns is None else f"{turns:.1f}"
        table.add_row(name, _interval(found["success"]), _interval(found["score"]), shown)
    return table


def evaluating(training: Training) -> str:
    """The command that evaluates the result as training did."""
    from arena.trainers._algorithms import read_settings

    config = training.config
    model = str(training.folder / "model")
    if training.guide is not None:
        model = f"hf:{model},critic={training.folder},beta={read_settings(config.algorithm, config.settings).beta:g}"
    words = ["arena", "eval", config.env, "-a", config.agent, "-m", model]
    settings = [f"params.{name}={json.dumps(value)}" for name, value in config.params.items()]
    settings += [f"max_turns={config.max_turns}"] if config.max_turns is not None else []
    for setting in settings:
        words += ["--set", setting]
    return shlex.join(words)


def _interval(estimate: dict[str, Any]) -> str:
    if estimate["mean"] is None:
        return "–"
    if estimate["low"] is None:
        return f"{estimate['mean']:.3f}"
    return f"{estimate['mean']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
