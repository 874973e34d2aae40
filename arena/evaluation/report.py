"""Tables of a summary, for the terminal and for plain text."""

from __future__ import annotations

import io
import math
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


def table(summary: Summary) -> Table:
    """One line per environment and one for all."""
    from rich.table import Table

    agent = summary.agents.get("agent", "")
    proved = "proved" if summary.proved else "unproved"
    result = Table(title=f"{summary.suite} ({proved}) · {agent} · {summary.repeats} per task", title_justify="left")
    shown = [*summary.sections, summary.overall] if len(summary.sections) > 1 else list(summary.sections)
    rows = [_cells(section) for section in shown]
    # Without model calls there is nothing to say about tokens and cost; without baselines nothing to normalise.
    names = [name for name in rows[0] if any(row[name] not in _NOTHING.get(name, ()) for row in rows)]
    for name in names:
        result.add_column(name, justify="left" if name in ("environment", "outcomes") else "right")
    for number, row in enumerate(rows):
        if number and number == len(summary.sections):
            result.add_section()
        result.add_row(*(row[name] for name in names))
    return result


def pass_table(summary: Summary) -> Table | None:
    """pass@k and pass^k, where tasks were repeated."""
    from rich.table import Table

    names = list(summary.overall.passes)
    if not names:
        return None
    result = Table(title="Over the repeats of a task", title_justify="left")
    result.add_column("environment")
    for name in names:
        result.add_column(name, justify="right")
    shown = [*summary.sections, summary.overall] if len(summary.sections) > 1 else summary.sections
    for section in shown:
        result.add_row(section.name, *(interval(section.passes[name]) for name in names))
    return result


def table_text(summary: Summary, width: int = 140) -> str:
    """The tables and warnings as plain text."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, no_color=True)
    console.print(table(summary))
    if (passes := pass_table(summary)) is not None:
        console.print(passes)
    for warning in summary.warnings:
        console.print(f"! {warning}")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


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


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
