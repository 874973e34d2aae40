"""Wordle: find a hidden five-letter word from the marks that answer each guess.

`Wordle` keeps its hidden word, as the printed game does. `WordleRedraw` is LMRL-Gym's game (Abdulhai et
al., 2023, https://arxiv.org/abs/2311.18232), text and rewards included: every turn it draws a new
hidden word among those that agree with all marks so far.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from arena.core.env import Env, RawObservation, StepResult
from arena.core.errors import UnknownName, UsageError
from arena.core.messages import Tool
from arena.core.seeds import Split, derive
from arena.core.snapshots import StateSnapshots
from arena.core.task import Task
from arena.core.text import shorten
from arena.environments.text._tasks import each_instance_once
from arena.environments.text._word_solver import solver
from arena.environments.text._words import (
    LENGTH,
    SOLVED,
    Marking,
    choose_words,
    mark,
    mark_loosely,
    mark_table,
    read_word,
)

_MOST_NAMED = 100
_MARKS = "g: this letter is right; y: the letter belongs in another place; b: the letter is not in the word"
_GUESS = Tool(
    name="guess",
    description="Guess the hidden word.",
    parameters={
        "type": "object",
        "properties": {"word": {"type": "string", "description": "a five-letter word"}},
        "required": ["word"],
    },
    template="{word}",
)


@dataclass
class State:
    """The hidden word, the guesses that were words with their marks, and how often one may still guess.

    `luck` has one number in [0, 1) per draw of `WordleRedraw`; it picks among the words in question.
    """

    instance: str
    hidden: str
    tries: int
    guesses: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    luck: list[float] = field(default_factory=list)


class _WordGame(StateSnapshots, Env):
    """What both games share: the word list, the tool, the list of legal guesses and the solver."""

    state_type = State
    state: State
    oracle_from: Literal["anywhere", "start"] = "anywhere"
    tools = (_GUESS,)
    marking: Marking

    def __init__(self, words: int | Sequence[str] | None = None, tries: int = 6) -> None:
        if isinstance(tries, bool) or not isinstance(tries, int) or tries < 1:
            raise UsageError(f"{type(self).__name__} takes a number of tries >= 1, not {tries!r}.")
        self.words = choose_words(words)
        self.tries = tries
        self._known = mark_table(self.words, self.marking).index
        self._solver = solver(self.words, self.marking)

    def legal_actions(self) -> Sequence[str]:
        """Every word of the list."""
        return self.words

    def oracle_action(self) -> str:
        """The solver's guess, made from the marks alone; on the last try the hidden word if several are left."""
        state = self.state
        guess = self._solver.guess(state.guesses, state.marks)
        return state.hidden if state.tries == 1 else guess

    def _key(self) -> str:
        """Names the state: what is known does not depend on the order of the guesses."""
        state = self.state
        return f"{state.instance}/{','.join(sorted(state.guesses))}/{state.tries}"

    def _some_words(self) -> str:
        """The words in the rules, where they are few."""
        if len(self.words) > _MOST_NAMED:
            return f"The word is one of {len(self.words)} English words, and so must every guess be."
        return f"The word is one of these, and so must every guess be: {', '.join(self.words)}."


class Wordle(_WordGame):
    """Find a fixed hidden word in a few tries.

    Repeated letters are marked as in the printed game. A guess is understood in any case and with
    spaces between its letters; what is no word of the list costs no try. Reward 1 for the word, else 0.

    Args:
        words: None for the shipped list of 2,800 words; a number for so many of them; or the words
            themselves. Hidden words and guesses come from the same list; of a list of fewer than about 20
            words the evaluation split may have none.
        tries: guesses allowed.

    Raises:
        UsageError: fewer than one try, or `words` that cannot be played with.
    """

    marking: Marking = "standard"

    def __init__(self, words: int | Sequence[str] | None = None, tries: int = 6) -> None:
        super().__init__(words, tries)
        self.instructions = (
            f"Find a hidden word of {LENGTH} letters in at most {tries} guesses. {self._some_words()} "
            "Each turn, reply with one word and nothing else. The answer repeats the letters of the guess and below "
            f"each letter shows its mark ({_MARKS}). A letter guessed more often than the hidden word has it gets b "
            "for the surplus. A guess that is not in the word list costs no try."
        )

    def _reset(self, task: str | None) -> tuple[RawObservation, dict[str, Any]]:
        if task is not None:
            raise UnknownName("task", task, ())
        hidden = self.draw(self._generate, _name_word)
        self.state = State(_name_word(hidden), hidden, self.tries)
        text = f"Guess the hidden word of {LENGTH} letters. {_left(self.tries)}"
        return text, {"instance": self.state.instance, "state_key": self._key()}

    def _generate(self, generator: np.random.Generator) -> str:
        return self.words[int(generator.integers(len(self.words)))]

    def _step(self, action: str) -> StepResult:
        state = self.state
        guess = read_word(action)
        if guess not in self._known:
            what = f"{guess!r} is not in the word list." if guess else f"{shorten(action, 40)!r} is not a word."
            error = f"{what} Reply with one English word of {LENGTH} letters and nothing else."
            info: dict[str, Any] = {"valid": False, "error": error, "state_key": self._key()}
            return f"{error} No try was used. {_left(state.tries)}", 0.0, False, False, info
        marks = mark(guess, state.hidden)
        state.guesses.append(guess)
        state.marks.append(marks)
        state.tries -= 1
        solved = marks == SOLVED
        ended = solved or state.tries == 0
        info = {"valid": True, "executed": guess, "state_key": self._key(), "success": solved}
        if ended:
            info["answer"] = state.hidden
        verdict = "That is the word." if solved else _left(state.tries)
        return f"{' '.join(guess)}\n{' '.join(marks)}\n{verdict}", float(solved), ended, False, info


class WordleRedraw(_WordGame):
    """LMRL-Gym's Wordle: before each guess the hidden word is drawn anew among the words that agree with all marks.

    Observations are LMRL-Gym's: `Wordle:`, then the marks of each guess with spaces between them. What is no
    word of the list costs a try and is answered in words, the one departure: LMRL-Gym's empty line tells an
    agent nothing, and some models' servers refuse it. Marks are `loose`: a letter that occurs anywhere in
    the word and is out of place is `y`, however often it was guessed.
    Reward: 0 for the guess that leaves exactly one word and is that word, -1 for any other,
    `bad_word_reward` for what is no word of the list. Score 1 if the word was found.

    Args:
        words: as for `Wordle`.
        tries: guesses allowed, bad ones included.
        bad_word_reward: reward for what is no word of the list.

    Raises:
        UsageError: as for `Wordle`.
    """

    marking: Marking = "loose"

    def __init__(self, words: int | Sequence[str] | None = None, tries: int = 6, bad_word_reward: float = -1.0) -> None:
        super().__init__(words, tries)
        self.bad_word_reward = float(bad_word_reward)
        self.instructions = (
            f"Find a hidden word of {LENGTH} letters in at most {tries} guesses. {self._some_words()} "
            "Each turn, reply with one word, its letters separated by spaces, and nothing else. The answer has one "
            f"mark for each letter ({_MARKS}). After each guess the hidden word may change to another word that agrees "
            "with all marks so far. A guess that is not in the word list costs a try too."
        )

    def _reset(self, task: str | None) -> tuple[RawObservation, dict[str, Any]]:
        if task is not None:
            raise UnknownName("task", task, ())
        luck = self.draw(self._generate, _name_luck)
        self.state = State(_name_luck(luck), "", self.tries, luck=luck)
        self._redraw()
        return "Wordle:\n", {"instance": self.state.instance, "state_key": self._key()}

    def _generate(self, generator: np.random.Generator) -> list[float]:
        return [float(number) for number in generator.random(self.tries)]

    def _redraw(self) -> None:
        """Choose the word that the next guess meets."""
        state = self.state
        if not state.guesses:
            state.hidden = self.words[int(state.luck[0] * len(self.words))]
            return
        left = self._solver.consistent(state.guesses, state.marks)
        state.hidden = left[int(state.luck[len(state.guesses)] * len(left))]

    def _step(self, action: str) -> StepResult:
        state = self.state
        guess = read_word(action)
        state.tries -= 1
        if guess not in self._known:
            error = f"{shorten(action, 40)!r} is not in the word list; a try was used."
            info: dict[str, Any] = {"valid": False, "error": error, "state_key": self._key(), "success": False}
            return f"{error}\n", self.bad_word_reward, state.tries == 0, False, info
        marks = mark_loosely(guess, state.hidden)
        state.guesses.append(guess)
        state.marks.append(marks)
        solved = marks == SOLVED
        ended = solved or state.tries == 0
        if not ended:
            self._redraw()
        info = {"valid": True, "executed": guess, "state_key": self._key(), "success": solved}
        return " ".join(marks) + "\n", float(solved) - 1.0, ended, False, info


def tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """Tasks of `Wordle` that show every word of the split before repeating one; half of their turns may be wasted."""
    yield from each_instance_once("arena/Wordle-v0", split, seed, params, 2 * Wordle(**params).tries)


def secret(env: _WordGame) -> list[str]:
    """What no observation may show before it is guessed."""
    return [env.state.hidden]


def _name_word(word: str) -> str:
    return f"{derive('Wordle', word):016x}"


def _name_luck(luck: list[float]) -> str:
    return f"{derive('WordleRedraw', luck):016x}"


def _left(tries: int) -> str:
    return f"Tries left: {tries}."
