"""The noisy agent: another agent's action, and with a stated probability a random one instead."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from arena.agents._build import build, spec_of
from arena.core.agent import Action, Brief
from arena.core.errors import UsageError
from arena.core.observation import Observation
from arena.core.outcome import Outcome

if TYPE_CHECKING:
    from arena.core.agent import Session


@dataclass(frozen=True, kw_only=True)
class NoisyAgent:
    """Plays as another agent, but with probability `epsilon` a turn's action is a random legal one.

    Its episodes go wrong and are mended, which is what learning from mixed play needs: the same states
    with better and worse actions.

    Attributes:
        of: the other agent, one without a model (a model's own noise is its temperature).
        epsilon: how likely a turn is random, in [0, 1].

    Raises:
        UsageError: `epsilon` is no probability.
    """

    of: str = "oracle"
    epsilon: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise UsageError(f"epsilon is a probability in [0, 1], not {self.epsilon}.")

    @property
    def spec(self) -> str:
        """Rebuilds this agent."""
        return spec_of("noisy", self)

    def start(self, brief: Brief, seed: int) -> NoisySession:
        """Begin an episode.

        Raises:
            UsageError: the environment does not list its legal actions, or the other agent cannot play it.
        """
        if brief.legal_actions is None:
            raise UsageError("The agent noisy draws from the legal actions, and this environment lists none.")
        own, other = np.random.SeedSequence(seed).generate_state(2, np.uint64)
        session = build(self.of).start(brief, int(other))
        return NoisySession(session, brief.legal_actions, self.epsilon, np.random.default_rng(own))


class NoisySession:
    """One episode of another agent, with slips."""

    def __init__(
        self,
        other: Session,
        legal_actions: Callable[[], Awaitable[Sequence[str]]],
        epsilon: float,
        generator: np.random.Generator,
    ) -> None:
        self._other, self._legal_actions = other, legal_actions
        self._epsilon, self._generator = epsilon, generator

    async def act(self, observation: Observation) -> Action:
        """The other's action, or a slip that the other is told of."""
        if self._generator.random() >= self._epsilon:
            return await self._other.act(observation)
        legal = await self._legal_actions()
        action = legal[int(self._generator.integers(len(legal)))]
        self._other.take(observation, action)
        return Action(action, notes=("a random action",))

    def take(self, observation: Observation, action: str) -> None:
        """Someone else played this turn."""
        self._other.take(observation, action)

    def end(self, observation: Observation, outcome: Outcome) -> None:
        """Tell the other."""
        self._other.end(observation, outcome)
