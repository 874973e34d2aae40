"""Branches of a recorded episode, run as a new run that names its parent."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from arena.cli._console import console
from arena.cli.evaluate import ProgressLine, interruptible


def fork_episode(
    run: Any, episode: Any, turn: int, agent: str, model: str | None, branches: int, out: Path | None
) -> int:
    """Play the branches and say how they ended."""
    from arena.core.task import Suite
    from arena.evaluation import EvalConfig, evaluate_async
    from arena.replay import fork_job

    time = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = out or Path("runs") / f"{time}-fork-{agent.partition(':')[0]}"
    jobs = tuple(fork_job(run, episode, turn, branch) for branch in range(branches))
    suite = Suite(episode.task.env, (episode.task.task,))
    config = EvalConfig(
        target=episode.task.env, agent=agent, model=model, repeats=branches, concurrency=min(branches, 16)
    )
    with ProgressLine() as line:

        async def play() -> Any:
            return await evaluate_async(config, out=folder, on_engine=interruptible(line), suite=suite, jobs=jobs)

        evaluation = asyncio.run(play())
    terminal = console()
    for branch in evaluation.run.episodes():
        score = "not scored" if branch.score is None else f"score {branch.score:.2f}"
        ended = f"{branch.outcome.value}, {score}, {len(branch.turns)} turns, forked by {branch.parent.by}"
        terminal.print(f"branch {branch.key.repeat}: {ended}", markup=False)
        if branch.failure is not None:
            terminal.print(f"  {branch.failure.message}", markup=False)
    terminal.print(f"\nread it        arena replay {evaluation.folder}", markup=False)
    terminal.print(f"run it again   arena replay {evaluation.folder} --execute", markup=False)
    return 0
