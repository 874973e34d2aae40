"""Options that several commands take, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from arena.core.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Run folder to write.")]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="SPEC", help="Model, such as openai:qwen3@http://localhost:8000/v1."),
]
Critic = Annotated[
    str | None,
    typer.Option(metavar="RUN", help="Critic of a training: best_of_n chooses by it, a local model is guided by it."),
]
Player = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=AGENT", help="Agent of another player of the game; may be repeated."),
]
Concurrency = Annotated[int | None, typer.Option("--concurrency", "-j", metavar="N", help="Episodes in flight (16).")]


def pair(entry: str, option: str) -> tuple[str, str]:
    """The two sides of NAME=VALUE.

    Raises:
        UsageError: there are no two sides.
    """
    name, equals, value = entry.partition("=")
    if not equals or not name or not value:
        raise UsageError(f"{option} takes NAME=VALUE, not {entry!r}.")
    return name, value


def players(entries: list[str] | None) -> dict[str, str]:
    """`--player` as a table."""
    return dict(pair(entry, "--player") for entry in entries or ())
