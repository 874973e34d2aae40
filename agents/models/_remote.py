"""What every served model needs beside its wire format: where it is, its key, limits, cache and prices."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self
from urllib.parse import urlsplit

from arena.agents.models._cache import ResponseCache
from arena.agents.models._http import UNREADABLE, Endpoint, Json, Patience
from arena.agents.models._key import Key
from arena.agents.models._options import Options
from arena.agents.models._prices import cost
from arena.agents.models._rate import RateLimit
from arena.agents.models._refusals import Filtered
from arena.core.errors import BadSpec
from arena.core.messages import Completion, ImagePart, TextPart, Usage
from arena.core.paths import cache_folder

if TYPE_CHECKING:
    from arena.core.messages import Message, Sampling
    from arena.core.model import Traits
    from arena.core.specs import Spec

_IMAGE_TOKENS = 1000
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Provider:
    """A company's API.

    Attributes:
        url: its address, up to where `path` follows.
        path: what requests are sent to.
        trimmed: ends of a user's URL that `path` repeats.
        key: where its key is expected; without a variable there is none, unless a spec names it.
        headers: sent with every request.
        free: requests cost nothing, unless a spec says otherwise.
    """

    url: str
    path: str
    trimmed: tuple[str, ...]
    key: Key
    headers: Mapping[str, str] = field(default_factory=dict)
    free: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read from a server's answer.

    Attributes:
        completion: the answer, without its cost.
        metered: the server said how many tokens it used.
        written: how many of the fresh input tokens went into the provider's cache.
    """

    completion: Completion
    metered: bool
    written: int = 0


class Remote:
    """One served model, reached over HTTP. The options it reads:

    key_env       the variable that holds the key; by default the provider's own, and none for other URLs
    timeout       seconds for one attempt, answer included (600)
    max_retries   attempts after the first (5)
    wait          seconds before the first retry, doubled each time (0.5)
    max_wait      the longest pause in seconds, a server's Retry-After included (60)
    max_bytes     the biggest answer that is read (8388608)
    rpm, tpm      at most so many requests and tokens per minute, over all episodes of this process
    cache         true, or a file: keep answers on disk and use them again (false)
    free          true: requests cost nothing (always so for a server on this machine)
    body_FIELD    any other field of the request: body_min_p=0.1, body_reasoning__effort=high
    """

    def __init__(self, spec: Spec, provider: Provider, options: Options) -> None:
        if not spec.name:
            raise BadSpec(f"{str(spec)!r} names no model. Write {spec.kind}:NAME[@URL][,key=value…].")
        base = _base(spec, provider)
        parts = urlsplit(base)
        self._root = base
        self.name = spec.name
        self.host = parts.hostname or ""
        self.official = base == provider.url
        self.local = _is_local(self.host)
        self.priced = not (options.flag("free", provider.free) or self.local)
        if self.priced:
            cost(self.host, self.name, Usage())  # a price file that cannot be read is told of before money is spent
        self.fields = options.prefixed("body_")
        self._cache = _cache(options)
        self._rate = RateLimit(options.number("rpm", None), options.number("tpm", None))
        self._endpoint = Endpoint(
            url=base + provider.path,
            model=f"{spec.kind}:{spec.name}",
            key=_key(provider, options, self.official),
            headers=provider.headers,
            patience=_patience(options),
            local=self.local,
        )

    async def ask(
        self,
        prompt: Sequence[Message],
        body: Json,
        sampling: Sampling,
        read: Callable[[Json], Answer],
    ) -> Completion:
        """The server's answer as `read` reads it, with what it cost.

        Args:
            prompt: the conversation, from which the request's tokens are estimated.
            body: the request.
            sampling: how to sample; its seed tells cached samples apart.
            read: reads an answer; raises a `ValueError` that says why it cannot be used.
        """
        key = b""
        if self._cache is not None:
            key = self._cache.key(self._endpoint.url, body, sampling.seed)
            if reply := await self._cache.get(key):
                with contextlib.suppress(*UNREADABLE):  # kept by a version that could read it
                    answer = read(reply)
                    self._endpoint.answered = True
                    return self._priced(answer, cached=True)
        expected = _expected_tokens(prompt, sampling)

        @asynccontextmanager
        async def turn() -> AsyncGenerator[Callable[[Json], None], None]:
            async with self._rate.turn(expected) as report:
                yield lambda reply: report(_used_tokens(reply))

        try:
            answer, reply = await self._endpoint.post(body, read, turn)
        except Filtered:
            # Like every answer that is an error, it tells no tokens and is taken to cost nothing.
            return Completion(parts=(TextPart(text=""),), finish="refusal", cost=0.0)
        if self._cache is not None:
            await self._cache.put(key, reply)
        return self._priced(answer, cached=False)

    def _priced(self, answer: Answer, cached: bool) -> Completion:
        """The completion with its cost, which is None where the price or the usage is unknown."""
        dollars: float | None = 0.0
        if self.priced and not cached:
            usage = answer.completion.usage
            dollars = cost(self.host, self.name, usage, answer.written) if answer.metered else None
        return answer.completion.model_copy(update={"cost": dollars, "cached_response": cached})

    async def command(self, path: str, body: Json) -> Json:
        """Tell the server something beside its answers, with the same key and patience.

        Args:
            path: from the server's root, such as `/pause`.
            body: the request.

        Returns:
            Its answer; empty where that is no JSON object.

        Raises:
            ModelUnavailable: no usable answer after the retries.
            UsageError: the server refuses it, or knows no such path.
        """
        endpoint = dataclasses.replace(self._endpoint, url=self._root + path, worded=True)
        try:
            return (await endpoint.post(body, lambda reply: reply, _no_turn))[1]
        finally:
            await endpoint.aclose()

    async def aclose(self) -> None:
        """Close connections and the cache file. A second call does nothing."""
        if self._cache is not None:
            self._cache.close()
        await self._endpoint.aclose()


class RemoteModel(ABC):
    """What models behind a `Remote` share: how they are built, shown and closed."""

    provider: ClassVar[Provider]
    harmless = frozenset(
        {"key_env", "timeout", "max_retries", "wait", "max_wait", "max_bytes", "rpm", "tpm", "cache", "free"}
    )

    def __init__(self, spec: Spec) -> None:
        options = Options(spec)
        self.spec = str(spec)
        self._remote = Remote(spec, self._provider(options), options)
        self.traits = self._configure(options)
        options.done()

    def _provider(self, options: Options) -> Provider:
        """Where requests go."""
        return self.provider

    @abstractmethod
    def _configure(self, options: Options) -> Traits:
        """Read the options of its own; what the model can do."""

    @classmethod
    def from_spec(cls, spec: Spec) -> Self:
        """The model a spec names.

        Raises:
            BadSpec: an option or the URL cannot be read.
            UsageError: the variable that holds the key is not set.
        """
        return cls(spec)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec!r})"

    async def aclose(self) -> None:
        """Close the connections. A second call does nothing."""
        await self._remote.aclose()


def _base(spec: Spec, provider: Provider) -> str:
    """The URL before the provider's path.

    Raises:
        BadSpec: the URL has no host, or carries a password or a query (either would end up in records).
    """
    base = (spec.url or provider.url).rstrip("/")
    for end in provider.trimmed:
        base = base.removesuffix(end)
    try:
        parts = urlsplit(base)
        parts.port  # noqa: B018  (reading it checks it)
    except ValueError as error:
        raise BadSpec(f"The URL {base!r} cannot be read: {error}.") from None
    if not parts.hostname:
        raise BadSpec(f"The URL {base!r} names no host.")
    if parts.username or parts.password or parts.query or parts.fragment:
        host = parts.hostname
        raise BadSpec(
            f"The URL of {spec.kind}:{spec.name} (host {host}) has a user name, a query or a fragment. Specs are "
            "written into records, so keys stay out of them: name a variable with the option key_env=VARIABLE."
        )
    return base


@asynccontextmanager
async def _no_turn() -> AsyncGenerator[Callable[[Json], None]]:
    """Commands count against no limit."""
    yield lambda reply: None


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _key(provider: Provider, options: Options, official: bool) -> Key | None:
    """Where the key is. A provider's own key is never sent to another URL unless the spec names it."""
    variable = options.text("key_env", provider.key.variable if official else None)
    if not variable:
        return None
    key = Key(variable, provider.key.header, provider.key.prefix)
    key.headers()  # reading it once says now, and not in the middle of a run, that it is missing
    return key


def _patience(options: Options) -> Patience:
    usual = Patience()
    return Patience(
        timeout=options.number("timeout", usual.timeout, least=0.001) or usual.timeout,
        max_retries=options.whole("max_retries", usual.max_retries),
        wait=options.number("wait", usual.wait) or 0.0,
        max_wait=options.number("max_wait", usual.max_wait) or 0.0,
        max_bytes=options.whole("max_bytes", usual.max_bytes, least=1),
    )


def _cache(options: Options) -> ResponseCache | None:
    chosen = options.either("cache")
    if chosen is False:
        return None
    return ResponseCache(cache_folder() / "responses.sqlite" if chosen is True else Path(chosen).expanduser())


def _expected_tokens(prompt: Sequence[Message], sampling: Sampling) -> int:
    """A guess at a request's tokens, good enough to book them until the answer says."""
    parts = [part for message in prompt for part in message.parts]
    images = sum(isinstance(part, ImagePart) for part in parts)
    characters = sum(len(getattr(part, "text", "") or getattr(part, "arguments", "")) for part in parts)
    return characters // _CHARACTERS_PER_TOKEN + images * _IMAGE_TOKENS + (sampling.max_tokens or 0)


def _used_tokens(reply: Json) -> int:
    """The tokens that count against a limit: all but those read from the provider's cache."""
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return 0
    fields = ("prompt_tokens", "completion_tokens", "input_tokens", "cache_creation_input_tokens", "output_tokens")
    return sum(value for value in map(usage.get, fields) if isinstance(value, int))
