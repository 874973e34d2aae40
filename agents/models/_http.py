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
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
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
Turn = Callable[[], AbstractAsyncContextManager[Callable[[Json], None]]]

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


class _Lanes:
    """The connections of one event loop, each in a client of its own, the last one used taken first.

    One client for all would look through every connection for each request: with 256 requests at once that
    costs ten times the request itself.
    """

    def __init__(self, make: Callable[[], httpx.AsyncClient]) -> None:
        self._make = make
        self._idle: list[httpx.AsyncClient] = []
        self._all: list[httpx.AsyncClient] = []
        self._end = self._close_with_the_loop()

    async def open(self) -> None:
        """From now on the loop's end closes the connections."""
        await anext(self._end)

    async def close(self) -> None:
        """Close all connections."""
        await self._end.aclose()

    @contextlib.contextmanager
    def one(self) -> Iterator[httpx.AsyncClient]:
        """A client that nobody else uses meanwhile."""
        if not self._idle:
            self._idle.append(self._make())
            self._all.append(self._idle[-1])
        client = self._idle.pop()
        try:
            yield client
        finally:
            self._idle.append(client)

    async def _close_with_the_loop(self) -> AsyncGenerator[None, None]:
        """An event loop that ends finishes its suspended generators, this one among them."""
        try:
            yield
        finally:
            for client in self._all:
                with contextlib.suppress(httpx.HTTPError):
                    await client.aclose()


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
        worded: answers may be words instead of a JSON object, or empty; they are read as an empty one.
        answered: it has given a usable answer, so that requests as such are right.
    """

    url: str
    model: str
    key: Key | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    patience: Patience = field(default_factory=Patience)
    local: bool = False
    worded: bool = False
    answered: bool = field(default=False, init=False)
    _lanes: RunVar[_Lanes | None] = field(default_factory=lambda: RunVar("arena.http", None), init=False, repr=False)
    _spread: random.Random = field(default_factory=random.Random, init=False, repr=False)

    def __post_init__(self) -> None:
        self._words = Words(self.model, self.url, self.key)

    async def post(self, body: Json, read: Callable[[Json], Read], turn: Turn) -> tuple[Read, Json]:
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
            Filtered: a content filter stopped it.
            RequestRefused: the server refuses this request, and has answered others.
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
                    return await self._attempt(content, read, turn)
        except Passing as error:
            last = str(error)
        raise ModelUnavailable(
            f"{self.model} at {self.url} gave no usable answer in {tries} attempt{'s' * (tries > 1)} "
            f"over {time.monotonic() - started:.0f} s. The last one: {last}"
        )

    async def _attempt(self, content: bytes, read: Callable[[Json], Read], turn: Turn) -> tuple[Read, Json]:
        """One request in its turn, and its answer as it was read and as it came."""
        async with turn() as report:
            reply = await self._request(content)
            answer = self._understand(reply, read)
            self.answered = True
            report(reply)
        return answer, reply

    def _pause(self, tries: int, asked: float | None) -> float:
        """Seconds before the next attempt: what the server asked for, or twice as long each time."""
        wait = self.patience.wait * 2 ** (tries - 1) * self._spread.uniform(0.5, 1.0) if asked is None else asked
        return float(min(wait, self.patience.max_wait))

    async def _request(self, content: bytes) -> Json:
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
            failure = self._words.refusal(status, answer_headers, data, takes_others=self.answered)
        raise failure

    async def _exchange(self, content: bytes, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        lanes = await self._opened()
        data = bytearray()
        with lanes.one() as client:
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
        if self.worded:
            return {}
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

    async def _opened(self) -> _Lanes:
        lanes = self._lanes.get()
        if lanes is None:
            # Loading the certificates takes longer than a whole local episode, so plain HTTP goes without.
            secure = self.url.startswith("https")
            context = httpx.create_ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            timeout = httpx.Timeout(None, connect=min(_CONNECT_SECONDS, self.patience.timeout))
            lanes = _Lanes(lambda: httpx.AsyncClient(verify=context, timeout=timeout, trust_env=not self.local))
            self._lanes.set(lanes)
            await lanes.open()
        return lanes

    async def aclose(self) -> None:
        """Close the connections of this event loop; those of others close when their loops end."""
        if lanes := self._lanes.get():
            self._lanes.set(None)
            await lanes.close()
