"""`arena replay`: read recorded episodes, run them again, branch from them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arena.cli import _options
from arena.cli._console import notice, print_json, say, show
from arena.cli._local import all_here

if TYPE_CHECKING:
    from arena.core.episode import Episode
    from arena.records import Run

SUMMARY = "Read recorded episodes, run them again, branch from them."
EXAMPLES = (
    "arena replay runs/mine                          # step through it with the arrow keys",
    "arena replay runs/mine 3",
    "arena replay runs/mine --execute",
    "arena replay runs/mine 3 --fork 5 -a oracle -n 4",
    "arena replay runs/mine Maze-v0@17 --fork 5 -a chat -m hf:./my-model",
)


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    episode: Annotated[
        str | None, typer.Argument(metavar="EPISODE", help="Its number in the run, its key, or how the key begins.")
    ] = None,
    execute: Annotated[
        bool,
        typer.Option("--execute", help="Run the recorded actions in fresh environments; exit with 1 if one differs."),
    ] = False,
    fork: Annotated[int | None, typer.Option(metavar="TURN", help="Branch: from this turn on, --agent plays.")] = None,
    agent: Annotated[
        str, typer.Option("--agent", "-a", metavar="SPEC", help="Who goes on from the fork.", show_default=True)
    ] = "random",
    model: _options.Model = None,
    branches: Annotated[
        int, typer.Option("--branches", "-n", metavar="N", help="How many branches (1).", show_default=False)
    ] = 1,
    out: _options.Out = None,
    concurrency: _options.Concurrency = None,
    as_json: _options.Json = False,
) -> int:
    """Step through recorded episodes; run them again; or branch from any turn with another agent.

    Where the output is no terminal, the episodes are listed, or the one named is printed.
    """
    from arena.records import open_run

    opened = open_run(run)
    for damage in opened.damage:
        notice(f"! {damage}")
    chosen: str | int = int(episode) if episode is not None and episode.isdigit() else episode or 0
    if execute or fork is not None:
        all_here(row.env for row in opened.rows())
    if execute:
        from arena.cli._execute import execute_episodes

        numbers = {row.key: number for number, row in enumerate(opened.rows())}
        records = opened.episodes() if episode is None else iter([opened.episode(chosen)])
        return execute_episodes(
            records, numbers, concurrency or 8, as_json, asked=len(numbers) if episode is None else 1
        )
    if fork is not None:
        from arena.cli._fork import Fork, fork_episode

        return fork_episode(
            opened, opened.episode(chosen), Fork(fork, agent, model, branches, concurrency or 16, out), as_json
        )
    return _read(opened, chosen, episode is None, as_json)


def _read(run: Run, chosen: str | int, everything: bool, as_json: bool) -> int:
    """Step through the run, list it, or print one episode."""
    if as_json:
        records: list[Episode] = list(run.episodes()) if everything else [run.episode(chosen)]
        print_json([record.model_dump(mode="json") for record in records])
        return 0
    if not run.rows():
        say(f"{run.folder} has no episodes yet.")
        return 0
    if sys.stdin.isatty() and sys.stdout.isatty():
        from arena.cli._stepper import step_through

        step_through(run, chosen)
    elif everything and len(run.rows()) > 1:
        _list(run)
    else:
        from arena.cli._pages import print_episode

        print_episode(run.episode(chosen), run.folder)
    return 0


def _list(run: Run) -> None:
    """The episodes of a run by number."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("#", "episode", "outcome", "score", "turns", "return"):
        table.add_column(name, justify="left" if name in ("episode", "outcome") else "right", no_wrap=True)
    for number, row in enumerate(run.rows()):
        score = "–" if row.score is None else f"{row.score:.2f}"
        ended = f"{row.outcome.value} ({row.limit})" if row.limit else row.outcome.value
        table.add_row(str(number), row.name, ended, score, str(row.turns), f"{row.reward:g}")
    show(table)
    say(f"\nRead one with: arena replay {run.folder} NUMBER")
