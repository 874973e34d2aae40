"""The random agent: the floor that every other one is measured against."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import numpy as np

from arena.core.agent import Action, Brief
from arena.core.errors import UsageError
from arena.core.observation import Observation
from arena.core.outcome import Outcome


class RandomAgent:
    """Draws each action uniformly from the legal ones."""

    spec = "random"

    def start(self, brief: Brief, seed: int) -> RandomSession:
        """Begin an episode.

        Raises:
            UsageError: the environment does not list its legal actions.
        """
        if brief.legal_actions is None:
            raise UsageError(
                "The agent random draws from the legal actions, and this environment lists none. "
                "Use another agent, such as idle, oracle or chat."
            )
        return RandomSession(brief.legal_actions, np.random.default_rng(seed))


class RandomSession:
    """One episode's draws."""

    def __init__(self, legal_actions: Callable[[], Awaitable[Sequence[str]]], generator: np.random.Generator) -> None:
        self._legal_actions = legal_actions
        self._generator = generator

    async def act(self, observation: Observation) -> Action:
        """One of the actions that are legal now."""
        legal = await self._legal_actions()
        return Action(legal[int(self._generator.integers(len(legal)))])

    def take(self, observation: Observation, action: str) -> None:
        """Nothing to remember."""

    def end(self, observation: Observation, outcome: Outcome) -> None:
        """Nothing to do."""
