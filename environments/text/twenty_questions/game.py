"""The game of twenty questions, in the format of LMRL-Gym's task (arXiv 2311.18232)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from arena.core.env import Env, RawObservation, StepResult
from arena.core.errors import UnknownName, UsageError
from arena.core.seeds import Split, derive
from arena.core.snapshots import StateSnapshots
from arena.core.task import Task
from arena.environments.text._tasks import each_instance_once
from arena.environments.text.twenty_questions._reader import Reading, load_reader
from arena.environments.text.twenty_questions._table import load_table
from arena.environments.text.twenty_questions._wording import LONGEST

ID = "arena/TwentyQuestions-v0"

_FEWEST = 16
"""With fewer, one of the two splits may have none."""


@dataclass
class State:
    """The object's index, the set of objects that fit all answers so far (a bit each), and the questions left."""

    secret: int
    candidates: int
    left: int


class TwentyQuestions(StateSnapshots, Env):
    r"""Find out which everyday thing is meant by asking yes/no questions.

    The first observation is "Questions:\n", each answer "Yes.\n" or "No.\n". Reward -1 for every turn
    except the one that names the object (0). A question that is not understood is answered in words and
    does not count among the twenty, but costs its turn (and so the -1: babbling never pays).

    Args:
        questions: how many may be asked, guesses included.
        objects: how many things may be meant, spread evenly over all kinds; all of them unless told. The
            player is not told which: few are for learners that find that out by playing.

    Raises:
        UsageError: no questions, fewer than 16 objects, or more than there are.
    """

    state_type = State
    state: State
    oracle_from: Literal["anywhere", "start"] = "anywhere"

    def __init__(self, questions: int = 20, objects: int | None = None) -> None:
        self._table = load_table()
        there = len(self._table.objects)
        number = there if objects is None else objects
        if questions < 1:
            raise UsageError(f"TwentyQuestions takes questions >= 1, not {questions}.")
        if not _FEWEST <= number <= there:
            raise UsageError(f"TwentyQuestions takes {_FEWEST} to {there} objects, not {objects}.")
        self.questions = questions
        self._objects = tuple(i * there // number for i in range(number))
        self._among = sum(1 << i for i in self._objects)
        self._reader = load_reader()
        self.instructions = _INSTRUCTIONS.format(questions=questions)

    def _reset(self, task: str | None) -> tuple[RawObservation, dict[str, Any]]:
        if task is not None:
            raise UnknownName("task", task, ())
        secret = self.draw(self._generate, self._digest)
        self.state = State(secret, self._among, self.questions)
        return "Questions:\n", {"instance": self._digest(secret), "state_key": self._key()}

    def _generate(self, generator: np.random.Generator) -> int:
        return self._objects[generator.integers(len(self._objects))]

    def _digest(self, secret: int) -> str:
        return _digest_of(self._table.objects[secret].names[0])

    def _key(self) -> str:
        return f"{self.state.candidates:x}/{self.state.left}"

    def _step(self, action: str) -> StepResult:
        state = self.state
        reading = self._reader.read(action) if len(action) <= LONGEST else "It is too long."
        if not isinstance(reading, Reading):
            error = f"I did not understand the question. {reading}"
            text = f"{error} For example: {_EXAMPLES}\n"
            return text, -1.0, False, False, {"valid": False, "error": error, "state_key": self._key()}
        yes = bool(reading.objects >> state.secret & 1)
        state.left -= 1
        state.candidates &= reading.objects if yes else ~reading.objects
        solved = yes and reading.guess
        info = {"valid": True, "executed": " ".join(action.split()), "state_key": self._key(), "success": solved}
        return "Yes.\n" if yes else "No.\n", 0.0 if solved else -1.0, solved or state.left == 0, False, info

    def legal_actions(self) -> Sequence[str]:
        """The plain question for every fact that some objects differ in, and a guess for every object."""
        return _legal_actions(self._among)

    def oracle_action(self) -> str:
        """The question that tells most about what is left; the guess, where that is settled or it is the last turn."""
        candidates, left = self.state.candidates, self.state.left
        if left == 1 or candidates.bit_count() <= 1:
            return _guess(self.state.secret)
        return _best_question(candidates)


def tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """Tasks that show every object of the split before repeating one; half of their turns may be wasted."""
    yield from each_instance_once(ID, split, seed, params, 2 * TwentyQuestions(**params).questions)


def secrets(env: TwentyQuestions) -> list[str]:
    """The names of the object, none of which may be observed."""
    return list(load_table().objects[env.state.secret].names)


_EXAMPLES = '"Is it alive?", "Is it made of metal?", "Does it have legs?", "Is it a dragon?"'
_INSTRUCTIONS = """\
I am thinking of a common thing, such as a living being, a food, something one owns or uses, or a part of nature. \
Find out which by at most {questions} questions to be answered by yes or no, and name it: a guess is a question too, \
and you win by the guess to which I say yes. Put one short question at a time, such as "Is it alive?", "Would I find \
it in an office?" or, as a guess, "Is it a dragon?". My answers are about the usual thing of the name. A question I do \
not understand is not counted, but it costs a turn."""


@cache
def _digest_of(name: str) -> str:
    return f"{derive('TwentyQuestions', name):016x}"


def _guess(secret: int) -> str:
    return f"Is it {load_table().objects[secret].named}?"


@cache
def _questions(among: int) -> dict[str, int]:
    """The plain question for every fact that some of the objects differ in, and what it is true of."""
    facts = load_table().facts.values()
    return {fact.question: fact.objects for fact in facts if fact.objects & among not in (0, among)}


@cache
def _legal_actions(among: int) -> tuple[str, ...]:
    return (*_questions(among), *(_guess(i) for i in range(among.bit_length()) if among >> i & 1))


@cache
def _best_question(candidates: int) -> str:
    """The question that splits the candidates most evenly, the first of several."""
    half = candidates.bit_count() / 2
    asked = _questions(load_table().everything).items()
    return min(asked, key=lambda item: math.fabs((item[1] & candidates).bit_count() - half))[0]
