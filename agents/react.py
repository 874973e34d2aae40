"""The ReAct agent: a thought, then an action (Yao et al., "ReAct", ICLR 2023)."""

from __future__ import annotations

from dataclasses import dataclass

from arena.agents._build import spec_of
from arena.agents._dialogue import Dialogue, ModelOptions
from arena.agents._replies import ReactReplies
from arena.core.agent import Brief


@dataclass(frozen=True, eq=False, kw_only=True)
class ReactAgent(ModelOptions):
    """The model writes `Thought: …` and `Action: …`; a malformed reply is asked again.

    `ReactReplies` says what counts as malformed. The options are those of `ModelOptions`. With tools=true the
    thought is text beside the tool calls. A window shows the model its past actions, not its past thoughts.
    """

    system: str = "react.j2"
    retries: int = 2

    @property
    def spec(self) -> str:
        """Rebuilds this agent, given the model."""
        return spec_of("react", self)

    def start(self, brief: Brief, seed: int) -> Dialogue:
        """Begin an episode. The model's sampling is the only randomness, and the engine seeds that."""
        return self.dialogue(brief, ReactReplies())
