"""A Wordle player that sees only the marks: it makes the guess that leaves the fewest words to expect."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from arena.environments.text._words import Marking, mark_table

_CODES = 243


class Solver:
    """Plays a word list of N words.

    The guess minimises the expected number of words left, sum(n_k^2) / n over the n consistent words
    that the marks split into groups of n_k; among equals it is one that may itself be the word, then
    the first of the list.
    """

    def __init__(self, words: tuple[str, ...], marking: Marking) -> None:
        self._table = mark_table(words, marking)
        self._best = functools.lru_cache(maxsize=8192)(self._search)

    def consistent(self, guesses: Sequence[str], marks: Sequence[str]) -> list[str]:
        """The words that agree with all marks so far."""
        return [self._table.words[i] for i in self._table.consistent(guesses, marks)]

    def guess(self, guesses: Sequence[str], marks: Sequence[str]) -> str:
        """The next guess."""
        left = self._table.consistent(guesses, marks)
        return self._table.words[left[0] if len(left) <= 2 else self._best(left.tobytes())]

    @functools.cached_property
    def _matrix(self) -> np.ndarray:
        """The codes of every guess (rows) against every word (columns): uint8, shape (N, N)."""
        return np.stack([self._table.row(word) for word in self._table.words])

    def _search(self, left: bytes) -> int:
        consistent = np.frombuffer(left, dtype=np.intp)
        count = len(self._table.words)
        cost = np.empty(count, dtype=np.int64)
        for start in range(0, count, 256):
            codes = self._matrix[start : start + 256, consistent].astype(np.intp)
            rows = len(codes)
            codes += _CODES * np.arange(rows)[:, None]
            sizes = np.bincount(codes.ravel(), minlength=rows * _CODES).reshape(rows, _CODES)
            cost[start : start + rows] = (sizes * sizes).sum(axis=1)
        cost *= 2
        cost[consistent] -= 1
        return int(cost.argmin())


@functools.lru_cache(maxsize=8)
def solver(words: tuple[str, ...], marking: Marking) -> Solver:
    """The solver of a word list, shared by all environments that use the list."""
    return Solver(words, marking)
