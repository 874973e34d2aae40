"""What a benchmark found: one table for people, one JSON file for programs."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


class CannotMeasure(Exception):
    """A benchmark has nothing to measure on; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        what: what was measured.
        value: Arena's figure, in `unit`.
        more_is_better: of the unit.
        peer, theirs: who was measured beside it, and their figure in the same unit; None where it could not be.
        target: what Arena's figure must reach; `times` is what it must reach as a multiple of the peer's instead.
        note: what a reader must know, such as why a peer has no figure.
    """

    what: str
    value: float
    unit: str
    more_is_better: bool = False
    peer: str = ""
    theirs: float | None = None
    target: float | None = None
    times: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better Arena's figure is than the peer's."""
        if self.theirs is None:
            return None
        return self.value / self.theirs if self.more_is_better else self.theirs / self.value

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None where there is none, or the peer has no figure."""
        if self.target is not None:
            return self.value >= self.target if self.more_is_better else self.value <= self.target
        if self.times is None or self.ratio is None:
            return None
        return self.ratio >= self.times

    def cells(self) -> list[str]:
        """The line's cells."""
        sign = "≥" if self.more_is_better else "≤"
        goal = "" if self.target is None else f"{sign} {number(self.target)}"
        goal = f"≥ {self.times:g}x" if self.times is not None else goal
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        theirs = "" if not self.peer else "no figure" if self.theirs is None else number(self.theirs)
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x" if self.ratio < 10 else f"{self.ratio:.0f}x"
        return [self.what, number(self.value), self.unit, self.peer, theirs, ratio, f"{goal} {verdict}".strip()]


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of a benchmark, and how they were obtained."""

    method: str
    figures: list[Figure]
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether no target was missed."""
        return all(figure.met is not False for figure in self.figures)

    def table(self) -> str:
        """As Markdown that lines up in a terminal too."""
        head = ["what", "Arena", "unit", "beside", "figure", "Arena is", "target"]
        lines = [head, *(figure.cells() for figure in self.figures)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        rows = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        rule = " | ".join("-" * width for width in widths)
        notes = [f"- {figure.what}: {figure.note}" for figure in self.figures if figure.note]
        machine = describe_machine()
        where = f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}"
        table = [f"| {row} |" for row in (rows[0], rule, *rows[1:])]
        return "\n".join([*table, "", *notes, f"- {self.method}", f"- {where}, load {machine['load']:.1f}."])

    def write(self, name: str) -> None:
        """Write `results/<name>.json`."""
        RESULTS.mkdir(exist_ok=True)
        content = {
            "benchmark": name,
            "command": f"python -m benchmarks {name}",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_machine(),
            "method": self.method,
            "figures": [
                {**{key: value for key, value in asdict(figure).items() if value not in (None, "")}}
                | {"ratio": figure.ratio, "met": figure.met}
                for figure in self.figures
            ],
            **self.extra,
        }
        text = json.dumps(content, indent=2, ensure_ascii=False)
        (RESULTS / f"{name}.json").write_text(text + "\n")


def describe_machine() -> dict[str, Any]:
    """What a figure depends on."""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "arena": importlib.metadata.version("arena-gym"),
        "gymnasium": importlib.metadata.version("gymnasium"),
        "implementation": sys.implementation.name,
    }


def number(value: float) -> str:
    """At most three digits that count, thousands set apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
