"""JSON to a model's server and JSON back: the only module that knows the HTTP library.

Beside what `_refusals` names, these are tried again: connections that fail or are cut, answers that take too
long, and bodies that are not JSON or that the caller cannot use. An answer that is too big is not.

Keys are read from the environment for each request and stay here: no error raised here is chained to the
HTTP library's own exceptions, whose requests carry the headers.
"""

from __future__ import annotations

import contextlib
import json
import random
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import httpx
import stamina
from anyio.lowlevel import RunVar

from arena.agents.models._key import Key
from arena.agents.models._refusals import Passing, Words
from arena.core.errors import ArenaError, ModelUnavailable, UsageError

Json = dict[str, Any]
Read = TypeVar("Read")

UNREADABLE = (LookupError, TypeError, ValueError, AttributeError)
"""What reading an answer of the wrong form raises."""

_ERROR_BYTES = 64 * 1024
_CONNECT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request is tried.

    Attributes:
        timeout: seconds for one attempt, from sending to the last byte of the answer.
        max_retries: further attempts after the first.
        wait: seconds before the first retry; doubled for each one after it, and spread at random.
        max_wait: the longest pause in seconds, whatever the server asks for.
        max_bytes: the biggest answer that is read.
    """

    timeout: float = 600.0
    max_retries: int = 5
    wait: float = 0.5
    max_wait: float = 60.0
    max_bytes: int = 8 * 2**20


@dataclass(frozen=True, slots=True)
class _Opened:
    """The client of one event loop, and the generator that closes it when that loop shuts down."""

    client: httpx.AsyncClient
    closing: AsyncGenerator[None, None]


@dataclass(eq=False)
class Endpoint:
    """One URL that takes a JSON object and answers with one.

    Attributes:
        url: where requests are sent.
        model: the model, as its spec names it, for messages.
        key: where the key is, or None.
        headers: sent with every request.
        patience: how long a request is tried.
        local: the server is on this machine, so proxies are not used.
    """

    url: str
    model: str
    key: Key | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    patience: Patience = field(default_factory=Patience)
    local: bool = False
    _opened: RunVar[_Opened | None] = field(default_factory=lambda: RunVar("arena.http", None), init=False, repr=False)
    _spread: random.Random = field(default_factory=random.Random, init=False, repr=False)

    def __post_init__(self) -> None:
        self._words = Words(self.model, self.url, self.key)

    async def post(
        self,
        body: Json,
        read: Callable[[Json], Read],
        turn: Callable[[], AbstractAsyncContextManager[Callable[[Json], None]]],
    ) -> tuple[Read, Json]:
        """Send `body` until an answer can be read.

        Args:
            body: the request.
            read: reads an answer; raises one of `UNREADABLE` where it cannot be used.
            turn: entered for each attempt; waits for the rate limit and is told of the answer.

        Returns:
            The answer as it was read, and as it came.

        Raises:
            ModelUnavailable: no usable answer after the retries, or one that is too big.
            ContextOverflow: the server says that the conversation does not fit.
            UsageError: the server refuses the request.
        """
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(errors="replace")
        started = time.monotonic()
        tries = 0

        def pause(error: Exception) -> bool | float:
            return self._pause(tries, error.wait) if isinstance(error, Passing) else False

        try:
            async for attempt in stamina.retry_context(pause, attempts=self.patience.max_retries + 1, timeout=None):
                with attempt:
                    tries = attempt.num
                    async with turn() as answered:
                        reply = await self._attempt(content)
                        answer = self._understand(reply, read)
                        answered(reply)
                    return answer, reply
        except Passing as error:
            last = str(error)
        raise ModelUnavailable(
            f"{self.model} at {self.url} gave no usable answer in {tries} attempt{'s' * (tries > 1)} "
            f"over {time.monotonic() - started:.0f} s. The last one: {last}"
        )

    def _pause(self, tries: int, asked: float | None) -> float:
        """Seconds before the next attempt: what the server asked for, or twice as long each time."""
        wait = self.patience.wait * 2 ** (tries - 1) * self._spread.uniform(0.5, 1.0) if asked is None else asked
        return float(min(wait, self.patience.max_wait))

    async def _attempt(self, content: bytes) -> Json:
        """One request. The HTTP library's errors are turned into words and left behind."""
        headers = {"content-type": "application/json", **self.headers, **(self.key.headers() if self.key else {})}
        try:
            with anyio.fail_after(self.patience.timeout):
                status, answer_headers, data = await self._exchange(content, headers)
        except TimeoutError:
            failure: ArenaError = Passing(f"no complete answer within {self.patience.timeout:g} s (option timeout)")
        except httpx.HTTPError as error:
            failure = self._transport_failure(error)
        else:
            if 200 <= status < 300:
                return self._read(data)
            failure = self._words.refusal(status, answer_headers, data)
        raise failure

    async def _exchange(self, content: bytes, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        client = await self._client()
        data = bytearray()
        async with client.stream("POST", self.url, content=content, headers=headers) as response:
            limit = self.patience.max_bytes if response.is_success else _ERROR_BYTES
            async for chunk in response.aiter_bytes():
                data += chunk
                if len(data) > limit:
                    break
        if response.is_success and len(data) > limit:
            raise ModelUnavailable(
                f"{self.model} at {self.url} answered with more than {limit:,} bytes, which are not read. "
                "Ask for fewer tokens, or raise the option max_bytes."
            )
        return response.status_code, response.headers, bytes(data)

    def _read(self, data: bytes) -> Json:
        try:
            reply = json.loads(data)
        except (ValueError, RecursionError):
            reply = None
        if isinstance(reply, dict):
            return reply
        raise Passing(f"a body that is no JSON object: {self._words.excerpt(data[:2000])!r}")

    def _understand(self, reply: Json, read: Callable[[Json], Read]) -> Read:
        try:
            return read(reply)
        except UNREADABLE as error:
            words = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise Passing(f"an answer that cannot be used: {self._words.excerpt(words)}")

    def _transport_failure(self, error: httpx.HTTPError) -> ArenaError:
        words = self._words.excerpt(f"{type(error).__name__} {error}")
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) and "CERTIFICATE_VERIFY_FAILED" not in words:
            return Passing(f"no connection ({words}). Is the server running, and is the URL right?")
        if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError | httpx.DecodingError | httpx.ProxyError):
            return Passing(f"the connection was cut ({words})")
        return UsageError(f"{self.model} cannot be asked at {self.url}: {words}.")

    async def _client(self) -> httpx.AsyncClient:
        opened = self._opened.get()
        if opened is None:
            # Loading the certificates takes longer than a whole local episode, so plain HTTP goes without.
            verify = True if self.url.startswith("https") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            client = httpx.AsyncClient(
                verify=verify,
                timeout=httpx.Timeout(None, connect=min(_CONNECT_SECONDS, self.patience.timeout)),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=256, keepalive_expiry=30.0),
                trust_env=not self.local,
            )
            opened = _Opened(client, _closing(client))
            self._opened.set(opened)
            await anext(opened.closing)
        return opened.client

    async def aclose(self) -> None:
        """Close the connections of this event loop; those of others close when their loops end."""
        if opened := self._opened.get():
            self._opened.set(None)
            await opened.closing.aclose()


async def _closing(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    """Suspended while the client is in use: a loop that ends finishes its generators, and so closes the client."""
    try:
        yield
    finally:
        with contextlib.suppress(httpx.HTTPError):
            await client.aclose()
