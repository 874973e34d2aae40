"""What TextWorld's challenges share: drawing a game, playing it, scoring it, knowing the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from arena.core.env import Env, RawObservation, StepResult
from arena.core.errors import EnvironmentFailure, ResetNeeded, UnknownName
from arena.environments.text.textworld import _commands
from arena.environments.text.textworld._games import CachedGame
from arena.environments.text.textworld._making import load_library
from arena.environments.text.textworld._play import Answer, Play

_DRAWS = 100
"""Games generated at most to find one of the right split (one in four is for evaluation)."""

_SEEDS_WITHOUT_GAME = 30
"""Seeds in a row from which the library may fail to make a game."""

_HARMLESS = frozenset(("look", "l", "examine", "x", "inventory", "i", "wait", "z"))

_RULES = (
    "You are playing a text adventure. {goal} Each turn, reply with one short command in plain English and nothing "
    "else. Commands that are often of use: look, inventory, examine THING, go DIRECTION (north, south, east, west), "
    "take THING, take THING from PLACE, drop THING, put THING on PLACE, insert THING into PLACE, open THING, "
    "close THING, unlock THING with KEY{more}."
)


class TextWorld(Env):
    """A game of one of the library's challenges, another one for every seed.

    The first observation is the game's opening: what to do, then where one is; the library's title picture is
    left out, and so are the prompt and the status line. `valid` says whether the game took the action for a
    turn: what its parser does not understand is none. `info["points"]` has the library's cumulative score.

    Raises:
        ModuleNotFoundError: textworld is not installed (`arena.make` says how to install it).
    """

    challenge: str
    goal = "The opening text says what to do."
    more = ""
    idle = "look"
    oracle_from: Literal["anywhere", "start"] = "anywhere"

    def __init__(self, **settings: Any) -> None:
        load_library()
        self.settings = settings
        self.instructions = _RULES.format(goal=self.goal, more=self.more)
        self._play: Play | None = None
        self._last: Answer
        self._next = 0

    def _reset(self, task: str | None) -> tuple[RawObservation, dict[str, Any]]:
        if task is not None:
            raise UnknownName("task", task, ())
        game = self.draw(self._candidate, lambda game: game.instance, _DRAWS)
        story = game.story()
        if self._play is None or self._play.story != story:
            self._close()
            self._play = Play(story)
        self._last = self._play.begin()
        self._next = 0
        info = {"instance": game.instance, "state_key": self._last.key, "points": self._last.points}
        return _commands.shown(self._last.feedback), info

    def _candidate(self, generator: np.random.Generator) -> CachedGame:
        for _ in range(_SEEDS_WITHOUT_GAME):
            game = CachedGame(self.challenge, self.settings, int(generator.integers(2**31)))
            if game.instance:
                return game
        raise EnvironmentFailure(f"textworld finds no {self.challenge} game with {self.settings}.")

    def _step(self, action: str) -> StepResult:
        command, refusal = _commands.read(action)
        before = self._last
        if refusal is not None:
            info = {"valid": False, "error": refusal, "state_key": before.key, "points": before.points}
            return refusal, 0.0, False, False, info
        answer = self._last = self._playing.send(command)
        self._keep_track(command, answer)
        text = _commands.shown(answer.feedback)
        info = {"valid": answer.counted, "executed": command, "state_key": answer.key, "points": answer.points}
        if not answer.counted:
            info["error"] = text
        if answer.won or answer.lost:
            info |= {"success": answer.won, "score": self._share(answer.points)}
        reward = self._share(answer.points) - self._share(before.points)
        return text, reward, answer.won or answer.lost, False, info

    def _conclude(self, reason: str) -> tuple[float, dict[str, Any]]:
        return 0.0, {"success": False, "score": self._share(self._last.points)}

    def _close(self) -> None:
        if self._play is not None:
            self._play.close()
            self._play = None

    def legal_actions(self) -> Sequence[str]:
        """The library's admissible commands."""
        return [command for command in self._playing.admissible() if _commands.read(command)[1] is None]

    def oracle_action(self) -> str:
        """The walkthrough's next command; off its way the first of the library's own plan, if it has one."""
        play = self._playing
        if 0 <= self._next < len(play.walkthrough):
            return play.walkthrough[self._next]
        return next(iter(play.policy()), self.idle)

    def _keep_track(self, command: str, answer: Answer) -> None:
        """Follow the walkthrough: `_next` is the place in it, or -1 once the player has gone another way."""
        walkthrough = self._playing.walkthrough
        if 0 <= self._next < len(walkthrough) and command.lower() == walkthrough[self._next].lower():
            self._next += 1
        elif answer.counted and command.lower().split()[0] not in _HARMLESS:
            self._next = -1

    @property
    def _playing(self) -> Play:
        if self._play is None:
            raise ResetNeeded("No game is being played: call reset() first.")
        return self._play

    def _share(self, points: int) -> float:
        return min(max(points / self._playing.max_points, 0.0), 1.0)
