"""Guess a number: after each guess one learns whether the number is higher or lower."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal

import numpy as np

from arena.core.env import Env, RawObservation, StepResult
from arena.core.errors import UnknownName, UsageError
from arena.core.seeds import Split, derive
from arena.core.snapshots import StateSnapshots
from arena.core.task import Task
from arena.environments.text._tasks import each_instance_once

ID = "arena/GuessNumber-v0"

_LONGEST = 200

_MOST_NUMBERS = 10_000
_GUESS = re.compile(
    r"[^\w-]*(?:(?:is|it|it's|the|number|guess|my|i|try|say|think|answer|final|next|would|be|are|you|thinking|of)\b[^\w-]*)*"
    r"(-?\d+)\W*(?:answer)?\W*",
    re.IGNORECASE,
)


@dataclass
class State:
    """The number, what the answers so far leave of the range, and how many tries are left."""

    number: int
    low: int
    high: int
    tries: int


class GuessNumber(StateSnapshots, Env):
    """Find a number between `low` and `high` in a few tries.

    A guess is understood with or without words around it ("42", "Is it 42?"). What is not a guess,
    or lies outside the range, costs no try. Reward 1 for the right guess, else 0.

    Args:
        low, high: the range, both ends included.
        tries: guesses allowed; by default as many as halving the range needs at most.

    Raises:
        UsageError: a range of fewer than two or more than 10,000 numbers, or no tries.
    """

    state_type = State
    state: State
    oracle_from: Literal["anywhere", "start"] = "anywhere"

    def __init__(self, low: int = 1, high: int = 100, tries: int | None = None) -> None:
        if not 2 <= high - low + 1 <= _MOST_NUMBERS:
            raise UsageError(f"GuessNumber takes a range of 2 to {_MOST_NUMBERS} numbers, not {low} to {high}.")
        self.low, self.high = low, high
        self.tries = (high - low + 1).bit_length() if tries is None else tries
        if self.tries < 1:
            raise UsageError(f"GuessNumber takes tries >= 1, not {tries}.")
        self._guesses = tuple(map(str, range(low, high + 1)))
        self.instructions = (
            f"I am thinking of a whole number from {low} to {high}. Find it in at most {self.tries} guesses. "
            "Each turn, reply with one number. After a wrong guess I say whether my number is higher or lower."
        )

    def _reset(self, task: str | None) -> tuple[RawObservation, dict[str, Any]]:
        if task is not None:
            raise UnknownName("task", task, ())
        number = self.draw(self._generate, self._digest)
        self.state = State(number, self.low, self.high, self.tries)
        text = f"Guess a number from {self.low} to {self.high}. {_left(self.tries)}"
        return text, {"instance": self._digest(number), "state_key": self._key()}

    def _generate(self, generator: np.random.Generator) -> int:
        return int(generator.integers(self.low, self.high + 1))

    def _digest(self, number: int) -> str:
        return _name(self.low, self.high, number)

    def _key(self) -> str:
        state = self.state
        return f"{state.low}-{state.high}/{state.tries}"

    def _step(self, action: str) -> StepResult:
        state = self.state
        guess = _read(action) if len(action) <= _LONGEST else None
        if guess is None:
            return self._misunderstood(
                f"Reply with one whole number from {self.low} to {self.high}, such as {self.low}."
            )
        if not self.low <= guess <= self.high:
            return self._misunderstood(f"The number is from {self.low} to {self.high}. Guess within that range.")
        state.tries -= 1
        solved = guess == state.number
        if solved:
            state.low = state.high = guess
            text = f"Yes, it is {guess}."
        elif guess < state.number:
            if guess >= state.low:
                state.low = guess + 1
            text = f"The number is higher than {guess}. {_left(state.tries)}"
        else:
            if guess <= state.high:
                state.high = guess - 1
            text = f"The number is lower than {guess}. {_left(state.tries)}"
        info = {"valid": True, "executed": str(guess), "state_key": self._key(), "success": solved}
        return text, float(solved), solved or state.tries == 0, False, info

    def _misunderstood(self, error: str) -> StepResult:
        text = f"{error} {_left(self.state.tries)}"
        return text, 0.0, False, False, {"valid": False, "error": error, "state_key": self._key()}

    def legal_actions(self) -> Sequence[str]:
        """Every number of the range."""
        return self._guesses

    def oracle_action(self) -> str:
        """The middle of what is left; the number itself where halving would come too late."""
        state = self.state
        enough = (state.high - state.low + 1).bit_length() <= state.tries
        return str((state.low + state.high) // 2 if enough else state.number)


def tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """Tasks that show every number of the split before repeating one; half of their turns may be wasted."""
    yield from each_instance_once(ID, split, seed, params, 2 * GuessNumber(**params).tries)


@lru_cache(maxsize=_MOST_NUMBERS)
def _name(low: int, high: int, number: int) -> str:
    return f"{derive('GuessNumber', low, high, number):016x}"


@lru_cache(maxsize=_MOST_NUMBERS)
def _read(action: str) -> int | None:
    """The number guessed, or None where the text is not a guess."""
    found = _GUESS.fullmatch(action)
    return None if found is None else int(found[1])


@cache
def _left(tries: int) -> str:
    return "No tries left." if tries == 0 else f"{tries} {'try' if tries == 1 else 'tries'} left."
