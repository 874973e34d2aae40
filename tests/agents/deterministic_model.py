"""A model with fixed answers that remembers what it was asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from arena.core.messages import Completion, Message, Sampling, TextPart, Tool, ToolCallPart
from arena.core.model import Traits, conversation


@dataclass
class Request:
    """One request, as it came, and the whole conversation it stands for."""

    messages: tuple[Message, ...]
    sampling: Sampling
    tools: tuple[Tool, ...]
    after: Completion | None

    @property
    def conversation(self) -> list[tuple[str, str]]:
        return [shown(message) for message in conversation(self.messages, self.after)]

    @property
    def new(self) -> list[tuple[str, str]]:
        return [shown(message) for message in self.messages]


TEXT_ONLY = Traits("fixed", tools=True)
SEEING = Traits("fixed", tools=True, images=True)


@dataclass
class FixedModel:
    """Gives its answers in order; a text, or a completion."""

    answers: list[str | Completion]
    traits: Traits = TEXT_ONLY
    spec: str = "fixed"
    requests: list[Request] = field(default_factory=list)

    async def complete(self, messages, sampling, tools=(), after=None) -> Completion:
        answer = self.answers[len(self.requests)]
        self.requests.append(Request(tuple(messages), sampling, tuple(tools), after))
        completion = Completion(parts=(TextPart(text=answer),)) if isinstance(answer, str) else answer
        return completion.following(conversation(messages, after))

    async def aclose(self) -> None:
        pass


def calls(*named: tuple[str, str], text: str = "") -> Completion:
    """An answer of some text and tool calls: (name, raw arguments), with the ids c0, c1, …"""
    words = (TextPart(text=text),) if text else ()
    parts = [ToolCallPart(id=f"c{n}", name=name, arguments=arguments) for n, (name, arguments) in enumerate(named)]
    return Completion(parts=(*words, *parts), finish="tool_calls")


def shown(message: Message) -> tuple[str, str]:
    """A message as (role, text), with its other parts written out."""
    return message.role, " ".join(_part(part) for part in message.parts)


def _part(part) -> str:
    match part.type:
        case "tool_call":
            return f"<{part.id} {part.name} {part.arguments}>"
        case "tool_result":
            return f"<{part.id}: {part.text}>"
        case "image":
            return f"<image {part.width}x{part.height}>"
        case _:
            return part.text
