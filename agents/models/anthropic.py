"""Anthropic's messages API."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from arena.agents.models._anthropic_wire import mark_cache_points, read_reply, write_conversation, write_tools
from arena.agents.models._http import Json
from arena.agents.models._key import Key
from arena.agents.models._remote import Provider, RemoteModel
from arena.core.errors import UsageError
from arena.core.model import Traits, conversation

if TYPE_CHECKING:
    from arena.agents.models._options import Options
    from arena.core.messages import Completion, Message, Sampling, Tool

__all__ = ["AnthropicModel"]

_ANTHROPIC = Provider(
    url="https://api.anthropic.com",
    path="/v1/messages",
    trimmed=("/messages", "/v1"),
    key=Key("ANTHROPIC_API_KEY", header="x-api-key", prefix=""),
    headers={"anthropic-version": "2023-06-01"},
)

_MAX_TOKENS = 16_384
"""The API wants a limit; thinking counts against it, so a small one would cut answers off."""


class AnthropicModel(RemoteModel):
    """A model behind Anthropic's messages API.

    `anthropic:NAME[@URL][,key=value…]`, by default at https://api.anthropic.com with the key in
    ANTHROPIC_API_KEY. Where `Sampling.max_tokens` is None, 16384 are allowed. The API takes no seed and gives
    neither token ids nor log-probabilities. Options beside those of `Remote`:

        cache_points   false: do not mark what Anthropic should cache (true)
        images         false: the model reads no images (true)
        tools          false: the model takes no tools (true)

    Thinking is asked for through the request's own fields: `body_thinking__type=adaptive`.
    """

    provider = _ANTHROPIC
    harmless = RemoteModel.harmless | {"cache_points"}

    def _configure(self, options: Options) -> Traits:
        self._cache_points = options.flag("cache_points", True)
        return Traits(
            identity=self._remote.name,
            images=options.flag("images", True),
            tools=options.flag("tools", True),
            priced=self._remote.priced,
        )

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        tools: Sequence[Tool] = (),
        after: Completion | None = None,
    ) -> Completion:
        """Answer a conversation; see `arena.core.model.Model.complete`.

        Raises:
            UsageError: log-probabilities were asked for, among others.
        """
        if sampling.logprobs:
            raise UsageError(f"{self.spec} gives no log-probabilities: Anthropic's API has none. Ask without them.")
        prompt = conversation(messages, after)
        body = self._body(prompt, sampling, tools)
        if self._cache_points:
            mark_cache_points(body, growing=after is not None)
        read = partial(read_reply, model=self._remote.name)
        return (await self._remote.ask(prompt, body, sampling, read)).following(prompt)

    def _body(self, prompt: Sequence[Message], sampling: Sampling, tools: Sequence[Tool]) -> Json:
        system, messages = write_conversation(prompt)
        body: Json = {
            "model": self._remote.name,
            "max_tokens": _MAX_TOKENS if sampling.max_tokens is None else sampling.max_tokens,
            "messages": messages,
        }
        optional = {
            "system": system or None,
            "tools": write_tools(tools) or None,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "stop_sequences": list(sampling.stop) or None,
        }
        body.update({name: value for name, value in optional.items() if value is not None})
        return body | self._remote.fields
