"""A replay buffer on disk: rows of numbers and of token sequences, appended by one, sampled by many.

    buffer.json            columns, capacity, rows of a segment
    committed.json         how much of each segment counts; replaced in one step
    segment-000000/
        rows.bin           the scalar columns, and where each row's sequences end
        NAME.bin           the values of the sequence column NAME, one row's after another's
        priority.bin       a priority per row (float32), written in place

Appended bytes count once `committed.json` says so, and what a killed writer left behind is cut off when the next
one opens the buffer. Beyond its capacity the oldest segment is dropped whole; a reader that has it
mapped goes on reading it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.core.errors import RecordDamaged, UsageError
from arena.records._files import replace_file, write_all
from arena.records._lock import RunLock

FORMAT = 1
_PRIORITY = np.dtype(np.float32)


@dataclass(frozen=True)
class Columns:
    """What a row has.

    Attributes:
        scalars: name -> type of a number per row.
        sequences: name -> type of the values of a sequence per row.
    """

    scalars: Mapping[str, str]
    sequences: Mapping[str, str]

    @property
    def row(self) -> np.dtype[Any]:
        """How a row lies in `rows.bin`."""
        ends = [(f"end of {name}", "<i8") for name in self.sequences]
        return np.dtype([*((name, kind) for name, kind in self.scalars.items()), *ends])


@dataclass(frozen=True)
class Ragged:
    """Sequences end to end: that of row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: NDArray[Any]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[Any]:
        return self.values[self.offsets[row] : self.offsets[row + 1]]


class BufferWriter:
    """Appends rows; one writer at a time, any number of readers.

    Args:
        folder: where; it is made or gone on with.
        columns: what a row has; those of an existing buffer must be the same.
        capacity: rows that are kept, at least; the oldest segment goes when all others have as many. None keeps all.
        segment_rows: rows of a segment.
        position: go on from where `position` said this, and forget what was committed after it; the end unless told.

    Raises:
        UsageError: the buffer there has other columns.
        RunLocked: another writer has it.
    """

    def __init__(
        self,
        folder: str | Path,
        columns: Columns,
        *,
        capacity: int | None = None,
        segment_rows: int = 65_536,
        position: Sequence[Mapping[str, int]] | None = None,
    ) -> None:
        self.folder, self.columns = Path(folder), columns
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock: RunLock | None = RunLock(self.folder)
        try:
            self._capacity, self._segment_rows = capacity, segment_rows
            if position is not None:
                # A segment that was dropped since had outlived its room.
                left = [dict(one) for one in position if (self.folder / segment_name(one["number"])).is_dir()]
                _replace(self.folder / "committed.json", {"segments": left})
            self._segments = self._opened()
            self._files: dict[str, int] = {}
            self._cut_off()
        except BaseException:
            self._lock.release()
            raise

    def add(self, scalars: Mapping[str, Any], sequences: Mapping[str, Sequence[Any]], priority: float = 1.0) -> None:
        """Append rows (T), all of them or none; they count after `commit`.

        Args:
            scalars: each column's numbers (T).
            sequences: each column's sequences, T of them.
            priority: of all these rows.

        Raises:
            UsageError: a column is missing or has another length.
        """
        rows, values = self._laid_out(scalars, sequences)
        number, counts = self._segments[-1]
        path = self.folder / segment_name(number)
        with (path / "priority.bin").open("r+b") as file:
            file.seek(counts["rows"] * _PRIORITY.itemsize)
            file.write(np.full(len(rows), priority, _PRIORITY).tobytes())
        for name, array in {**values, "rows": rows}.items():
            write_all(self._file(name), array.tobytes())
            counts[name] += len(array)
        if counts["rows"] >= self._segment_rows:
            self.commit()
            self._begin(number + 1)

    def commit(self) -> None:
        """What was added so far is on the disk when this returns, and readers find it."""
        for descriptor in self._files.values():
            os.fdatasync(descriptor)
        self._say()
        self._drop_oldest()

    def position(self) -> list[dict[str, int]]:
        """What counts now, for another writer to go on from later."""
        return [{"number": number, **counts} for number, counts in self._segments]

    def close(self) -> None:
        """Commit, and let the next writer in."""
        if self._lock is None:
            return
        self.commit()
        self._close_files()
        self._lock.release()
        self._lock = None

    def __enter__(self) -> BufferWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _laid_out(
        self, scalars: Mapping[str, Any], sequences: Mapping[str, Sequence[Any]]
    ) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
        told, known = {*scalars, *sequences}, {*self.columns.scalars, *self.columns.sequences}
        if told != known:
            raise UsageError(f"A row of {self.folder} has the columns {sorted(known)}, not {sorted(told)}.")
        lengths = {name: len(column) for name, column in {**scalars, **sequences}.items()}
        if len({*lengths.values()}) != 1:
            raise UsageError(f"All columns need the same number of rows, not {lengths}.")
        rows = np.zeros(next(iter(lengths.values())), self.columns.row)
        for name, column in scalars.items():
            rows[name] = column
        values = {}
        for name, kind in self.columns.sequences.items():
            pieces = [np.asarray(piece, kind) for piece in sequences[name]]
            values[name] = np.concatenate([np.zeros(0, kind), *pieces])
            rows[f"end of {name}"] = self._segments[-1][1][name] + np.cumsum([len(piece) for piece in pieces])
        return rows, values

    def _opened(self) -> list[tuple[int, dict[str, int]]]:
        told = {
            "format": FORMAT,
            "scalars": dict(self.columns.scalars),
            "sequences": dict(self.columns.sequences),
            "segment_rows": self._segment_rows,
        }
        path = self.folder / "buffer.json"
        if not path.exists():
            _replace(path, told)
        found = read_json(path)
        if found != told:
            different = ", ".join(name for name in told if found.get(name) != told[name])
            raise UsageError(
                f"The replay buffer {self.folder} was made otherwise ({different}). Remove the folder, or name another."
            )
        return committed(self.folder) or [(0, self._nothing())]

    def _cut_off(self) -> None:
        """Bring every file to the length that counts."""
        kept = {segment_name(number) for number, _ in self._segments}
        for path in self.folder.glob("segment-*"):
            if path.name not in kept:
                shutil.rmtree(path)
        number, counts = self._segments[-1]
        self._prepare(number)
        for name, dtype in _files(self.columns).items():
            os.truncate(self.folder / segment_name(number) / f"{name}.bin", counts[name] * dtype.itemsize)
        if counts["rows"] >= self._segment_rows:
            self._begin(number + 1)

    def _begin(self, number: int) -> None:
        self._close_files()
        self._segments.append((number, self._nothing()))
        self._prepare(number)

    def _prepare(self, number: int) -> None:
        path = self.folder / segment_name(number)
        path.mkdir(exist_ok=True)
        for name in (*_files(self.columns), "priority"):
            (path / f"{name}.bin").touch()

    def _nothing(self) -> dict[str, int]:
        return dict.fromkeys(_files(self.columns), 0)

    def _file(self, name: str) -> int:
        if name not in self._files:
            path = self.folder / segment_name(self._segments[-1][0]) / f"{name}.bin"
            self._files[name] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        return self._files[name]

    def _close_files(self) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files = {}

    def _say(self) -> None:
        _replace(self.folder / "committed.json", {"segments": self.position()})

    def _drop_oldest(self) -> None:
        if self._capacity is None:
            return
        rows = [counts["rows"] for _, counts in self._segments]
        while len(self._segments) > 1 and sum(rows) - rows[0] >= self._capacity:
            dropped, _ = self._segments.pop(0)
            rows.pop(0)
            self._say()
            shutil.rmtree(self.folder / segment_name(dropped), ignore_errors=True)


def segment_name(number: int) -> str:
    """The folder of a segment."""
    return f"segment-{number:06d}"


def _files(columns: Columns) -> dict[str, np.dtype[Any]]:
    """The files of a segment that grow, and what each element of them is."""
    return {"rows": columns.row, **{name: np.dtype(kind) for name, kind in columns.sequences.items()}}


def committed(folder: Path) -> list[tuple[int, dict[str, int]]]:
    """Number and counts of each segment that counts."""
    path = folder / "committed.json"
    if not path.exists():
        return []
    return [(entry.pop("number"), entry) for entry in read_json(path)["segments"]]


def read_json(path: Path) -> dict[str, Any]:
    """A small file of the buffer."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RecordDamaged(f"{path} cannot be read ({error}); a replay buffer stands there or nothing.") from error
    return dict(found)


def _replace(path: Path, value: Any) -> None:
    replace_file(path, json.dumps(value).encode() + b"\n")


__all__ = ["BufferWriter", "Columns", "Ragged", "committed", "read_json", "segment_name"]
