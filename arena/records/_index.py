"""The index of a run: one row per episode in SQLite, always rebuildable from the shards.

It knows up to where it has read each shard, so bringing it up to date reads only what was appended.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, get_type_hints

from arena.core.errors import RecordDamaged
from arena.core.outcome import Outcome
from arena.records._frames import Damage, FrameCodec, read_frame, scan, shard_name
from arena.records.rows import Row, row_from_json

_VERSION = 1
_TYPES = {int: "INTEGER", bool | None: "INTEGER", float: "REAL", float | None: "REAL"}
_COLUMNS = {name: _TYPES.get(kind, "TEXT") for name, kind in get_type_hints(Row).items()}
_NAMES = ", ".join(f'"{name}"' for name in _COLUMNS)
_SCHEMA = f"""
BEGIN;
CREATE TABLE episodes ({", ".join(f'"{name}" {kind}' for name, kind in _COLUMNS.items())},
    name TEXT, superseded INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (shard, offset));
CREATE INDEX slots ON episodes (task, repeat, step, attempt);
CREATE INDEX names ON episodes (name);
CREATE TABLE shards (shard TEXT PRIMARY KEY, whole INTEGER, size INTEGER);
CREATE TABLE damage (shard TEXT, offset INTEGER, length INTEGER, reason TEXT, PRIMARY KEY (shard, offset));
CREATE TABLE superseded (ranges TEXT);
PRAGMA user_version = {_VERSION};
COMMIT;
"""
_NEWEST = """NOT superseded AND NOT EXISTS (SELECT 1 FROM episodes AS newer WHERE newer.task = episodes.task
    AND newer.repeat = episodes.repeat AND newer.step = episodes.step AND NOT newer.superseded
    AND (newer.attempt, newer.shard, newer.offset) > (episodes.attempt, episodes.shard, episodes.offset))"""

Ranges = Mapping[str, list[tuple[int, int]]]
"""shard -> ranges [start, stop) of offsets whose frames no longer count."""


class Index:
    """The rows of a run. Safe to use from several threads.

    `Index.open` brings it up to date: in its file where that can be written, else in memory.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self.close = weakref.finalize(self, connection.close)

    @classmethod
    def open(cls, folder: Path) -> Index:
        """The index of the run in `folder`, up to date with its shards."""
        path = folder / "index.sqlite"
        index = cls._load(path) if path.exists() else None
        try:
            if index is None:
                path.unlink(missing_ok=True)
                index = cls._create(str(path))
            if not index.is_current(folder):
                index.update(folder)
            return index
        except (sqlite3.DatabaseError, OSError):
            return cls._in_memory(folder, index)

    @classmethod
    def rebuilt(cls, folder: Path) -> Index:
        """The index made anew from the shards: the old one turned out to be damaged."""
        with suppress(OSError):
            (folder / "index.sqlite").unlink()
        return cls.open(folder)

    @classmethod
    def _load(cls, path: Path) -> Index | None:
        """The index in a file; None if it cannot be used or is of another version."""
        try:
            connection = _connect(f"{path.absolute().as_uri()}?mode=rw")
        except sqlite3.DatabaseError:
            return None
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] == _VERSION:
                connection.execute(f"SELECT {_NAMES}, name, superseded FROM episodes LIMIT 1").fetchone()
                return cls(connection)
        except sqlite3.DatabaseError:
            pass
        connection.close()
        return None

    @classmethod
    def _in_memory(cls, folder: Path, known: Index | None) -> Index:
        """An index beside the file, which cannot be written; it begins with what the file knows, if that is sound."""
        if known is not None:
            with suppress(sqlite3.DatabaseError):
                memory = known._copy()
                memory.update(folder)
                return memory
        memory = cls._create(":memory:")
        memory.update(folder)
        return memory

    @classmethod
    def _create(cls, path: str) -> Index:
        connection = _connect(path)
        try:
            connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    def _copy(self) -> Index:
        memory = _connect(":memory:")
        self._connection.backup(memory)
        return Index(memory)

    def is_current(self, folder: Path) -> bool:
        """Whether the shards are as long as they were when they were last read."""
        sizes = {shard_name(path): path.stat().st_size for path in shard_paths(folder)}
        with self._lock:
            known = dict(self._connection.execute("SELECT shard, size FROM shards WHERE size > 0"))
            applied = self._connection.execute("SELECT ranges FROM superseded").fetchone()
        ranges = read_superseded(folder)
        return {s: n for s, n in sizes.items() if n} == known and (applied or ("{}",))[0] == json.dumps(ranges)

    def update(self, folder: Path) -> None:
        """Read what was appended to the shards since the last time."""
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            known = {s: (w, n) for s, w, n in self._connection.execute("SELECT shard, whole, size FROM shards")}
            paths = {shard_name(path): path for path in shard_paths(folder)}
            for shard in known.keys() - paths.keys():
                self._forget(shard, 0)
            for shard, path in paths.items():
                whole, size = known.get(shard, (0, 0))
                now = path.stat().st_size
                if now < size:
                    whole = self._forget(shard, now)
                if now != size:
                    self._read(path, whole)
            self._supersede(read_superseded(folder))

    def _forget(self, shard: str, size: int) -> int:
        """Drop the rows beyond a shard's new, smaller size; returns up to where the rest is whole."""
        run = self._connection.execute
        run("DELETE FROM episodes WHERE shard = ? AND offset + length > ?", (shard, size))
        run("DELETE FROM shards WHERE shard = ?", (shard,))
        run("DELETE FROM damage WHERE shard = ? AND offset + length > ?", (shard, size))
        end = run("SELECT max(offset + length) FROM episodes WHERE shard = ?", (shard,)).fetchone()[0]
        return end or 0

    def _read(self, path: Path, start: int) -> None:
        shard, whole, size, rows = shard_name(path), start, start, []
        damages: list[Damage] = []
        for found in scan(path, start):
            size = found.offset + found.length
            if isinstance(found, Damage):
                damages.append(found)
                continue
            whole = size
            try:
                rows.append(row_from_json(found.line, shard, found.offset, found.length))
            except ValueError:
                damages.append(Damage(shard, found.offset, found.length, "it holds no episode"))
        self._insert(rows)
        self._connection.execute("DELETE FROM damage WHERE shard = ? AND offset >= ?", (shard, start))
        self._connection.executemany(
            "INSERT OR REPLACE INTO damage VALUES (?, ?, ?, ?)",
            [(d.shard, d.offset, d.length, d.reason) for d in damages],
        )
        self._connection.execute("INSERT OR REPLACE INTO shards VALUES (?, ?, ?)", (shard, whole, size))

    def _insert(self, rows: Iterable[Row]) -> None:
        marks = ", ".join("?" * (len(_COLUMNS) + 1))
        self._connection.executemany(
            f"INSERT OR REPLACE INTO episodes ({_NAMES}, name) VALUES ({marks})", [(*row, row.name) for row in rows]
        )

    def _supersede(self, ranges: Ranges) -> None:
        run = self._connection.execute
        run("UPDATE episodes SET superseded = 0 WHERE superseded")
        for shard, spans in ranges.items():
            for start, stop in spans:
                run(
                    "UPDATE episodes SET superseded = 1 WHERE shard = ? AND offset >= ? AND offset < ?",
                    (shard, start, stop),
                )
        run("DELETE FROM superseded")
        run("INSERT INTO superseded VALUES (?)", (json.dumps(ranges),))

    def add(self, rows: Iterable[Row], shard: str, size: int) -> bool:
        """Enter what the writer appended; `size` is the shard's. False if the file is busy: try again later."""
        try:
            with self._lock, self._connection:
                self._insert(rows)
                self._connection.execute("INSERT OR REPLACE INTO shards VALUES (?, ?, ?)", (shard, size, size))
        except sqlite3.OperationalError:
            return False
        return True

    def torn_tails(self) -> list[tuple[str, int]]:
        """Shards with something after their last whole frame, and where that begins."""
        with self._lock:
            return list(self._connection.execute("SELECT shard, whole FROM shards WHERE size > whole"))

    def damage(self) -> list[Damage]:
        """What the shards hold that could not be read."""
        with self._lock:
            found = self._connection.execute("SELECT shard, offset, length, reason FROM damage ORDER BY shard, offset")
            return [Damage(*values) for values in found]

    def rows(
        self, where: str = "1", values: Iterable[Any] = (), newest: bool = True, place: int | None = None
    ) -> list[Row]:
        """The rows that fulfil an SQL condition, in the order they were written; with `place` only the one there."""
        condition = f"({where}) AND {_NEWEST}" if newest else where
        order = " DESC" if place is not None and place < 0 else ""
        one = "" if place is None else f" LIMIT 1 OFFSET {place if place >= 0 else -1 - place}"
        statement = f"SELECT {_NAMES} FROM episodes WHERE {condition} ORDER BY shard{order}, offset{order}{one}"
        with self._lock:
            found = self._connection.execute(statement, tuple(values)).fetchall()
        return [_row(values) for values in found]


def _connect(place: str) -> sqlite3.Connection:
    """A path, a URI or `:memory:`. Nothing waits for the disk: what a crash breaks is built again."""
    uri = place.startswith("file:")
    connection = sqlite3.connect(place, uri=uri, timeout=1.0, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = OFF")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


_OUTCOMES = {str(outcome): outcome for outcome in Outcome}
_OUTCOME, _SUCCESS, _REWARD = (list(_COLUMNS).index(name) for name in ("outcome", "success", "reward"))


def _row(values: tuple[Any, ...]) -> Row:
    """A row from what SQLite holds, which knows neither booleans nor NaN."""
    cells = list(values)
    cells[_OUTCOME] = _OUTCOMES[cells[_OUTCOME]]
    cells[_SUCCESS] = None if cells[_SUCCESS] is None else bool(cells[_SUCCESS])
    cells[_REWARD] = math.nan if cells[_REWARD] is None else cells[_REWARD]
    return Row._make(cells)


def shard_paths(folder: Path) -> list[Path]:
    """The run's shards, in the order they were begun."""
    return sorted((folder / "episodes").glob("*.jsonl.zst"))


def read_superseded(folder: Path) -> dict[str, list[tuple[int, int]]]:
    """The ranges of frames that no longer count."""
    path = folder / "superseded.json"
    if not path.exists():
        return {}
    try:
        return {shard: [(a, b) for a, b in spans] for shard, spans in json.loads(path.read_text()).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise RecordDamaged(f"{path} cannot be read: {error}. Delete it to count every episode again.") from error


def read_line(folder: Path, row: Row, codec: FrameCodec) -> bytes:
    """The record of a row, as it was written.

    Raises:
        RecordDamaged: it cannot be read any more.
    """
    try:
        return read_frame(folder / "episodes" / f"{row.shard}.jsonl.zst", row.offset, row.length, codec)
    except RecordDamaged as error:
        raise RecordDamaged(f"Episode {row.name} (shard {row.shard}, offset {row.offset}): {error}.") from error
