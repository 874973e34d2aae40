"""One thread that decodes all requests of a model together.

Requests wait in a queue that any thread or event loop may fill. Between two decoding steps the ones
that fit enter the batch, finished ones leave it, and cancelled ones are dropped. Where the batch
outgrows its memory, the youngest sequence goes back to the queue and later starts from what it had.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch

from arena.agents.models._draw import Drawer, Settings, Stream
from arena.core.errors import ArenaError, ModelUnavailable

_LINGER = 0.001
"""Seconds without a new request after which an idle batch begins: together, requests cost much less than alone."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a request came to.

    Attributes:
        tokens: the sampled ids; the one that ended the answer is among them.
        logprobs: their log-probabilities.
        finish: `stop` at an end of turn or a stop string, `length` at the limit.
        cached: how many ids of the prompt were not computed again.
        policy_version: of the weights that sampled it.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Literal["stop", "length"]
    cached: int
    policy_version: str


@dataclass(eq=False, slots=True)
class Request:
    """One answer to be sampled.

    Attributes:
        prompt: the ids before it, at least one.
        settings: temperature and the like.
        limit: the most tokens.
        stop_ids: ids that end it.
        stopped: whether the ids so far end it, where stop strings were asked for.
        forced: ids that are taken instead of sampled ones, first to last; then it goes on as usual.
    """

    prompt: tuple[int, ...]
    settings: Settings
    limit: int
    stop_ids: frozenset[int]
    stopped: Callable[[Sequence[int]], bool] | None = None
    forced: tuple[int, ...] = ()
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    cached: int | None = None
    future: Future[Sampled] = field(default_factory=Future)
    stream: Stream = field(init=False)

    def __post_init__(self) -> None:
        self.stream = Stream(self.settings.seed, len(self.prompt))

    def append(self, token: int, logprob: float) -> Literal["stop", "length"] | None:
        """Take the next token; why the answer ends with it, if it does."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        if token in self.stop_ids or (self.stopped is not None and self.stopped(self.tokens)):
            return "stop"
        return "length" if len(self.tokens) >= self.limit else None


class Batch(Protocol):
    """Sequences that are decoded together: `RaggedBatch` or `PaddedBatch`."""

    def __len__(self) -> int: ...

    def room(self, lengths: Sequence[int]) -> int: ...

    def crowded(self) -> bool: ...

    def admit(self, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, list[int]]: ...

    def step(self, tokens: Sequence[int]) -> torch.Tensor: ...

    def drop(self, row: int, *, keep: bool = True) -> None: ...

    def clear(self) -> None: ...


class Sampler:
    """The queue, the batch, and the thread that works on them."""

    def __init__(self, batch: Batch, device: torch.device, policy_version: str, name: str) -> None:
        self._batch, self._device, self._name = batch, device, name
        self.policy_version = policy_version
        self._waiting: deque[Request] = deque()
        self._active: list[Request] = []
        self._drawer: Drawer | None = None
        self._wake = threading.Condition()
        self._held = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, request: Request) -> Future[Sampled]:
        """Queue a request. Cancelling its future takes it out at the next step."""
        with self._wake:
            if self._closed:
                raise ModelUnavailable(f"{self._name} was closed.")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"sample {self._name}", daemon=True)
                self._thread.start()
            self._waiting.append(request)
            self._wake.notify_all()
        return request.future

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let the answers in progress finish, and start no others until the block ends."""
        with self._wake:
            self._held += 1
            self._wake.wait_for(lambda: not self._active)
        try:
            yield
        finally:
            with self._wake:
                self._held -= 1
                self._wake.notify_all()

    def forget(self) -> None:
        """Drop what is cached; only while held, after the weights have changed."""
        self._batch.clear()

    def close(self) -> None:
        """End the thread; what is queued or in progress is cancelled. A second call does nothing."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _work(self) -> None:
        while self._await_work():
            try:
                with torch.inference_mode():
                    self._turn()
            except Exception as error:
                self._fail(error)
        with self._wake:
            for request in (*self._active, *self._waiting):
                request.future.cancel()
            self._active.clear()
            self._waiting.clear()
            self._batch.clear()
            self._wake.notify_all()

    def _await_work(self) -> bool:
        """Wait until there is something to do, and for the requests that follow on its heels; False at the end."""
        with self._wake:
            self._wake.wait_for(lambda: self._closed or self._active or (self._waiting and not self._held))
            queued = 0
            while not self._closed and not self._active and queued < len(self._waiting):
                queued = len(self._waiting)
                self._wake.wait(_LINGER)
            return not self._closed

    def _turn(self) -> None:
        """Let requests in, sample the first token of each, then one more token of all others."""
        self._drop_cancelled()
        while self._batch.crowded():
            self._send_back()
        going_on = len(self._active)
        newcomers = self._let_in()
        if newcomers:
            prompts = [(*request.prompt, *request.tokens) for request in newcomers]
            logits, cached = self._batch.admit(prompts)
            for request, kept in zip(newcomers, cached, strict=True):
                request.cached = kept if request.cached is None else request.cached
            self._take(newcomers, logits, Drawer([r.settings for r in newcomers], self._device), going_on)
        elif self._active:
            logits = self._batch.step([request.tokens[-1] for request in self._active])
            if self._drawer is None:
                self._drawer = Drawer([request.settings for request in self._active], self._device)
            self._take(list(self._active), logits, self._drawer, 0)

    def _take(self, requests: list[Request], logits: torch.Tensor, drawer: Drawer, first: int) -> None:
        """Draw a token for each of the requests, whose rows begin at `first`; let the finished ones leave."""
        forced = [r.forced[len(r.tokens)] if len(r.tokens) < len(r.forced) else None for r in requests]
        tokens, logprobs = drawer.draw(logits, [request.stream.next() for request in requests], forced)
        ends = [r.append(token, value) for r, token, value in zip(requests, tokens, logprobs, strict=True)]
        for index in reversed(range(len(requests))):
            end = ends[index]
            if end is not None:
                self._leave(first + index)
                self._deliver(requests[index], end)

    def _let_in(self) -> list[Request]:
        """Move what fits from the queue into the active requests."""
        with self._wake:
            waiting = [request for request in self._waiting if not request.future.cancelled()]
            lengths = [len(request.prompt) + len(request.tokens) for request in waiting]
            number = 0 if self._held else self._batch.room(lengths)
            self._waiting = deque(waiting[number:])
            self._active += waiting[:number]
            if number:
                self._drawer = None
            return waiting[:number]

    def _send_back(self) -> None:
        """Return the youngest sequence to the head of the queue."""
        request = self._active[-1]
        self._leave(len(self._active) - 1)
        with self._wake:
            self._waiting.appendleft(request)

    def _drop_cancelled(self) -> None:
        for row in reversed(range(len(self._active))):
            if self._active[row].future.cancelled():
                self._leave(row)

    def _leave(self, row: int) -> None:
        """Take a row out of the batch and of the active requests; the last one takes its place in both."""
        self._batch.drop(row)
        self._drawer = None
        with self._wake:
            self._active[row] = self._active[-1]
            self._active.pop()
            if not self._active:
                self._wake.notify_all()

    def _deliver(self, request: Request, finish: Literal["stop", "length"]) -> None:
        result = Sampled(
            tuple(request.tokens), tuple(request.logprobs), finish, request.cached or 0, self.policy_version
        )
        with contextlib.suppress(InvalidStateError):
            request.future.set_result(result)

    def _fail(self, error: Exception) -> None:
        """Answer everything in progress (or all that waits, if that is what fails) with the error; go on empty."""
        explained = error if isinstance(error, ArenaError) else ModelUnavailable(f"{self._name} failed: {error!r}")
        explained.__cause__ = error if explained is not error else None
        with self._wake:
            failed = list(self._active or self._waiting)
            (self._active or self._waiting).clear()
            self._drawer = None
            self._batch.clear()
            self._wake.notify_all()
        for request in failed:
            with contextlib.suppress(InvalidStateError):
                request.future.set_exception(explained)
