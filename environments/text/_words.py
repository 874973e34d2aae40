"""The word list of the Wordle games, and the marks that answer a guess.

Marks are one letter per position: `g` the right letter in the right place, `y` a letter that belongs
elsewhere, `b` a letter the word does not have.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources
from typing import Literal

import numpy as np

from arena.core.errors import UsageError

LENGTH = 5
SOLVED = "g" * LENGTH

Marking = Literal["standard", "loose"]
"""`standard` counts repeated letters as the printed game does; `loose` is LMRL-Gym's: every letter that
is out of place but occurs anywhere in the word is `y`, however often it was guessed."""


@functools.cache
def shipped_words() -> tuple[str, ...]:
    """The five-letter English words that come with the package, in alphabetical order."""
    text = resources.files("arena.environments.text").joinpath("words.txt").read_text(encoding="ascii")
    return tuple(text.split())


def choose_words(words: int | Sequence[str] | None) -> tuple[str, ...]:
    """The list that a game is played with.

    Args:
        words: None for all the shipped words, a number for so many of them (evenly spread over the
            alphabet), or the words themselves.

    Raises:
        UsageError: a number out of range, or something that is no list of different five-letter words.
    """
    shipped = shipped_words()
    if words is None:
        return shipped
    if isinstance(words, int):
        if isinstance(words, bool) or not 2 <= words <= len(shipped):
            raise UsageError(f"words is a number from 2 to {len(shipped)}, or a list of words; it was {words!r}.")
        return tuple(shipped[i * len(shipped) // words] for i in range(words))
    for word in words:
        if not (isinstance(word, str) and len(word) == LENGTH and word.isascii() and word.isalpha() and word.islower()):
            raise UsageError(f"A word is {LENGTH} lower-case letters from a to z; {word!r} is not.")
    if isinstance(words, str) or len(words) < 2 or len(set(words)) < len(words):
        raise UsageError("words as a list holds at least two words, none of them twice.")
    return tuple(words)


def read_word(action: str) -> str:
    """The word an action spells: `crane`, `CRANE` and ` c r a n e ` alike; "" where it is no single word."""
    text = action.strip()
    if len(text) == LENGTH:
        return text.lower()
    if len(text) == 2 * LENGTH - 1 and text[1::2].isspace():
        return text[::2].lower()
    return ""


def mark(guess: str, hidden: str) -> str:
    """The standard marks: a letter is `y` at most as often as the hidden word has it outside the `g` places."""
    marks = ["b"] * LENGTH
    left: list[str] = []
    for i, letter in enumerate(hidden):
        if guess[i] == letter:
            marks[i] = "g"
        else:
            left.append(letter)
    for i, letter in enumerate(guess):
        if marks[i] == "b" and letter in left:
            marks[i] = "y"
            left.remove(letter)
    return "".join(marks)


def mark_loosely(guess: str, hidden: str) -> str:
    """LMRL-Gym's marks; see `Marking`."""
    return "".join(
        "g" if letter == place else "y" if letter in hidden else "b"
        for letter, place in zip(guess, hidden, strict=True)
    )


def code(marks: str) -> int:
    """Marks as a number in [0, 243): base 3, first position most significant, b = 0, y = 1, g = 2."""
    number = 0
    for letter in marks:
        number = 3 * number + "byg".index(letter)
    return number


class MarkTable:
    """The marks of every guess against every word of a list (N words), made row by row when first needed."""

    def __init__(self, words: tuple[str, ...], marking: Marking) -> None:
        self.words = words
        self.index = {word: i for i, word in enumerate(words)}
        self._marking = marking
        self._letters = np.frombuffer("".join(words).encode(), dtype=np.uint8).reshape(len(words), LENGTH)
        self._rows: dict[str, np.ndarray] = {}

    def row(self, guess: str) -> np.ndarray:
        """The codes of `guess` against each word: uint8, shape (N,)."""
        row = self._rows.get(guess)
        if row is None:
            row = self._rows[guess] = self._make_row(self._letters[self.index[guess]])
        return row

    def consistent(self, guesses: Sequence[str], marks: Sequence[str]) -> np.ndarray:
        """Which words would have answered the guesses with these marks: indices, shape (n,)."""
        keep = np.ones(len(self.words), dtype=bool)
        for guess, answer in zip(guesses, marks, strict=True):
            keep &= self.row(guess) == code(answer)
        return np.flatnonzero(keep)

    def _make_row(self, guess: np.ndarray) -> np.ndarray:
        same = self._letters == guess
        free = ~same
        total = np.zeros(len(self.words), dtype=np.uint8)
        for i in range(LENGTH):
            where = (self._letters == guess[i]) if self._marking == "loose" else (self._letters == guess[i]) & free
            elsewhere = where.any(axis=1) & ~same[:, i]
            if self._marking == "standard":
                rows = np.flatnonzero(elsewhere)
                free[rows, where[rows].argmax(axis=1)] = False
            total = total * np.uint8(3) + elsewhere + np.uint8(2) * same[:, i]
        return total


@functools.lru_cache(maxsize=8)
def mark_table(words: tuple[str, ...], marking: Marking) -> MarkTable:
    """The table of a word list, shared by all environments that use the list."""
    return MarkTable(words, marking)
