"""`arena compare`: two runs in pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from arena.cli import _options
from arena.cli._console import counted, print_json, say, show

SUMMARY = "Compare two runs, task by task."
EXAMPLES = ("arena compare runs/before runs/after", "arena compare runs/before runs/after --json")


def command(
    first: Annotated[Path, typer.Argument(metavar="FIRST", help="Run folder to compare with.")],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help="Run folder that is compared.")],
    flips: Annotated[int, typer.Option(metavar="N", min=0, help="How many changed tasks to show, of each kind.")] = 10,
    as_json: _options.Json = False,
) -> None:
    """Compare two runs over the tasks both scored: the difference with its interval, and which tasks changed.

    The difference is SECOND minus FIRST, in pairs: the same tasks and seeds.
    """
    from rich import box
    from rich.table import Table

    from arena.evaluation import compare
    from arena.evaluation.report import interval
    from arena.records import open_run

    result = compare(open_run(first), open_run(second))
    if as_json:
        print_json(result.to_json())
        return
    say(f"{second} against {first}, {counted(result.shared, 'task')} in pairs")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("environment")
    table.add_column("difference in score, 95 %", justify="right")
    for env, estimate in result.by_env.items():
        table.add_row(env, interval(estimate))
    if len(result.by_env) > 1:
        table.add_section()
        table.add_row("all", interval(result.difference))
    show(table)
    same = result.shared - len(result.better) - len(result.worse)
    for word, changed in (("better", result.better), ("worse", result.worse)):
        say(f"{counted(len(changed), 'task')} {word}")
        for flip in changed[:flips]:
            say(f"  {flip.before:.2f} → {flip.after:.2f}  {flip.task}")
        if len(changed) > flips:
            say(f"  … and {len(changed) - flips} more (--flips {len(changed)} shows them)")
    say(f"{counted(same, 'task')} the same")
    for warning in result.warnings:
        say(f"! {warning}")
