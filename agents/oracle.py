"""The oracle agent: plays the environment's own solution, the ceiling that every other one is measured against."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from arena.core.agent import Action, Brief
from arena.core.errors import UsageError
from arena.core.observation import Observation
from arena.core.outcome import Outcome


class OracleAgent:
    """Asks the environment's oracle for each action."""

    spec = "oracle"

    def start(self, brief: Brief, seed: int) -> OracleSession:
        """Begin an episode.

        Raises:
            UsageError: the environment has no oracle.
        """
        if brief.oracle is None:
            raise UsageError("The agent oracle plays the environment's own solution, and this environment has none.")
        return OracleSession(brief.oracle)


class OracleSession:
    """One episode of the solution."""

    def __init__(self, oracle: Callable[[], Awaitable[str]]) -> None:
        self._oracle = oracle

    async def act(self, observation: Observation) -> Action:
        """The next action of the solution."""
        return Action(await self._oracle())

    def take(self, observation: Observation, action: str) -> None:
        """The environment's oracle knows by itself."""

    def end(self, observation: Observation, outcome: Outcome) -> None:
        """Nothing to do."""
