"""Recorded episodes as training data: which runs, which of their episodes, and how many turns each filter left."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, field_validator

from arena.core.errors import UsageError
from arena.core.outcome import Outcome
from arena.records import Row, open_run

if TYPE_CHECKING:
    from arena.core.episode import Episode


class DataOptions(BaseModel):
    """Run folders, and which of their episodes are learned from; what is not told filters nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runs: tuple[str, ...] = ()
    """Run folders: evaluations, trainings, collections."""
    outcomes: tuple[Outcome, ...] = ()
    """How the episodes ended."""
    success: bool | None = None
    """Whether they succeeded."""
    min_score: float | None = Field(default=None, ge=0, le=1)
    """The least score …"""
    max_score: float | None = Field(default=None, ge=0, le=1)
    """… and the highest."""
    agent: str | None = None
    """Agent spec, with * and ? as in file names."""
    since: datetime | None = None
    """When they began: not before this date (UTC unless it says otherwise) …"""
    until: datetime | None = None
    """… and before this one."""

    @field_validator("since", "until")
    @classmethod
    def _with_zone(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


@dataclass(frozen=True)
class Data:
    """The episodes that are left; they are read when they are asked for.

    Attributes:
        rows: the light view of each, with its run.
        report: what was there and what each filter left, in words.
        damaged: what could not be read so far, in words.
    """

    rows: Sequence[tuple[Path, Row]]
    report: Sequence[str]
    damaged: list[str] = field(default_factory=list)

    @property
    def turns(self) -> int:
        """Turns of all episodes."""
        return sum(row.turns for _, row in self.rows)

    @property
    def returns(self) -> list[float]:
        """The undiscounted return of each episode."""
        return [row.reward for _, row in self.rows]

    def episodes(self) -> Iterator[Episode]:
        """The episodes, one after the other; a damaged record is left out and named in `damaged`.

        Raises:
            UsageError: all of them are damaged.
        """
        self.damaged.clear()
        read = 0
        for folder in dict.fromkeys(folder for folder, _ in self.rows):
            wanted = {(row.shard, row.offset) for place, row in self.rows if place == folder}
            with open_run(folder) as run:
                for episode in run.episodes(partial(_among, wanted)):
                    read += 1
                    yield episode
                self.damaged.extend(f"{folder}: {damage}" for damage in run.damage)
        if not read:
            raise UsageError(
                f"None of the {len(self.rows):,} episodes can be read:\n  {_joined(self.damaged[:5])}\n"
                "Name other runs, or bring these back from a copy."
            )


def read_data(options: DataOptions, envs: Sequence[str], note: Callable[[str], None] | None = None) -> Data:
    """Find the episodes to learn from.

    Args:
        options: runs and filters.
        envs: the environments that are trained in.
        note: is told the report, line by line.

    Raises:
        UsageError: no run there, nothing left, or episodes of another version of the environment only; says
            how many turns each filter left.
    """
    rows = [(Path(folder), row) for folder in options.runs for row in _rows(Path(folder))]
    report = [f"{len(options.runs)} run(s): {_count(rows)}"]
    damaged = [line for folder in options.runs for line in _damage(Path(folder))]
    required = list(_required(envs))
    for name, keeps in (*required, *_filters(options)):
        before = len(rows)
        others = sorted({row.env for _, row in rows})
        rows = [(folder, row) for folder, row in rows if keeps(row)]
        if len(rows) < before or (name, keeps) not in required:
            report.append(f"{name}: {_count(rows)}")
        if before and not rows:
            raise UsageError(f"Nothing is left to learn from.\n  {_joined(report)}{_why(name, envs, others)}")
    if not rows:
        raise UsageError(f"There are no episodes in {', '.join(options.runs)}.{_joined(damaged, start=' ')}")
    if not any(row.success for _, row in rows):
        report.append(
            f"none of the {len(rows):,} episodes succeeded, so nobody shows how it is done: add some of an agent that "
            f"does (arena collect {envs[0]} -a oracle:0.5,random:0.5)"
        )
    if note is not None:
        for line in report:
            note(line)
    return Data(rows, report, damaged)


def require_rewards(returns: Sequence[float], algorithm: str) -> None:
    """Refuse data in which no episode is better than another.

    Args:
        returns: undiscounted, of each episode.
        algorithm: that compares them.

    Raises:
        UsageError: says what the algorithm needs.
    """
    if len(returns) == 1:
        raise UsageError(
            f"{algorithm} compares episodes, and the data has one. Collect more (arena collect), or imitate it: bc."
        )
    if len(set(returns)) == 1:
        what = "no rewards at all" if not any(returns) else f"the same return ({returns[0]:g}) in every episode"
        raise UsageError(
            f"The data has {what}, so {algorithm} cannot tell better actions from worse. Add episodes of "
            "another agent (arena collect ENV -a oracle:0.5,random:0.5), or imitate: bc."
        )


def _among(wanted: set[tuple[str, int]], row: Row) -> bool:
    return (row.shard, row.offset) in wanted


def _rows(folder: Path) -> list[Row]:
    with open_run(folder) as run:
        return run.rows()


def _damage(folder: Path) -> list[str]:
    with open_run(folder) as run:
        return [f"{folder}: {damage}" for damage in run.damage]


def _required(envs: Sequence[str]) -> Iterable[tuple[str, Callable[[Row], bool]]]:
    """What every episode must be to be learned from: in words, and whether one is."""
    yield f"of {', '.join(envs)}", lambda row: row.env in envs
    yield "scored, with turns", lambda row: row.outcome.scored and row.turns > 0


def _filters(options: DataOptions) -> Iterable[tuple[str, Callable[[Row], bool]]]:
    """Each filter that was asked for: its name, and whether it keeps an episode."""
    if options.outcomes:
        yield f"ended as {', '.join(options.outcomes)}", lambda row: row.outcome in options.outcomes
    if options.success is not None:
        named = "successful" if options.success else "unsuccessful"
        yield named, lambda row: bool(row.success) == options.success
    least, most = options.min_score, options.max_score
    if least is not None:
        yield f"score at least {least:g}", lambda row: row.score is not None and row.score >= least
    if most is not None:
        yield f"score at most {most:g}", lambda row: row.score is not None and row.score <= most
    if options.agent is not None:
        pattern = options.agent
        yield f"played by {pattern}", lambda row: fnmatch.fnmatchcase(row.agent, pattern)
    since, until = options.since, options.until
    if since is not None:
        yield f"since {since:%Y-%m-%d %H:%M}", lambda row: (_started(row) or since) >= since
    if until is not None:
        yield f"before {until:%Y-%m-%d %H:%M}", lambda row: (_started(row) or until) < until


def _started(row: Row) -> datetime | None:
    try:
        found = datetime.fromisoformat(row.started)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _why(name: str, envs: Sequence[str], others: Sequence[str]) -> str:
    """What to do about a filter that left nothing."""
    if not name.startswith("of "):
        return "\nLoosen that filter, or add runs."
    stems = {env.rpartition("-v")[0] for env in envs}
    versions = [other for other in others if other.rpartition("-v")[0] in stems]
    if versions:
        return (
            f"\nThe episodes are of {', '.join(versions)}: what was learned there need not hold in "
            f"{', '.join(envs)}. Train in that version, or collect episodes of this one: arena collect."
        )
    return f"\nThe episodes are of {', '.join(others)}; name that one with --env, or other runs."


def _count(rows: Sequence[tuple[Path, Row]]) -> str:
    turns = sum(row.turns for _, row in rows)
    return f"{turns:,} turns of {len(rows):,} episodes"


def _joined(lines: Sequence[str], start: str = "") -> str:
    return start + "\n  ".join(lines) if lines else ""


__all__ = ["Data", "DataOptions", "read_data", "require_rewards"]
