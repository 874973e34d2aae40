"""Reading a replay buffer: what is committed, mapped and not read. Shapes: N rows, B of them asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from arena.core.errors import UsageError
from arena.records.buffer import Columns, Ragged, committed, read_json, segment_name


class _Segment:
    """The files of one segment, mapped."""

    def __init__(self, path: Path, columns: Columns, counts: dict[str, int]) -> None:
        self.count = counts["rows"]
        self.rows = _mapped(path / "rows.bin", columns.row, self.count)
        self.values = {
            name: _mapped(path / f"{name}.bin", np.dtype(kind), counts[name])
            for name, kind in columns.sequences.items()
        }
        self.priority = _mapped(path / "priority.bin", np.dtype(np.float32), self.count, "r+")

    def ends(self, name: str, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the sequences of these rows begin and end."""
        column = self.rows[f"end of {name}"]
        begins = np.where(rows > 0, column[np.maximum(rows - 1, 0)], 0)
        return begins, column[rows]


_Part = tuple[_Segment, NDArray[np.int64], NDArray[np.int64]]
"""A segment, the places among the rows asked for of those that it has, and their places in it."""


def _mapped(path: Path, kind: np.dtype[Any], count: int, mode: Literal["r", "r+"] = "r") -> NDArray[Any]:
    """A mapped file as a plain array, which is cheaper to index than NumPy's own class for it."""
    return np.memmap(path, kind, mode, shape=(count,)).view(np.ndarray) if count else np.zeros(0, kind)


class BufferReader:
    """What has been committed to a replay buffer; `refresh` finds what came since.

    Rows are numbered from 0, the oldest, as of the last refresh.

    Args:
        folder: of a `BufferWriter`.

    Raises:
        UsageError: there is no buffer.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / "buffer.json").exists():
            raise UsageError(f"{self.folder} is no replay buffer: it has no buffer.json.")
        told = read_json(self.folder / "buffer.json")
        self.columns = Columns(told["scalars"], told["sequences"])
        self._segments: dict[int, _Segment] = {}
        self._asked, self._parts = np.zeros(0, np.int64), list[_Part]()
        self.refresh()

    def refresh(self) -> None:
        """Find what was committed since, and lose what was dropped."""
        found: dict[int, _Segment] = {}
        for number, counts in committed(self.folder):
            known = self._segments.get(number)
            if counts["rows"] == 0:
                continue
            if known is None or known.count != counts["rows"]:
                try:
                    known = _Segment(self.folder / segment_name(number), self.columns, counts)
                except FileNotFoundError:
                    continue  # dropped by the writer meanwhile
            found[number] = known
        self._segments = found
        self._listed = list(found.values())
        self._starts = np.cumsum([0, *(segment.count for segment in self._listed)])
        self._asked, self._parts = np.zeros(0, np.int64), []

    def __len__(self) -> int:
        return int(self._starts[-1])

    def scalar(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """A scalar column at these rows (B)."""
        result = np.empty(len(rows), self.columns.scalars[name])
        for segment, here, within in self._by_segment(rows):
            result[here] = segment.rows[name][within]
        return result

    def sequences(self, name: str, rows: NDArray[np.int64]) -> Ragged:
        """The sequences of a column at these rows, B of them."""
        begins, lengths = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
        parts = self._by_segment(rows)
        for segment, here, within in parts:
            begins[here], ends = segment.ends(name, within)
            lengths[here] = ends - begins[here]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        values = np.empty(int(offsets[-1]), self.columns.sequences[name])
        for segment, here, _ in parts:
            count = lengths[here]
            inside = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
            values[np.repeat(offsets[:-1][here], count) + inside] = segment.values[name][
                np.repeat(begins[here], count) + inside
            ]
        return Ragged(values, offsets)

    def priorities(self) -> NDArray[np.float32]:
        """All priorities (N)."""
        return np.concatenate([np.zeros(0, np.float32), *(segment.priority for segment in self._listed)])

    def set_priorities(self, rows: NDArray[np.int64], priority: NDArray[np.floating[Any]]) -> None:
        """Write the priorities of these rows (B), for all who sample; other readers see them at their next refresh."""
        for segment, here, within in self._by_segment(rows):
            segment.priority[within] = priority[here]

    def _by_segment(self, rows: NDArray[np.int64]) -> list[_Part]:
        """The segments that have some of the rows. Column after column is asked for the same ones: they are kept."""
        if np.array_equal(rows, self._asked):
            return self._parts
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"Rows {rows.min()} to {rows.max()} of a buffer with {len(self)}.")
        owner, parts = np.searchsorted(self._starts, rows, "right") - 1, []
        for number in np.unique(owner).tolist():
            here = np.flatnonzero(owner == number)
            parts.append((self._listed[number], here, rows[here] - self._starts[number]))
        self._asked, self._parts = rows.copy(), parts
        return parts


__all__ = ["BufferReader"]
