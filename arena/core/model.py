"""A model: messages in, a completion out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from arena.core.messages import Completion, Message, Sampling, Tool


@dataclass(frozen=True, slots=True)
class Traits:
    """What a model can do, and what identifies it.

    Attributes:
        identity: the weights' hash of a local model, the served name of a remote one: what `--resume` compares.
        images: reads image parts.
        tools: takes tool schemas and returns tool calls.
        seeded: the same sampling seed gives the same answer.
        token_ids: completions carry prompt ids and sampled ids.
        priced: requests cost money, so an unknown price is shown as `?` and never as 0.
    """

    identity: str
    images: bool = False
    tools: bool = False
    seeded: bool = False
    token_ids: bool = False
    priced: bool = False


@runtime_checkable
class Model(Protocol):
    """A language model behind one method. `str(spec)` rebuilds it in any process, without keys."""

    @property
    def spec(self) -> str:
        """One line that rebuilds it."""
        ...

    @property
    def traits(self) -> Traits:
        """What it can do, and what identifies it."""
        ...

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        tools: Sequence[Tool] = (),
        after: Completion | None = None,
    ) -> Completion:
        """Answer a conversation.

        Args:
            messages: the whole conversation, or with `after` only what came since.
            sampling: how to sample; None fields are left to the model's own default.
            tools: schemas of the tools the answer may call.
            after: an earlier completion of this conversation. Its prompt and its sampled ids stand as
                they are; naming an older one forks the conversation; None starts afresh.

        Returns:
            A completion whose `history` is the whole conversation including the answer.

        Raises:
            ModelUnavailable: no usable answer after the retries.
            ContextOverflow: the conversation does not fit.
            RequestRefused: the server refuses this request, though it took others.
            UsageError: the server refuses the request as it stands (a wrong field, name or key).
        """
        ...

    async def aclose(self) -> None:
        """Release connections and memory. A second call does nothing."""
        ...


def conversation(messages: Sequence[Message], after: Completion | None) -> tuple[Message, ...]:
    """The whole conversation a request stands for."""
    return (*after.history, *messages) if after is not None else tuple(messages)
