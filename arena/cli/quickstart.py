"""`arena quickstart`: real agents on real games, from nothing, without a network."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arena.cli import _options
from arena.cli._console import console, counted, notice, pairs, say, show
from arena.cli._progress import Interrupts, ProgressLine
from arena.core import registry
from arena.core.errors import MissingPrerequisite, UsageError

if TYPE_CHECKING:
    from arena.evaluation import Evaluation

SUMMARY = "See real agents play real games; nothing else needed."
_TURNS_SHOWN = 4

EXAMPLES = (
    "arena quickstart",
    "arena quickstart --suite text-small --out runs/first",
    "arena quickstart --train",
)


def command(
    suite: Annotated[str, typer.Option(metavar="SUITE", help="The suite to play.")] = "quickstart",
    train: Annotated[
        bool, typer.Option("--train", help="Instead, train a model from nothing to finding its way in mazes (minutes).")
    ] = False,
    out: _options.Out = None,
) -> int:
    """Evaluate the random agent, the oracle and a small local model; replay an episode; run all of them again.

    The model is built on the spot, with random weights: no network, no key and no GPU are needed. With --train it
    is shown a few solved mazes, and then learns from its own episodes.
    """
    from arena.cli._pages import print_episode

    registry.suite(suite)
    folder = out or Path("runs") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-quickstart"
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; choose another folder with --out.")
    if train:
        from arena.cli._quickstart_training import teach

        _check_packages("Training")
        return teach(folder)
    model = _build_model(folder / "model")
    contestants: dict[str, dict[str, Any]] = {
        "random": {"agent": "random"},
        "oracle": {"agent": "oracle"},
        "tiny-model": {"agent": "chat:max_tokens=16,window=2", "model": f"hf:{model}", "max_turns": 5},
    }
    evaluations: dict[str, Evaluation] = {}
    for name, options in contestants.items():
        notice(f"Evaluating {name} …")
        evaluation = _evaluate({"target": suite, **options}, folder / name)
        if evaluation is None:
            return 130
        evaluations[name] = evaluation
    say("\nOne episode of the oracle, turn by turn:\n")
    shown = evaluations["oracle"].run.episodes()
    print_episode(min(shown, key=lambda episode: (abs(len(episode.turns) - _TURNS_SHOWN), episode.key.task)))
    say("\nEvery episode executed again:")
    diverged = sum([_execute(name, evaluation) for name, evaluation in evaluations.items()])
    say("\nWhat next:")
    pairs(
        {
            "play a game": "arena play arena/Wordle-v0",
            "read a run": f"arena replay {folder / 'oracle'}",
            "compare two": f"arena compare {folder / 'random'} {folder / 'oracle'}",
            "your model": "arena eval text-small -a chat -m openai:NAME@http://localhost:8000/v1",
            "your game": "arena new my-env",
            "train a model": "arena quickstart --train",
        }
    )
    return 1 if diverged else 0


def _check_packages(what: str) -> None:
    import importlib.util

    absent = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if absent:
        needed = f"{what} needs {' and '.join(absent)}, which this Python does not have."
        raise MissingPrerequisite(needed, 'pip install "arena-gym[text,train]"')


def _build_model(folder: Path) -> Path:
    from arena.agents.models.tiny import build_tiny_model

    _check_packages("The quickstart's local model")
    notice("Building a small language model (untrained: expect it to score near 0) …")
    return build_tiny_model(folder)


def _evaluate(options: dict[str, Any], folder: Path) -> Evaluation | None:
    """One evaluation and its table; None if it was interrupted."""
    from arena.evaluation import EvalConfig, evaluate_async
    from arena.evaluation.report import tables

    config = EvalConfig.read(options)
    with ProgressLine() as line, Interrupts() as interrupts:
        evaluation = asyncio.run(evaluate_async(config, out=folder, on_progress=line.show, on_engine=interrupts.watch))
    show(*tables(evaluation.summary, console().width))
    return None if interrupts.happened else evaluation


def _execute(name: str, evaluation: Evaluation) -> int:
    """Run the episodes of an evaluation again; returns how many diverge."""
    from arena.replay import execute_all

    results = asyncio.run(execute_all(evaluation.run.episodes()))
    lost = [result for result in results if result.divergence is not None]
    turns = sum(result.turns for result in results)
    say(f"  {name:<10}  {counted(len(results), 'episode')}, {counted(turns, 'turn')}: {len(lost)} diverge")
    return len(lost)
