"""What is said to a model and what it says back: messages of ordered parts, lossless both ways."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from arena.core.jsondata import JsonObject
from arena.core.text import clean


def _clean(value: Any) -> Any:
    return clean(value)[0] if isinstance(value, str) else value


UnicodeText = Annotated[str, BeforeValidator(_clean)]
"""Text that always encodes: lone surrogates become U+FFFD."""


class Record(BaseModel):
    """Base of everything that is written down: immutable, closed, lossless in JSON (inf and NaN as strings)."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class TextPart(Record):
    """Plain text."""

    type: Literal["text"] = "text"
    text: UnicodeText


class ImagePart(Record):
    """An image, named by the SHA-256 of its file; the bytes live under the run's `blobs/`."""

    type: Literal["image"] = "image"
    sha256: str
    media_type: str = "image/png"
    width: int
    height: int
    _data: bytes | None = PrivateAttr(default=None)

    @property
    def data(self) -> bytes | None:
        """The encoded file where it is at hand (always while an episode runs)."""
        return self._data

    def with_data(self, data: bytes) -> ImagePart:
        """The same part with its bytes attached; they never enter the JSON."""
        self._data = data
        return self

    def __eq__(self, other: object) -> bool:
        """Whether it is the same image, the bytes at hand or not."""
        return isinstance(other, ImagePart) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(self.sha256)


class ReasoningPart(Record):
    """What a model thought before it answered, with the provider's own data kept as it came."""

    type: Literal["reasoning"] = "reasoning"
    text: UnicodeText = ""
    opaque: JsonObject | None = None


class ToolCallPart(Record):
    """One tool call: `arguments` is the raw text the model wrote, parsed or not."""

    type: Literal["tool_call"] = "tool_call"
    id: UnicodeText
    name: UnicodeText
    arguments: UnicodeText


class ToolResultPart(Record):
    """What one tool call returned."""

    type: Literal["tool_result"] = "tool_result"
    id: UnicodeText
    text: UnicodeText


Part = Annotated[TextPart | ImagePart | ReasoningPart | ToolCallPart | ToolResultPart, Field(discriminator="type")]


class Message(Record):
    """One message of a conversation; the order of its parts is the provider's."""

    role: Literal["system", "user", "assistant", "tool"]
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, role: Literal["system", "user", "assistant", "tool"], text: str) -> Message:
        """A message of one text part."""
        return cls(role=role, parts=(TextPart(text=text),))

    @property
    def text(self) -> str:
        """The text parts joined (reasoning, images and tool calls left out)."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


class Tool(Record):
    """A tool an environment offers.

    `template`, where there is one, is the shorter action string of a call, with the arguments'
    names in braces: `move {direction}`.
    """

    name: UnicodeText
    description: UnicodeText
    parameters: JsonObject = Field(default_factory=lambda: {"type": "object", "properties": {}})
    template: UnicodeText | None = None


class Sampling(Record):
    """How to sample. A field left at None is not sent, so the server's own default holds."""

    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=1)
    stop: tuple[UnicodeText, ...] = ()
    seed: int | None = None
    logprobs: bool = False


class Usage(Record):
    """Tokens of one or several requests. `input` counts fresh tokens only, cached ones stand apart."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input=self.input + other.input,
            cached=self.cached + other.cached,
            output=self.output + other.output,
            reasoning=self.reasoning + other.reasoning,
        )

    @property
    def total(self) -> int:
        """All tokens; reasoning tokens are part of the output."""
        return self.input + self.cached + self.output


class Completion(Record):
    """A model's answer: its parts in order, and exact tokens where the back end gives them.

    `token_ids` are the sampled ids (length n), `logprobs` their n log-probabilities (nats), which
    are `raw` (of the model's own distribution) or of the distribution actually `sampled` from.
    `prompt_ids` are the ids the answer was sampled after. `server_rendered`: the server turned the
    messages into ids, so earlier answers may stand in the prompt as other ids than were sampled.
    """

    parts: tuple[Part, ...]
    finish: Literal["stop", "length", "tool_calls", "refusal"] = "stop"
    usage: Usage = Usage()
    prompt_ids: tuple[int, ...] | None = None
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    logprob_kind: Literal["raw", "sampled"] | None = None
    policy_version: UnicodeText | None = None
    server_rendered: bool = False
    cost: float | None = None
    cached_response: bool = False
    _history: tuple[Message, ...] = PrivateAttr(default=())

    @property
    def message(self) -> Message:
        """The answer as the assistant's message, unchanged, to be sent back."""
        return Message(role="assistant", parts=self.parts)

    @property
    def text(self) -> str:
        """The text parts joined."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def tool_calls(self) -> tuple[ToolCallPart, ...]:
        """The tool calls, in order."""
        return tuple(part for part in self.parts if isinstance(part, ToolCallPart))

    @property
    def history(self) -> tuple[Message, ...]:
        """The conversation up to and including this answer: what `after=` stands for."""
        return self._history

    def following(self, prompt: tuple[Message, ...]) -> Completion:
        """This completion, remembering the whole conversation it answered (`prompt`)."""
        self._history = (*prompt, self.message)
        return self
