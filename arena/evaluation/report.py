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
    result.add_column("environment")
    for name in ("score, 95 %", "coverage", "outcomes", "turns", "tokens", "cost", "return", "normalised"):
        result.add_column(name, justify="left" if name == "outcomes" else "right")
    for section in summary.sections:
        result.add_row(*_cells(section))
    if len(summary.sections) > 1:
        result.add_section()
        result.add_row(*_cells(summary.overall))
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


def _cells(section: Section) -> list[str]:
    outcomes = ", ".join(f"{count} {name}" for name, count in sorted(section.outcomes.items()))
    limits = ", ".join(f"{count} {name}" for name, count in sorted(section.limits.items()))
    return [
        section.name,
        interval(section.score),
        f"{section.scored}/{section.asked}",
        f"{outcomes} ({limits})" if limits else outcomes,
        _number(section.turns, 1),
        _number(section.tokens, 0),
        "?" if section.cost is None else f"${section.cost:.2f}",
        _number(section.reward.mean, 2),
        "–" if section.normalised is None else f"{section.normalised:.2f}",
    ]


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
