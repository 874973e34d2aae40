"""`arena check`: hold environments to the contract."""

from __future__ import annotations

from typing import Annotated

import typer

from arena.cli._console import console, notice, print_json
from arena.cli._local import known_here
from arena.core import registry


def command(
    ids: Annotated[list[str] | None, typer.Argument(help="Environment ids; all of them if none is named.")] = None,
    deep: Annotated[bool, typer.Option("--deep", help="More seeds, and every task of the proved suite.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Check environments against the contract: seeds, resets, hostile actions, snapshots, oracle 1, do-nothing 0.

    Example: arena check arena/Wordle-v0 --deep
    """
    from arena.core.checks import check

    ids = [known_here(id) for id in ids] if ids else list(registry.environments())
    reports = []
    for number, id in enumerate(ids, 1):
        notice(f"[{number}/{len(ids)}] {id}")
        report = check(id, deep=deep)
        reports.append(report)
        if not as_json:
            console().print(report.text(), markup=False)
    if as_json:
        print_json([report.to_json() for report in reports])
    failed = [report.id for report in reports if not report.passed]
    if failed:
        notice(f"{len(failed)} of {len(ids)} environments break the contract: {', '.join(failed)}")
    return 1 if failed else 0
