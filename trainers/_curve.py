"""Learning curves: from the lines of `metrics.jsonl` to a figure, and to a few lines of text.

    lines = [json.loads(line) for line in open("RUN/metrics.jsonl")]
    held_out, sampled = curve(lines, label="gigpo"), curve(lines, "sampled", label="gigpo, training tasks")
    save_figure(figure([held_out], behind=[sampled], title="arena/Maze-v0"), "curve")

Needs matplotlib, which is imported when a figure is made; its global state is not touched.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from arena.core.errors import MissingPrerequisite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Across = Literal["steps", "turns", "tokens"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart by people with any colour vision (Okabe and Ito 2008)."""

_ACROSS = {"steps": "training steps", "turns": "environment turns", "tokens": "sampled tokens"}


@dataclass(frozen=True)
class Curve:
    """P points with their 95 % intervals, ready to be drawn.

    Attributes:
        x: where, rising (P).
        mean, low, high: NaN where there is no interval (P each).
        label: names it in the legend.
    """

    x: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    label: str = ""

    def __len__(self) -> int:
        return len(self.x)


def curve(
    lines: Sequence[Mapping[str, Any]],
    what: Literal["held-out", "sampled"] = "held-out",
    *,
    measure: Literal["success", "score"] = "success",
    across: Across = "steps",
    label: str = "",
) -> Curve:
    """The curve of a run.

    Args:
        lines: of its `metrics.jsonl`.
        what: the evaluations on held-out tasks, or the episodes that it trained on (their `success` alone).
        measure: what of the evaluations.
        across: training steps, or the environment turns or sampled tokens that training has taken until then.
        label: names it.
    """
    points: list[tuple[float, Any, Any, Any]] = []
    spent = 0.0
    for line in lines:
        spent += _spent(line, across)
        x = float(line["step"]) if across == "steps" else spent
        if what == "held-out" and "eval" in line:
            found = line["eval"][measure]
            points.append((x, found["mean"], found["low"], found["high"]))
        elif what == "sampled" and "success" in line:
            points.append((x, line["success"], line["success_low"], line["success_high"]))
    known = np.array([point for point in points if point[1] is not None], np.float64).reshape(-1, 4)
    where, mean, low, high = known.T.tolist()
    return Curve(where, mean, low, high, label)


def _spent(line: Mapping[str, Any], across: Across) -> float:
    if across == "turns":
        return float(line.get("turns") or 0) * float(line.get("episodes") or 0)
    return float(line.get("sampled_tokens") or 0) if across == "tokens" else 0.0


def figure(
    curves: Sequence[Curve],
    *,
    behind: Sequence[Curve] = (),
    title: str = "",
    across: Across = "steps",
    measure: str = "success on held-out tasks",
) -> Figure:
    """Curves with their intervals shaded.

    Args:
        curves: in front, each in a colour of its own.
        behind: as thin grey lines, such as the success on training tasks.
        title: over it.
        across: what x counts.
        measure: what y is, between 0 and 1.

    Raises:
        MissingPrerequisite: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingPrerequisite("A figure needs the package matplotlib.", 'pip install "arena-gym[train]"')
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(7.0, 4.2), dpi=150, layout="constrained")
    axes = drawn.add_subplot()
    for colour, one in zip(COLOURS * (1 + len(curves) // len(COLOURS)), curves, strict=False):
        axes.fill_between(one.x, one.low, one.high, color=colour, alpha=0.15, linewidth=0, zorder=2)
        marker = "o" if len(one) <= 30 else None
        axes.plot(one.x, one.mean, color=colour, linewidth=2, marker=marker, markersize=4, label=one.label, zorder=3)
    for one in behind:
        axes.plot(one.x, one.mean, color="0.6", linewidth=1, label=one.label, zorder=1)
    _dress(axes, title, _ACROSS[across], measure)
    if sum(bool(one.label) for one in (*curves, *behind)) > 1:
        axes.legend(frameon=False, loc="best")
    return drawn


def _dress(axes: Axes, title: str, x: str, y: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks(np.arange(0, 1.01, 0.2))
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save_figure(drawn: Figure, path: str | Path) -> list[Path]:
    """Write PATH.png and PATH.svg, the same bytes for the same figure; returns both paths."""
    from matplotlib import rc_context

    written = [Path(f"{path}.png"), Path(f"{path}.svg")]
    with rc_context({"svg.hashsalt": "arena"}):
        drawn.savefig(written[0])
        drawn.savefig(written[1], metadata={"Date": None})
    return written


def in_terminal(shown: Curve, *, width: int = 60, height: int = 9, measure: str = "success") -> list[str]:
    """The curve as lines of text: ● where it runs, ░ over its interval; none where there are fewer than two points."""
    if len(shown) < 2:
        return []
    top = next(bound for bound in (0.1, 0.2, 0.4, 1.0) if bound == 1 or np.nanmax([*shown.mean, *shown.high]) <= bound)
    columns = np.linspace(shown.x[0], shown.x[-1], width)
    mean, low, high = (np.interp(columns, shown.x, values) for values in (shown.mean, shown.low, shown.high))
    levels = np.round(np.array([mean, np.nan_to_num(low, nan=2), np.nan_to_num(high, nan=-1)]) * (height - 1) / top)
    lines = [f" {measure}"]
    for row in range(height - 1, -1, -1):
        cells = ["●" if m == row else "░" if lo <= row <= hi else " " for m, lo, hi in levels.T]
        tick = f"{top * row / (height - 1):.2f}" if row in (0, (height - 1) // 2, height - 1) else ""
        lines.append(f"{tick:>5} ┤{''.join(cells).rstrip()}")
    ends = f"{shown.x[0]:g}", f"{shown.x[-1]:g}"
    return [
        *lines,
        f"      └{'─' * width}",
        f"       {ends[0]}{'step':^{width - len(ends[0]) - len(ends[1])}}{ends[1]}",
    ]


__all__ = ["COLOURS", "Curve", "curve", "figure", "in_terminal", "save_figure"]
