"""`arena replay`: read recorded episodes, run them again, branch from them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from arena.cli._console import console, notice, print_json
from arena.core.episode import Episode


def command(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    episode: Annotated[
        str | None, typer.Argument(help="Number or key (or the beginning of a key) of an episode.")
    ] = None,
    execute: Annotated[bool, typer.Option("--execute", help="Run the recorded actions again and compare.")] = False,
    fork: Annotated[int | None, typer.Option(help="Branch at this turn, with --agent.")] = None,
    agent: Annotated[str, typer.Option("--agent", "-a", help="Who goes on from the fork.")] = "random",
    model: Annotated[str | None, typer.Option("--model", "-m", help="Its model.")] = None,
    branches: Annotated[int, typer.Option("--branches", "-n", help="How many branches.")] = 1,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder of the branches.")] = None,
    concurrency: Annotated[int, typer.Option("--concurrency", "-j", help="Episodes in flight.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Step through recorded episodes; run them again; branch from any turn with another agent.

    Example: arena replay runs/mine --execute
    """
    from arena.records import open_run

    opened = open_run(run)
    for damage in opened.damage:
        notice(f"! {damage}")
    chosen: str | int = int(episode) if episode is not None and episode.isdigit() else episode or 0
    if execute:
        records = opened.episodes() if episode is None else [opened.episode(chosen)]
        return _execute(records, concurrency, as_json)
    if fork is not None:
        from arena.cli._fork import fork_episode

        return fork_episode(opened, opened.episode(chosen), fork, agent, model, branches, out)
    if as_json:
        records = opened.episodes() if episode is None else [opened.episode(chosen)]
        print_json([record.model_dump(mode="json") for record in records])
        return 0
    from arena.cli._stepper import print_episode, step_through

    if sys.stdin.isatty() and sys.stdout.isatty():
        step_through(opened, chosen)
    elif episode is None and len(opened.rows()) > 1:
        _list(opened)
    else:
        print_episode(console(), opened.episode(chosen))
    return 0


def _list(run: Any) -> None:
    """The episodes of a run by number; a person's first look where there is no terminal to step in."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("#", "episode", "outcome", "score", "turns"):
        table.add_column(name, justify="right" if name in ("#", "score", "turns") else "left", no_wrap=True)
    for number, row in enumerate(run.rows()):
        score = "–" if row.score is None else f"{row.score:.2f}"
        table.add_row(str(number), row.name, row.outcome.value, score, str(row.turns))
    console().print(table)
    console().print("\nOne of them: arena replay RUN NUMBER", markup=False)


def _execute(records: Iterable[Episode], concurrency: int, as_json: bool) -> int:
    from arena.replay import execute_all

    results = asyncio.run(execute_all(records, concurrency=concurrency))
    diverged = [result for result in results if result.divergence is not None]
    skipped = [result for result in results if result.skipped is not None]
    if as_json:
        print_json(
            {
                "executed": len(results) - len(skipped),
                "turns": sum(result.turns for result in results),
                "diverged": [{"episode": r.key.model_dump(), "divergence": _as_json(r.divergence)} for r in diverged],
                "skipped": [{"episode": r.key.model_dump(), "reason": r.skipped} for r in skipped],
            }
        )
        return 1 if diverged else 0
    terminal = console()
    for result in diverged:
        terminal.print(f"{result.key.task}:{result.key.repeat} diverges {result.divergence}", markup=False)
    for result in skipped:
        terminal.print(f"{result.key.task}:{result.key.repeat} was not compared: {result.skipped}", markup=False)
    turns = sum(result.turns for result in results)
    count = len(results) - len(skipped)
    terminal.print(f"{count} episodes, {turns} turns executed again: {len(diverged)} diverge.", markup=False)
    return 1 if diverged else 0


def _as_json(divergence: Any) -> dict[str, Any]:
    return {
        "turn": divergence.turn,
        "field": divergence.field,
        "expected": divergence.expected,
        "found": divergence.found,
    }
