"""Runs of consecutive rows that belong together, and what is computed along them.

Shapes: R rows, S segments. Nothing here loops over rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


def sum_by(index: Integers, values: NDArray[Any], size: int = 0) -> Floats:
    """Sum of the values at each index; at least `size` sums."""
    return np.bincount(index, weights=values, minlength=size).astype(np.float64, copy=False)


@dataclass(frozen=True, eq=False)
class Segments:
    """R rows cut into S runs, none of them empty.

    Attributes:
        starts: the first row of each run, ascending (S).
        rows: R.
    """

    starts: Integers
    rows: int

    @classmethod
    def where_changing(cls, *keys: NDArray[Any]) -> Segments:
        """A run ends where any of the keys (R each) changes."""
        rows = len(keys[0])
        if rows == 0:
            return cls(np.zeros(0, np.int64), 0)
        new = np.ones(rows, bool)
        new[1:] = False
        for key in keys:
            new[1:] |= key[1:] != key[:-1]
        return cls(np.flatnonzero(new), rows)

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def lengths(self) -> Integers:
        """Rows of each run (S)."""
        return np.diff(self.starts, append=self.rows)

    @cached_property
    def lasts(self) -> Integers:
        """The last row of each run (S)."""
        return self.starts + self.lengths - 1

    @cached_property
    def index(self) -> Integers:
        """The run of each row (R)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def isolating(self, flags: Flags) -> Segments:
        """The same runs cut before and after each flagged row, so that nothing is carried past it."""
        return Segments.where_changing(self.index, 2 * np.cumsum(flags) - flags)

    def sum(self, values: NDArray[Any]) -> Floats:
        """Sum over each run (R -> S)."""
        return np.add.reduceat(values, self.starts, dtype=np.float64) if len(self) else np.zeros(0)

    def any(self, flags: Flags) -> Flags:
        """Whether any row of each run is set (R -> S)."""
        return np.logical_or.reduceat(flags, self.starts) if len(self) else np.zeros(0, bool)

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Each run's value on all of its rows (S -> R)."""
        return np.repeat(values, self.lengths)

    def following(self, values: Floats, end: Floats | float = 0.0) -> Floats:
        """The value of the next row of the same run, and `end` (S, or one number) after the last (R -> R)."""
        result = np.empty(self.rows)
        result[:-1] = values[1:]
        result[self.lasts] = end
        return result

    def scan_back(self, values: Floats, decay: float) -> Floats:
        """y_t = x_t + decay * y_{t+1} within each run (R -> R).

        By doubling: after k passes every row holds the decayed sum of its next 2^k rows. That is
        log2(longest run) passes over the table, and it never divides by a power of `decay`.
        """
        result = np.array(values, np.float64)
        if len(self) == 0 or decay == 0:
            return result
        remaining = np.repeat(self.lasts, self.lengths) - np.arange(self.rows)
        reach, factor, longest = 1, decay, int(self.lengths.max())
        while reach < longest and factor != 0:
            result[:-reach] += np.where(remaining[:-reach] >= reach, factor * result[reach:], 0.0)
            reach, factor = 2 * reach, factor * factor
        return result
