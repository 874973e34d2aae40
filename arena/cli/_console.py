"""What commands print with: words and tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_PIPED_WIDTH = 240
"""Columns where nobody sees them: wide enough that no cell of a table is folded."""


def say(text: str = "") -> None:
    """A line on standard output, as it is: paths and commands are never folded."""
    sys.stdout.write(f"{text}\n")


def notice(text: str) -> None:
    """A line for the person at the terminal, on standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def show(*what: RenderableType) -> None:
    """Tables and styled text on standard output; without colours and trailing blanks where it is not a terminal."""
    out = console()
    if out.is_terminal:
        out.print(*what, sep="\n")
        return
    with out.capture() as captured:
        out.print(*what, sep="\n")
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def console() -> Console:
    """Standard output for rich."""
    from rich.console import Console

    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(highlight=False, markup=False, width=_PIPED_WIDTH if wide else None)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def counted(number: int, noun: str) -> str:
    """`1 turn`, `2 turns`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def pairs(rows: dict[str, object], indent: str = "") -> None:
    """Words and what belongs to them, in two columns."""
    width = max(map(len, rows), default=0)
    for name, value in rows.items():
        say(f"{indent}{name:<{width}}  {value}")
