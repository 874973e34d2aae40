"""`arena list`: what there is."""

from __future__ import annotations

import difflib
from typing import Annotated, Any

import typer

from arena.cli import _options
from arena.cli._console import pairs, print_json, say, show
from arena.cli._local import known_here
from arena.core import registry
from arena.core.errors import MissingPrerequisite, UsageError

SUMMARY = "Show the environments, suites, agents and models there are."
EXAMPLES = ("arena list", "arena list suites --json", "arena list arena/Maze-v0")

KINDS = ("environments", "suites", "agents", "models")


def command(
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="environments, suites, agents, models, or the id of one environment."),
    ] = "all",
    as_json: _options.Json = False,
) -> None:
    """Show the environments, suites, agents and kinds of model there are; or one environment and its parameters."""
    if "/" in what:
        _show_one(what, as_json)
        return
    if what not in ("all", *KINDS):
        close = difflib.get_close_matches(what, KINDS, n=1, cutoff=0.4)
        meant = f" Did you mean {close[0]}?" if close else ""
        raise UsageError(f"There are {', '.join(KINDS[:-1])} and {KINDS[-1]} to list, but no {what!r}.{meant}")
    shown = {kind: _rows(kind) for kind in (KINDS if what == "all" else (what,))}
    if as_json:
        print_json(shown)
        return
    for number, (title, rows) in enumerate(shown.items()):
        if number:
            say()
        _print(title, rows)


def _rows(kind: str) -> list[dict[str, Any]]:
    if kind == "environments":
        return [
            {"id": e.id, "summary": e.summary, "suite": e.suite, "extra": e.extra}
            for e in registry.environments().values()
        ]
    if kind == "suites":
        return [_suite(name) for name in registry.suites()]
    if kind == "agents":
        return [{"name": name, "summary": p.summary} for name, p in sorted(registry.AGENTS.names().items())]
    return [{"kind": name, "summary": p.summary} for name, p in sorted(registry.MODELS.names().items())]


def _suite(name: str) -> dict[str, Any]:
    try:
        suite = registry.suite(name)
    except MissingPrerequisite as missing:
        return {"name": name, "tasks": None, "proved": None, "description": f"needs {missing.install}"}
    return {"name": name, "tasks": len(suite.tasks), "proved": suite.proved, "description": suite.description}


def _environments_of(name: str) -> tuple[str, ...]:
    """Those of a suite; none where its tasks cannot be made for want of a package."""
    try:
        return registry.suite(name).envs
    except MissingPrerequisite:
        return ()


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for number, column in enumerate(rows[0] if rows else ()):
        table.add_column(title if not number else column, no_wrap=not number)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    show(table)


def _cell(value: object) -> str:
    return "" if value is None else {True: "yes", False: "no"}.get(value, "") if isinstance(value, bool) else str(value)


def _show_one(id: str, as_json: bool) -> None:
    """One environment: what it is told, which parameters its constructor takes, where it is used."""
    import inspect

    known = registry.registration(known_here(id))
    made = registry.load(known.entry_point)
    parameters = [p for p in inspect.signature(made).parameters.values() if p.kind is not p.VAR_KEYWORD]
    default = {p.name: None if p.default is p.empty else p.default for p in parameters}
    suites = [name for name in registry.suites() if known.id in _environments_of(name)]
    if as_json:
        print_json(
            {
                "id": known.id,
                "summary": known.summary,
                "parameters": default,
                "suites": suites,
                "max_turns": known.max_turns,
                "execution": known.execution,
                "extra": known.extra,
            }
        )
        return
    say(f"{known.id}\n{known.summary}\n\n{inspect.getdoc(made) or ''}\n")
    shown = ", ".join(f"{p.name}={p.default!r}" if p.default is not p.empty else p.name for p in parameters)
    pairs(
        {
            "parameters": shown or "none",
            "turn limit": known.max_turns or "none",
            "execution": known.execution,
            "suites": ", ".join(suites) or "none",
            "needs": f'pip install "arena-gym[{known.extra}]"' if known.extra else "nothing more",
            "play it": f"arena play {known.id}",
        }
    )
