"""Reading a run, finished or not, writable or not, damaged or not."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from pydantic import ValidationError

from arena.core.episode import Episode, ImagePart, Key
from arena.core.errors import RecordDamaged, UnknownName, UsageError
from arena.core.outcome import Outcome
from arena.records._config import read_config
from arena.records._frames import Damage, FrameCodec, scan
from arena.records._index import Index, read_line, shard_paths
from arena.records._journal import Unfinished, read_journal
from arena.records._lock import writer_of
from arena.records.rows import Row, key_name

T = TypeVar("T")


def open_run(folder: str | os.PathLike[str]) -> Run:
    """Open a run to read it.

    Raises:
        UsageError: there is no run in the folder, or it was written in a newer format.
    """
    return Run(Path(folder))


class Run:
    """A run folder. Of each slot (task, repeat, step) the newest attempt counts, unless it is superseded.

    Attributes:
        folder: where it is.
        config: the configuration it was started with.
        record: what wrote it, and when: `format`, `arena`, `python`, `created`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config, self.record = read_config(folder)
        self._index = Index.open(folder)
        self._codec = FrameCodec()
        self._unreadable: dict[tuple[str, int], Damage] = {}

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def summary(self) -> dict[str, Any] | None:
        """What `summary.json` says; None where there is none yet."""
        path = self.folder / "summary.json"
        return json.loads(path.read_text()) if path.exists() else None

    @property
    def writer(self) -> str | None:
        """Who is writing to it just now, such as `process 1234`; None if nobody is."""
        return writer_of(self.folder)

    @property
    def damage(self) -> list[Damage]:
        """What of the shards could not be read so far; `verify` reads all of them."""
        known = {(damage.shard, damage.offset): damage for damage in self._ask(Index.damage)}
        return [damage for _, damage in sorted((known | self._unreadable).items())]

    def rows(
        self,
        *,
        env: str | None = None,
        task: str | None = None,
        agent: str | None = None,
        outcome: Outcome | str | None = None,
        latest: bool = True,
    ) -> list[Row]:
        """The light view of the episodes, in the order they ended.

        Args:
            env: only of this environment.
            task: only of the task with this key.
            agent: only of this agent.
            outcome: only with this outcome.
            latest: only what counts; False adds older attempts and superseded episodes.
        """
        wanted = {"env": env, "task": task, "agent": agent, "outcome": None if outcome is None else str(outcome)}
        conditions = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in conditions) or "1"
        return self._ask(lambda index: index.rows(where, conditions.values(), newest=latest))

    @property
    def superseded(self) -> list[Row]:
        """Episodes that no longer count: older attempts, and what a resumed training did again."""
        counting = {(row.shard, row.offset) for row in self.rows()}
        return [row for row in self.rows(latest=False) if (row.shard, row.offset) not in counting]

    def episodes(self, where: Callable[[Row], bool] | None = None, **conditions: Any) -> Iterator[Episode]:
        """The records, one after the other; what cannot be read is left out and stands in `damage`.

        Args:
            where: only episodes whose row fulfils this.
            conditions: as for `rows`.
        """
        for row in self.rows(**conditions):
            if where is None or where(row):
                try:
                    yield self.read(row)
                except RecordDamaged as error:
                    self._unreadable[row.shard, row.offset] = Damage(row.shard, row.offset, row.length, str(error))

    def episode(self, which: Key | str | int) -> Episode:
        """One record.

        Args:
            which: its key, its place in `rows()`, or the beginning of its name, with or without the
                namespace (`arena/Maze-v0@3`, `Maze-v0@3:1`).

        Raises:
            UnknownName: there is none.
            UsageError: the beginning fits several.
            RecordDamaged: it cannot be read.
        """
        return self.read(self.row(which))

    def row(self, which: Key | str | int) -> Row:
        """The light view of one episode; arguments and errors as of `episode`."""
        if isinstance(which, Key):
            values = (which.task, which.repeat, which.step, which.attempt)
            where = "task = ? AND repeat = ? AND step = ? AND attempt = ?"
            if found := self._ask(lambda index: index.rows(where, values, newest=False)):
                return found[-1]
        elif isinstance(which, int):
            if found := self._ask(lambda index: index.rows(place=which)):
                return found[0]
            raise UsageError(f"{self.folder} has {len(self.rows())} episodes, numbered from 0; there is no {which}.")
        else:
            return self._named(which)
        raise UnknownName("episode", key_name(*values), self._some_names())

    def _named(self, name: str) -> Row:
        exact = "name = ?1 OR substr(name, instr(name, '/') + 1) = ?1"
        if found := self._ask(lambda index: index.rows(exact, (name,)) or index.rows(exact, (name,), newest=False)):
            return found[-1]
        begins = "substr(name, 1, length(?1)) = ?1 OR substr(name, instr(name, '/') + 1, length(?1)) = ?1"
        found = self._ask(lambda index: index.rows(begins, (name,)))
        if len(found) > 1:
            some = ", ".join(row.name for row in found[:5])
            raise UsageError(f"{name!r} fits {len(found)} episodes: {some}{', …' if len(found) > 5 else ''}.")
        if not found:
            raise UnknownName("episode", name, self._some_names())
        return found[0]

    def _some_names(self) -> list[str]:
        return [row.name for row in self.rows()[:500]]

    def read(self, row: Row) -> Episode:
        """The record of a row.

        Raises:
            RecordDamaged: it cannot be read.
        """
        line = read_line(self.folder, row, self._codec)
        try:
            return Episode.model_validate_json(line)
        except ValidationError as error:
            reason = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
            raise RecordDamaged(f"Episode {row.name} (shard {row.shard}, offset {row.offset}): {reason}.") from error

    def unfinished(self) -> list[Unfinished]:
        """Episodes that began and have no record: of a writer that died, or that is still at work."""
        found: list[Unfinished] = []
        for path in sorted((self.folder / "journal").glob("*.jsonl")):
            with suppress(FileNotFoundError):  # its writer has just ended
                found += read_journal(path)
        self.refresh()  # after the journals: what ended meanwhile is on record by now
        recorded = {row.key for row in self.rows(latest=False)}
        return [unfinished for unfinished in found if unfinished.key not in recorded]

    def blob(self, part: ImagePart | str) -> bytes:
        """The bytes of an image, or of anything kept under its SHA-256.

        Raises:
            RecordDamaged: they are missing or have changed.
        """
        digest = part.sha256 if isinstance(part, ImagePart) else part
        try:
            data = (self.folder / "blobs" / digest).read_bytes()
        except OSError as error:
            raise RecordDamaged(f"{self.folder / 'blobs' / digest} is missing.") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise RecordDamaged(f"{self.folder / 'blobs' / digest} does not match its name.")
        return data

    def verify(self) -> list[Damage]:
        """Read every frame of every shard again; returns all damage."""
        for path in shard_paths(self.folder):
            for found in scan(path):
                if isinstance(found, Damage):
                    self._unreadable[found.shard, found.offset] = found
        return self.damage

    def refresh(self) -> None:
        """Take in what was written since the run was opened."""
        if not self._ask(lambda index: index.is_current(self.folder)):
            self._index.close()
            self._index = Index.open(self.folder)

    def _ask(self, question: Callable[[Index], T]) -> T:
        """The index's answer; an index that turns out to be damaged is made anew."""
        try:
            return question(self._index)
        except sqlite3.DatabaseError:
            self._index.close()
            self._index = Index.rebuilt(self.folder)
            return question(self._index)

    def close(self) -> None:
        """Let go of the index; a second call does nothing."""
        self._index.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
