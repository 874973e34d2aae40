"""Drawing rows of a replay buffer: uniformly, or in proportion to priorities. Shapes: N rows, B drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.core.errors import UsageError
from arena.records.buffer_reader import BufferReader

_BLOCK = 256
"""Rows whose priorities are summed together, so that a draw looks at N / 256 sums and 256 rows."""


class UniformSampler:
    """Draws rows with equal probability, with replacement.

    Args:
        buffer: what is sampled.
        generator: the only source of randomness.
    """

    def __init__(self, buffer: BufferReader, generator: np.random.Generator) -> None:
        self._buffer, self._generator = buffer, generator

    def draw(self, number: int) -> NDArray[np.int64]:
        """Numbers of rows (B).

        Raises:
            UsageError: the buffer is empty.
        """
        _not_empty(self._buffer)
        return self._generator.integers(len(self._buffer), size=number)


class PrioritisedSampler:
    """Draws rows with probability p_i^alpha / sum p^alpha, with replacement.

    Schaul et al. 2016, "Prioritized experience replay" (arXiv 1511.05952), equations 1 and 2; sums over blocks
    of rows stand in for the sum tree.

    Args:
        buffer: what is sampled.
        generator: the only source of randomness.
        alpha: 0 is uniform, 1 in proportion.
        beta: how far `weights` undo the bias; 1 wholly.
    """

    def __init__(
        self, buffer: BufferReader, generator: np.random.Generator, *, alpha: float = 0.6, beta: float = 0.4
    ) -> None:
        self._buffer, self._generator, self.alpha, self.beta = buffer, generator, alpha, beta
        self.refresh()

    def refresh(self) -> None:
        """Take in new rows, and priorities that others have set."""
        self._buffer.refresh()
        mass = self._buffer.priorities().astype(np.float64) ** self.alpha
        self._mass = np.concatenate([mass, np.zeros(-len(mass) % _BLOCK)]).reshape(-1, _BLOCK)
        self._blocks = self._mass.sum(axis=1)

    def draw(self, number: int) -> NDArray[np.int64]:
        """Numbers of rows (B).

        Raises:
            UsageError: the buffer is empty, or all priorities are 0.
        """
        _not_empty(self._buffer)
        upto = np.cumsum(self._blocks)
        if not upto[-1] > 0:
            raise UsageError(f"All priorities in {self._buffer.folder} are 0, so none of its rows can be drawn.")
        drawn = self._generator.random(number) * upto[-1]
        block = np.minimum(np.searchsorted(upto, drawn, "right"), np.flatnonzero(self._blocks)[-1])
        inside = np.cumsum(self._mass[block], axis=1)
        left = (drawn - (upto[block] - self._blocks[block]))[:, None]
        place = np.minimum((inside <= left).sum(axis=1), (inside < inside[:, -1:]).sum(axis=1))
        return np.asarray(block * _BLOCK + place, np.int64)

    def weights(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Importance weights (N P(i))^-beta, the largest of the batch being 1 (B)."""
        share = self._mass.reshape(-1)[rows] / self._blocks.sum()
        weights = (len(self._buffer) * share) ** -self.beta
        return np.asarray(weights / weights.max())

    def set_priorities(self, rows: NDArray[np.int64], priority: NDArray[np.floating[Any]]) -> None:
        """Rank these rows anew (B), for instance by their absolute error.

        Raises:
            UsageError: one is negative, infinite or no number.
        """
        wrong = ~(np.isfinite(priority) & (np.asarray(priority) >= 0))
        if wrong.any():
            raise UsageError(
                f"Priorities are numbers from 0 on, and row {rows[wrong][0]} was given {priority[wrong][0]}."
            )
        self._buffer.set_priorities(rows, priority)
        self._mass.reshape(-1)[rows] = np.asarray(priority, np.float64) ** self.alpha
        touched = np.unique(rows // _BLOCK)
        self._blocks[touched] = self._mass[touched].sum(axis=1)


def _not_empty(buffer: BufferReader) -> None:
    if len(buffer) == 0:
        raise UsageError(f"The replay buffer {buffer.folder} is empty: nothing has been committed to it yet.")


__all__ = ["PrioritisedSampler", "UniformSampler"]
