"""`arena compare`: two runs in pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from arena.cli._console import console, print_json


def command(
    first: Annotated[Path, typer.Argument(help="Run folder.")],
    second: Annotated[Path, typer.Argument(help="Run folder.")],
    flips: Annotated[int, typer.Option(help="How many flipped tasks to show.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two runs over the tasks both scored: difference with interval, and which tasks flipped.

    Example: arena compare runs/before runs/after
    """
    from rich.table import Table

    from arena.evaluation import compare
    from arena.evaluation.report import interval
    from arena.records import open_run

    result = compare(open_run(first), open_run(second))
    if as_json:
        print_json(result.to_json())
        return
    table = Table(title=f"{second.name} against {first.name}, {result.shared} tasks in pairs", title_justify="left")
    table.add_column("environment")
    table.add_column("difference in score, 95 %", justify="right")
    for env, estimate in result.by_env.items():
        table.add_row(env, interval(estimate))
    if len(result.by_env) > 1:
        table.add_section()
        table.add_row("all", interval(result.difference))
    terminal = console()
    terminal.print(table)
    for word, flipped in (("better", result.better), ("worse", result.worse)):
        terminal.print(f"{len(flipped)} {word}", markup=False)
        for flip in flipped[:flips]:
            terminal.print(f"  {flip.before:.2f} → {flip.after:.2f}  {flip.task}", markup=False)
        if len(flipped) > flips:
            terminal.print(f"  … and {len(flipped) - flips} more (--flips)", markup=False)
    for warning in result.warnings:
        terminal.print(f"! {warning}", markup=False)
