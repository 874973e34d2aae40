"""Tables of a summary, for the terminal and for plain text."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from arena.evaluation.statistics import Estimate
from arena.evaluation.summary import Section, Summary

if TYPE_CHECKING:
    from rich.table import Table


def interval(estimate: Estimate) -> str:
    """`0.85 [0.64, 0.95]`, or a dash where nothing was scored."""
    if math.isnan(estimate.mean):
        return "–"
    if math.isnan(estimate.low):
        return f"{estimate.mean:.3f}"
    return f"{estimate.mean:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def tables(summary: Summary, width: int | None = None) -> list[Table]:
    """What to show of a summary: a line per environment and one for all, then pass@k and pass^k.

    Args:
        summary: of an evaluation.
        width: columns there are; where they are too few, what an environment's line does not hold goes into a
            second table. None for enough.
    """
    shown = [*summary.sections, summary.overall] if len(summary.sections) > 1 else list(summary.sections)
    rows = [_cells(section) for section in shown]
    # Without model calls there is nothing to say about tokens and cost; without baselines nothing to normalise.
    names = [name for name in rows[0] if any(row[name] not in _NOTHING.get(name, ()) for row in rows)]
    title = f"{summary.suite} ({'proved' if summary.proved else 'unproved'}) · {summary.agents.get('agent', '')}"
    title += f" · {summary.repeats} per task" if summary.repeats > 1 else ""
    result = [_table(title, names, rows)]
    folded = [{**row, "outcomes": row["outcomes"][:_OUTCOMES]} for row in rows]
    if width is not None and _columns(_table("", names, folded)) > width:
        further = [name for name in names if name not in _FIRST]
        result = [_table(title, _FIRST, rows), _table("", [_FIRST[0], *further], rows)]
    if summary.overall.passes:
        result.append(_pass_table(shown))
    return result


def table_text(summary: Summary, width: int = 140) -> str:
    """The tables and warnings as plain text."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, no_color=True, highlight=False, markup=False)
    for table in tables(summary, width):
        console.print(table)
    for warning in summary.warnings:
        console.print(f"! {warning}")
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def _table(title: str, names: Sequence[str], rows: Sequence[Mapping[str, str]]) -> Table:
    """The last of several rows is for all of them."""
    from rich import box
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        left = name in ("environment", "outcomes")
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "outcomes")
    for number, row in enumerate(rows):
        if number and number == len(rows) - 1:
            table.add_section()
        table.add_row(*(row[name] for name in names))
    return table


def _pass_table(sections: Sequence[Section]) -> Table:
    """pass@k and pass^k, a line for each k."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("environment", no_wrap=True)
    for name in ("k", "pass@k, 95 %", "pass^k, 95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    for section in sections:
        for number, at in enumerate(name for name in section.passes if name.startswith("pass@")):
            k = at.removeprefix("pass@")
            both = (interval(section.passes[at]), interval(section.passes[f"pass^{k}"]))
            table.add_row("" if number else section.name, k, *both)
    return table


def _columns(table: Table) -> int:
    from rich.console import Console

    return Console(width=1000).measure(table).maximum


def _cells(section: Section) -> dict[str, str]:
    outcomes = ", ".join(f"{count} {name}" for name, count in sorted(section.outcomes.items()))
    limits = ", ".join(sorted(section.limits))
    return {
        "environment": section.name,
        "score, 95 %": interval(section.score),
        "coverage": f"{section.scored}/{section.asked}",
        "outcomes": f"{outcomes} ({limits})" if limits else outcomes,
        "turns": _number(section.turns, 1),
        "tokens": _number(section.tokens, 0),
        "cost": "?" if section.cost is None else f"${section.cost:.2f}",
        "return": _number(section.reward.mean, 2),
        "normalised": "–" if section.normalised is None else f"{section.normalised:.2f}",
    }


_NOTHING = {"tokens": ("0", "–"), "cost": ("$0.00",), "normalised": ("–",)}
_OUTCOMES = 24
"""Columns that the outcomes need at least; longer ones fold between words."""
_FIRST = ("environment", "score, 95 %", "coverage", "outcomes")


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
