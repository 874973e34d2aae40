"""An agent: told what the task is, then asked for one action per observation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from arena.core.messages import Completion, Tool
    from arena.core.observation import Observation
    from arena.core.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Brief:
    """What an agent is told before the first observation.

    Attributes:
        instructions: the rules, in words.
        tools: the environment's tools; empty where actions are plain text.
        limits: named limits the engine enforces, such as {"turns": 30}.
        player: the player this agent acts as ("agent" where there is one).
        idle: an action that does nothing.
        legal_actions: the legal actions now, where the environment has that ability.
        oracle: the oracle's action now, where the environment has that ability.
    """

    instructions: str
    tools: tuple[Tool, ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)
    player: str = "agent"
    idle: str = ""
    legal_actions: Callable[[], Awaitable[Sequence[str]]] | None = None
    oracle: Callable[[], Awaitable[str]] | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """What an agent decided.

    Attributes:
        text: the action string handed to the environment.
        rejected: completions of this turn that were not acted on (a malformed reply that was asked again,
            a losing candidate).
        auxiliary: completions that served something else (a summary, a judgement).
        notes: what a reader of the record should know, such as "an image was dropped: the model takes none".
    """

    text: str
    rejected: tuple[Completion, ...] = ()
    auxiliary: tuple[Completion, ...] = ()
    notes: tuple[str, ...] = ()


@runtime_checkable
class Session(Protocol):
    """One agent in one episode."""

    async def act(self, observation: Observation) -> Action:
        """Decide. An exception that is no `ArenaError` is a bug in the agent and ends the episode."""
        ...

    def take(self, observation: Observation, action: str) -> None:
        """Learn of a turn that someone else played, written into the history in this agent's own format."""
        ...

    def end(self, observation: Observation, outcome: Outcome) -> None:
        """The episode is over; `observation` is the last one."""
        ...


@runtime_checkable
class Agent(Protocol):
    """Makes a session per episode. `str(spec)` rebuilds it in any process."""

    @property
    def spec(self) -> str:
        """What rebuilds this agent (a plain attribute will do)."""
        ...

    def start(self, brief: Brief, seed: int) -> Session:
        """Begin an episode; all the session's randomness comes from `seed`."""
        ...
