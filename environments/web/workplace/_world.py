"""One episode's applications, and what the makers of tasks ask about them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from arena.core.seeds import derive
from arena.environments.web._serving import Handler
from arena.environments.web.workplace._content import words, write
from arena.environments.web.workplace._database import ME, Database, Row
from arena.environments.web.workplace._evaluators import Ending, Evaluator, Infeasible
from arena.environments.web.workplace._moves import Move
from arena.environments.web.workplace._site import ORIGINS
from arena.environments.web.workplace.forum import Forum
from arena.environments.web.workplace.mail import Mail
from arena.environments.web.workplace.tracker import Tracker

__all__ = ["Goal", "Impossible", "Make", "World"]


class Impossible(LookupError):
    """The applications that were drawn hold nothing that a task could be about; draw others."""


@dataclass(frozen=True)
class Goal:
    """What is to be done.

    Attributes:
        text: in words.
        start: where an episode begins: a key of `ORIGINS`.
        evaluators: all of them must hold.
        moves: a way to do it.
    """

    text: str
    start: str
    evaluators: tuple[Evaluator, ...]
    moves: tuple[Move, ...]

    def score(self, ending: Ending) -> float:
        """The product of the evaluators; giving up where it can be done is worth nothing."""
        gave_up = ending.infeasible is not None
        if gave_up and not any(isinstance(evaluator, Infeasible) for evaluator in self.evaluators):
            return 0.0
        return float(all(evaluator.holds(ending) for evaluator in self.evaluators))


class World:
    """The applications as an episode finds them.

    Args:
        seed: equal seeds give equal applications and equal draws.

    Attributes:
        database: what they hold.
        handlers: who answers for which origin.
        draw: where the parameters of a task come from.
        me: the person the agent acts for.
    """

    def __init__(self, seed: int) -> None:
        self.database = Database()
        write(self.database, random.Random(derive("workplace", seed)))
        self.draw = random.Random(derive("task", seed))
        self.me: Row = self.database.rows("SELECT * FROM people WHERE id = ?", ME)[0]
        sites = (Forum(self.database), Mail(self.database), Tracker(self.database))
        self.handlers: Mapping[str, Handler] = {ORIGINS[site.name]: site.pages for site in sites}

    def one(self, question: str, *values: Any) -> Row:
        """One of the rows that answer a question.

        Raises:
            Impossible: there is none.
        """
        found = self.database.rows(question, *values)
        if not found:
            raise Impossible(question)
        return self.draw.choice(found)

    def say(self, *forms: str, **values: Any) -> str:
        """One of several ways to put it."""
        return self.draw.choice(forms).format(**values)

    def stranger(self) -> str:
        """The name of somebody who is in none of the applications."""
        known = {
            row["name"] for table in ("people", "contacts") for row in self.database.rows(f"SELECT * FROM {table}")
        }
        taken = {part for name in known for part in name.split()}
        first, last = (
            self.draw.choice([one for one in words()[kind] if one not in taken]) for kind in ("first", "last")
        )
        return f"{first} {last}"


Make = Callable[[World], Goal]
"""Draws a goal from what the applications hold."""
