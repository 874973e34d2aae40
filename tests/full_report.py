"""The report of a full run (`make test-full`), to be committed: what ran, where, on which commit, with which result."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "docs" / "results" / "test-full.md"


def write_report(reports: dict[str, list[Any]], seconds: float) -> None:
    """Write the report.

    Args:
        reports: pytest's reports by outcome (`terminalreporter.stats`).
        seconds: wall time of the session.
    """
    outcomes = ("passed", "failed", "error", "skipped", "xfailed")
    counts: dict[str, Counter[str]] = {}
    times: Counter[str] = Counter()
    for outcome in outcomes:
        for report in reports.get(outcome, []):
            folder = "/".join(report.nodeid.split("::")[0].split("/")[:2])
            counts.setdefault(folder, Counter())[outcome] += 1
            times[folder] += report.duration
    total = sum(counts.values(), Counter())
    lines = [
        "# The last full test run",
        "",
        f"`make test-full` on commit `{_git('rev-parse', '--short=12', 'HEAD')}`{_dirty()},",
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}, "
        f"{platform.machine()}, {os.cpu_count()} cores, {seconds / 60:.1f} minutes.",
        "",
        f"**{', '.join(f'{total[outcome]} {outcome}' for outcome in outcomes if total[outcome])}**",
        "",
        "| tests | " + " | ".join(outcomes) + " | seconds |",
        "|---|" + "---:|" * (len(outcomes) + 1),
    ]
    for folder in sorted(counts):
        row = " | ".join(str(counts[folder][outcome] or "") for outcome in outcomes)
        lines.append(f"| {folder} | {row} | {times[folder]:.0f} |")
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _dirty() -> str:
    return " with uncommitted changes" if _git("status", "--porcelain", "--untracked-files=no") else ""
