"""`arena check`: hold environments to the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from arena.cli import _options
from arena.cli._console import counted, notice, print_json, say
from arena.cli._local import known_here
from arena.cli._progress import ProgressLine
from arena.core import registry
from arena.core.errors import MissingPrerequisite

if TYPE_CHECKING:
    from arena.core.checks import Report

SUMMARY = "Hold environments to the contract."
EXAMPLES = (
    "arena check arena/Wordle-v0 --deep",
    "arena check my-env/Thing-v0",
    "arena check   # all there are",
)


def command(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ENV", help="Environment ids; all of them if none is named.")
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="More seeds, longer episodes, and every task of the proved suite.")
    ] = False,
    as_json: _options.Json = False,
) -> int:
    """Hold environments to the contract: seeds, resets, hostile actions, snapshots, replay, oracle 1, do-nothing 0.

    One environment is shown check by check, several with a line each and what failed.
    """
    chosen = [known_here(id) for id in ids] if ids else list(registry.environments())
    reports: list[Report] = []
    missing: dict[str, MissingPrerequisite] = {}
    for number, id in enumerate(chosen, 1):
        try:
            report = _check(id, deep, f"[{number}/{len(chosen)}] {id}")
        except MissingPrerequisite as error:
            missing[id] = error
            continue
        reports.append(report)
        if not as_json:
            say(report.text() if len(chosen) == 1 else _line(report))
    if as_json:
        print_json([report.to_json() for report in reports])
    failed = [report.id for report in reports if not report.passed]
    if failed and len(chosen) > 1:
        notice(f"{len(failed)} of {counted(len(reports), 'environment')} break the contract: {', '.join(failed)}")
    for id, absent in missing.items():
        notice(f"{id} was not checked. {absent}")
    return 1 if failed else 3 if missing else 0


def _check(id: str, deep: bool, title: str) -> Report:
    from arena.core.checks import CHECKS, check

    count = 0
    with ProgressLine() as line:

        def progress(result: object) -> None:
            nonlocal count
            count += 1
            line.write(f"{title}: {count} of {len(CHECKS)} checks")

        return check(id, deep=deep, progress=progress)


def _line(report: Report) -> str:
    """One line; what failed in full below it."""
    passed = sum(result.status == "passed" for result in report.results)
    seconds = sum(result.seconds for result in report.results)
    sign = "ok  " if report.passed else "FAIL"
    lines = [f"{sign} {report.id:<28} {counted(passed, 'check')} passed in {seconds:.1f} s"]
    for result in report.failures:
        lines += [f"     {result.name}", *(f"       {line}" for line in result.detail.splitlines())]
    return "\n".join(lines)
