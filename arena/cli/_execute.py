"""Recorded episodes run again, and what came out differently."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from arena.cli._console import counted, print_json, say
from arena.cli._progress import ProgressLine
from arena.core.episode import Episode, Key

if TYPE_CHECKING:
    from arena.replay import Divergence, Execution

_AROUND = 60


def execute_episodes(
    records: Iterable[Episode], numbers: Mapping[Key, int], concurrency: int, as_json: bool, *, asked: int
) -> int:
    """Run `asked` episodes again and report them by their number in the run; 1 if one differs."""
    from arena.replay import execute_all

    done = 0
    with ProgressLine() as line:

        def count(execution: Execution) -> None:
            nonlocal done
            done += 1
            line.write(f"{done}/{asked} episodes executed again")

        results = asyncio.run(execute_all(records, concurrency=concurrency, on_execution=count))
    diverged = [result for result in results if result.divergence is not None]
    skipped = [result for result in results if result.skipped is not None]
    turns = sum(result.turns for result in results)
    if as_json:
        print_json(
            {
                "executed": len(results) - len(skipped),
                "turns": turns,
                "diverged": [
                    {"episode": r.key.model_dump(), "number": numbers.get(r.key), **_as_json(r.divergence)}
                    for r in diverged
                ],
                "skipped": [
                    {"episode": r.key.model_dump(), "number": numbers.get(r.key), "reason": r.skipped} for r in skipped
                ],
            }
        )
        return 1 if diverged else 0
    for result in diverged:
        _tell(result, numbers.get(result.key))
    for reason in dict.fromkeys(result.skipped for result in skipped):
        count_of = sum(result.skipped == reason for result in skipped)
        say(f"{counted(count_of, 'episode')} not compared: {reason}")
    found = "no divergence" if not diverged else "1 diverges" if len(diverged) == 1 else f"{len(diverged)} diverge"
    say(f"{counted(len(results) - len(skipped), 'episode')}, {counted(turns, 'turn')} executed again: {found}.")
    return 1 if diverged else 0


def _as_json(divergence: Divergence | None) -> dict[str, Any]:
    if divergence is None:
        return {}
    return {
        "turn": divergence.turn,
        "field": divergence.field,
        "expected": divergence.expected,
        "found": divergence.found,
    }


def _tell(result: Execution, number: int | None) -> None:
    """Which episode differs, where, and how."""
    difference = result.divergence
    assert difference is not None
    place = "an older attempt" if number is None else f"episode {number}"
    say(f"{place}, {result.key.task}, differs {difference.place}: {difference.field}")
    recorded, found = _around(difference.expected, difference.found)
    say(f"  recorded  {recorded}")
    say(f"  now       {found}")


def _around(expected: Any, found: Any) -> tuple[str, str]:
    """Both values, long texts only around the first character that differs."""
    if not (isinstance(expected, str) and isinstance(found, str)):
        return repr(expected), repr(found)
    differing = (n for n, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b)
    at = next(differing, min(len(expected), len(found)))
    return _cut(expected, at), _cut(found, at)


def _cut(text: str, at: int) -> str:
    start = max(at - _AROUND, 0) if len(text) > 2 * _AROUND else 0
    end = start + 2 * _AROUND
    return f"{'… ' if start else ''}{text[start:end]!r}{' …' if end < len(text) else ''}"
