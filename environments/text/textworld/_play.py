"""A game being played, and what the library knows about it, worked out only when it is asked for.

The library can say at every step which commands are admissible (which makes a step five times as dear)
and which lead to the end (up to five hundred times). So the game itself is played without either, and
a second copy of it follows when one of them is wanted.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.environments.text.textworld._state import StateReader


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a command.

    Attributes:
        feedback: the game's text as the library gives it.
        points: cumulative.
        counted: whether the game took it for a turn; what its parser does not understand is none.
        won, lost: whether and how the game is over.
        key: names the state.
    """

    feedback: str
    points: int
    counted: bool
    won: bool
    lost: bool
    key: str


class Play:
    """One compiled game and the commands given so far.

    Attributes:
        story: path of the `.z8`, with its `.json` beside it.
        walkthrough: commands that win from the start.
        max_points: the most that can be earned.
    """

    def __init__(self, story: Path) -> None:
        self.story = story
        self.walkthrough: list[str] = []
        self.max_points = 1
        self._game = _open(story)
        self._reader: StateReader
        self._commands: list[str] = []
        self._moves = 0
        self._followers: dict[str, _Follower] = {}

    def begin(self) -> Answer:
        """Start over."""
        state = self._game.reset()
        self._reader = StateReader(self._game.unwrapped._jericho)
        self._commands = []
        self._moves = 0
        self.walkthrough = list(state["extra.walkthrough"])
        self.max_points = int(state["max_score"])
        return self._answer(state)

    def send(self, command: str) -> Answer:
        """Give one command to the game."""
        self._commands.append(command)
        state, _, _ = self._game.step(command)
        return self._answer(state)

    def admissible(self) -> list[str]:
        """The commands that the library calls admissible now, in alphabetical order."""
        return list(self._follow("admissible_commands"))

    def policy(self) -> list[str]:
        """Commands that lead from here to the end; empty where the library knows none."""
        return list(self._follow("policy_commands"))

    def close(self) -> None:
        """Release the interpreters."""
        self._game.close()
        for follower in self._followers.values():
            follower.close()
        self._followers.clear()

    def _answer(self, state: Any) -> Answer:
        won, lost, points = bool(state["won"]), bool(state["lost"]), int(state["score"] or 0)
        moves = state["moves"] or 0
        # The last turn of a game is not counted, because the story ends before the clock ticks.
        counted = moves > self._moves or won or lost
        self._moves = moves
        return Answer(state["feedback"], points, counted, won, lost, self._reader.key(points))

    def _follow(self, info: str) -> Any:
        if info not in self._followers:
            self._followers[info] = _Follower(self.story, info)
        return self._followers[info].after(self._commands)


class _Follower:
    """A copy of the game that knows one thing more, brought up to date when that is asked for."""

    def __init__(self, story: Path, info: str) -> None:
        self._info = info
        self._game = _open(story, **{info: True})
        self._done: list[str] = []
        self._state: Any = None

    def after(self, commands: Sequence[str]) -> Any:
        """What the library knows after these commands."""
        if self._state is None or self._done != commands[: len(self._done)]:
            self._state = self._game.reset()
            self._done = []
        for command in commands[len(self._done) :]:
            self._state, _, _ = self._game.step(command)
            self._done.append(command)
        return self._state[self._info]

    def close(self) -> None:
        self._game.close()


def _open(story: Path, **infos: bool) -> Any:
    import textworld

    with warnings.catch_warnings():
        # The interpreter warns that it does not know this game by name, which no generated game can be.
        warnings.simplefilter("ignore")
        return textworld.start(str(story), textworld.EnvInfos(**infos))
