"""`arena quickstart`: real agents on real games, from nothing, without a network."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from arena.cli._console import console, notice


def command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the model and the runs.")] = Path(
        "runs/quickstart"
    ),
    suite: Annotated[str, typer.Option(help="The suite to play.")] = "quickstart",
) -> int:
    """Evaluate the random agent, the oracle and a small local model, replay an episode, re-execute them all.

    Example: arena quickstart
    """
    import shutil

    from arena.agents.models.tiny import build_tiny_model
    from arena.cli._stepper import print_episode
    from arena.evaluation import EvalConfig, evaluate_async
    from arena.evaluation.report import table
    from arena.replay import execute_all

    terminal = console()
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    notice("Building a small language model on the spot (untrained: expect it to score near 0) …")
    model = out / "model"
    build_tiny_model(model)
    contestants: list[tuple[str, dict[str, Any]]] = [
        ("random", {"agent": "random"}),
        ("oracle", {"agent": "oracle"}),
        ("tiny-model", {"agent": "chat:max_tokens=16,window=2", "model": f"hf:{model}", "max_turns": 5}),
    ]
    evaluations = {}
    for name, options in contestants:
        notice(f"Evaluating {name} …")
        config = EvalConfig.read({"target": suite, **options})
        evaluations[name] = asyncio.run(evaluate_async(config, out=out / name))
        terminal.print(table(evaluations[name].summary))
    notice("One episode of the oracle, turn by turn:")
    print_episode(terminal, min(evaluations["oracle"].run.episodes(), key=lambda episode: len(episode.turns)))
    diverged = executed = 0
    for name, evaluation in evaluations.items():
        results = asyncio.run(execute_all(evaluation.run.episodes()))
        lost = [result for result in results if result.divergence is not None]
        executed, diverged = executed + len(results), diverged + len(lost)
        terminal.print(f"{name}: {len(results)} episodes executed again, {len(lost)} diverge", markup=False)
    terminal.print("\nplay one       arena play arena/Wordle-v0", markup=False)
    terminal.print(f"read a run     arena replay {out / 'oracle'}", markup=False)
    terminal.print(f"compare two    arena compare {out / 'random'} {out / 'oracle'}", markup=False)
    terminal.print("your model     arena eval text-small -a chat -m openai:NAME@http://localhost:8000/v1", markup=False)
    return 1 if diverged else 0
