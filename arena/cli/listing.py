"""`arena list`: what there is."""

from __future__ import annotations

from typing import Annotated

import typer

from arena.cli._console import console, print_json
from arena.core import registry


def command(
    what: Annotated[str, typer.Argument(help="all, environments, suites, agents or models")] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the environments, suites, agents and kinds of model there are.

    Example: arena list suites
    """
    tables: dict[str, list[dict[str, object]]] = {
        "environments": [
            {"id": e.id, "summary": e.summary, "suite": e.suite, "extra": e.extra}
            for e in registry.environments().values()
        ],
        "suites": [_suite(name) for name in registry.suites()],
        "agents": [{"name": name, "summary": p.summary} for name, p in sorted(registry.AGENTS.names().items())],
        "models": [{"kind": name, "summary": p.summary} for name, p in sorted(registry.MODELS.names().items())],
    }
    if what not in ("all", *tables):
        raise typer.BadParameter(f"{what!r} is none of: all, {', '.join(tables)}.")
    shown = tables if what == "all" else {what: tables[what]}
    if as_json:
        print_json(shown)
        return
    for title, rows in shown.items():
        _print(title, rows)


def _suite(name: str) -> dict[str, object]:
    suite = registry.suite(name)
    return {"name": name, "tasks": len(suite.tasks), "proved": suite.proved, "description": suite.description}


def _print(title: str, rows: list[dict[str, object]]) -> None:
    from rich.table import Table

    if not rows:
        return
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in rows[0]:
        table.add_column(column, no_wrap=column in ("id", "name", "kind"))
    for row in rows:
        table.add_row(
            *(
                "" if value is None else "yes" if value is True else "no" if value is False else str(value)
                for value in row.values()
            )
        )
    console().print(table)
    console().print()
