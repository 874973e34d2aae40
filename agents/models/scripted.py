"""A model with fixed answers: deterministic, instant, the same in any process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from pydantic import ValidationError

from arena.agents.models._options import Options
from arena.core.errors import BadSpec
from arena.core.messages import Completion, Message, TextPart
from arena.core.model import Traits, conversation
from arena.core.registry import load
from arena.core.specs import Spec
from arena.core.text import shorten

if TYPE_CHECKING:
    from arena.core.messages import Sampling, Tool

__all__ = ["ScriptedModel"]

Reply = str | Completion


class ScriptedModel:
    """Answers by what the conversation is, never by what was asked before: scheduling cannot change a result.

        scripted:echo                           what was said last
        scripted:FILE.json                      the replies in a file: a JSON list of texts and completions
        scripted:replies=look                   always the same text
        scripted:replies=["north", "south"]     reply i to a conversation with i answers so far, and round again
        scripted:call=package.module:function   function(messages) -> text or completion

    The option `latency` makes each answer take so many seconds.

    Args:
        replies: the replies, or a function of the whole conversation.
        latency: seconds an answer takes.
        spec: what rebuilds it; by default a spec that holds the replies, or names the function.
    """

    harmless = frozenset({"latency"})

    def __init__(
        self,
        replies: Sequence[Reply] | Callable[[Sequence[Message]], Reply],
        *,
        latency: float = 0.0,
        spec: str = "",
    ) -> None:
        self._latency = latency
        if callable(replies):
            self._function: Callable[[Sequence[Message]], Reply] | None = replies
            self._replies: tuple[Reply, ...] = ()
            written: Any = f"{replies.__module__}:{getattr(replies, '__qualname__', type(replies).__qualname__)}"
        else:
            self._function = None
            self._replies = (replies,) if isinstance(replies, str) else tuple(replies)
            if not self._replies:
                raise BadSpec("A scripted model needs at least one reply.")
            written = json.dumps([_write(reply) for reply in self._replies], ensure_ascii=False)
        options = {"call" if self._function else "replies": written} | ({"latency": latency} if latency else {})
        self.spec = spec or str(Spec("scripted", options=options))
        digest = hashlib.sha256(written.encode()).hexdigest()
        self.traits = Traits(identity=f"scripted-{digest[:16]}", images=True, tools=True, seeded=True)

    @classmethod
    def from_spec(cls, spec: Spec) -> ScriptedModel:
        """The model a spec names.

        Raises:
            BadSpec: it names no replies, or they cannot be read.
        """
        options = Options(spec)
        latency = options.number("latency", 0.0) or 0.0
        replies, call = options.text("replies"), options.text("call")
        options.done()
        if sum(bool(form) for form in (spec.name, replies, call)) != 1 or spec.url:
            raise BadSpec(
                f"{str(spec)!r} must name its replies in one way: scripted:echo, scripted:FILE.json, "
                'scripted:replies=TEXT, scripted:replies=["FIRST", "SECOND"] or scripted:call=MODULE:FUNCTION.'
            )
        said: Sequence[Reply] | Callable[[Sequence[Message]], Reply]
        if call:
            said = _function(call)
        elif replies:
            said = _read(replies, spec) if replies.startswith("[") else [replies]
        else:
            said = _echo if spec.name == "echo" else _read(_file(spec.name), spec)
        return cls(said, latency=latency, spec=str(spec))

    def __repr__(self) -> str:
        return f"ScriptedModel({self.spec!r})"

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        tools: Sequence[Tool] = (),
        after: Completion | None = None,
    ) -> Completion:
        """Answer a conversation; see `arena.core.model.Model.complete`."""
        prompt = conversation(messages, after)
        if self._latency:
            await anyio.sleep(self._latency)
        if self._function is not None:
            reply = self._function(prompt)
        else:
            answered = sum(message.role == "assistant" for message in prompt)
            reply = self._replies[answered % len(self._replies)]
        if isinstance(reply, str):
            return Completion(parts=(TextPart(text=reply),), cost=0.0).following(prompt)
        return reply.model_copy().following(prompt)

    async def aclose(self) -> None:
        """There is nothing to close."""


def _echo(messages: Sequence[Message]) -> str:
    return next((message.text for message in reversed(messages) if message.role != "assistant"), "")


def _function(path: str) -> Callable[[Sequence[Message]], Reply]:
    try:
        found = load(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadSpec(f"{path!r} cannot be imported ({error}). Name a function as module:function.") from None
    if not callable(found):
        raise BadSpec(f"{path!r} is no function: it is {found!r}.")
    return found  # type: ignore[no-any-return]


def _file(name: str) -> str:
    try:
        return Path(name).expanduser().read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise BadSpec(f"The file of replies {name!r} cannot be read: {error}.") from None


def _read(text: str, spec: Spec) -> list[Reply]:
    try:
        items = json.loads(text)
        if not isinstance(items, list):
            raise TypeError("it is no list")
        return [item if isinstance(item, str) else Completion.model_validate(item) for item in items]
    except (ValueError, TypeError, RecursionError, ValidationError) as error:
        raise BadSpec(
            f"The replies of {str(spec)!r} are no JSON list of texts and completions: {shorten(str(error), 200)}"
        ) from None


def _write(reply: Reply) -> Any:
    """A reply as JSON, short: what has its default is left out."""
    if isinstance(reply, str):
        return reply
    parts = [part.model_dump(mode="json") for part in reply.parts]
    return reply.model_dump(mode="json", exclude_defaults=True) | {"parts": parts}
