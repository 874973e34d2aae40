"""`arena play`: a person plays."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from arena.cli._console import console
from arena.cli._local import known_here


def command(
    env: Annotated[str, typer.Argument(help="Environment id.")],
    task: Annotated[str | None, typer.Option(help="One of the environment's named tasks.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the environment.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Parameter of the environment, NAME=VALUE.")
    ] = None,
    player: Annotated[list[str] | None, typer.Option(help="NAME=AGENT for another player of the game.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder to write.")] = None,
) -> int:
    """Play an episode yourself; it is recorded like any other.

    Example: arena play arena/Wordle-v0 --seed 7
    """
    from arena.cli.evaluate import ProgressLine, interruptible
    from arena.core import registry
    from arena.core.task import Suite, Task
    from arena.evaluation import EvalConfig, Evaluation, evaluate_async
    from arena.evaluation.config import with_settings

    known = registry.registration(known_here(env))
    params = with_settings({}, settings or [])
    limit = next(iter(registry.tasks(env, "eval", 1, 0, params))).max_turns
    suite = Suite(known.id, (Task(known.id, seed, params, task, limit),))
    players = dict(entry.partition("=")[::2] for entry in player or ()) or {"others": "random"}
    config = EvalConfig(target=env, agent="human", players=players, concurrency=1, retries=0)
    with ProgressLine() as line:

        async def run() -> Evaluation:
            return await evaluate_async(config, out=out, on_engine=interruptible(line), suite=suite)

        evaluation = asyncio.run(run())
    [episode] = evaluation.run.episodes()
    terminal = console()
    score = "not scored" if episode.score is None else f"score {episode.score:.2f}"
    terminal.print(f"\n{episode.outcome.value}, {score}, {len(episode.turns)} turns", markup=False)
    terminal.print(f"read it again   arena replay {evaluation.folder}", markup=False)
    return 0
