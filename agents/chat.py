"""The chat agent: a conversation in which the model's reply is the action."""

from __future__ import annotations

from dataclasses import dataclass

from arena.agents._build import spec_of
from arena.agents._dialogue import Dialogue, ModelOptions
from arena.agents._replies import PlainReplies
from arena.core.agent import Brief


@dataclass(frozen=True, eq=False, kw_only=True)
class ChatAgent(ModelOptions):
    """The rules are the system message, each observation is a user message, each reply is an action.

    `PlainReplies` says how the action is read from a reply. The options are those of `ModelOptions`;
    `retries` matters with tools=true only, because any text is an action.
    """

    system: str = "chat.j2"

    @property
    def spec(self) -> str:
        """Rebuilds this agent, given the model."""
        return spec_of("chat", self)

    def start(self, brief: Brief, seed: int) -> Dialogue:
        """Begin an episode. The model's sampling is the only randomness, and the engine seeds that."""
        return self.dialogue(brief, PlainReplies())
