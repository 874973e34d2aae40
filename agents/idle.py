"""The idle agent: does nothing, and should earn nothing."""

from __future__ import annotations

from arena.core.agent import Action, Brief
from arena.core.observation import Observation
from arena.core.outcome import Outcome


class IdleAgent:
    """Sends the environment's idle action every turn."""

    spec = "idle"

    def start(self, brief: Brief, seed: int) -> IdleSession:
        """Begin an episode."""
        return IdleSession(brief.idle)


class IdleSession:
    """One idle episode."""

    def __init__(self, idle: str) -> None:
        self._action = Action(idle)

    async def act(self, observation: Observation) -> Action:
        """The idle action."""
        return self._action

    def take(self, observation: Observation, action: str) -> None:
        """Nothing to remember."""

    def end(self, observation: Observation, outcome: Outcome) -> None:
        """Nothing to do."""
