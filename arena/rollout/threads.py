"""A thread that runs one call at a time and never keeps the process from ending."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class OwnThread:
    """A daemon thread: unlike a pool's, it is not waited for at exit, so a call that hangs cannot hold the process."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Future[None], Callable[[], Any]] | None] = SimpleQueue()
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    async def run(
        self, function: Callable[[], T], timeout: float | None = None, on_abandoned: Callable[[], None] | None = None
    ) -> T:
        """Call a function on the thread, after those asked for before.

        A caller who is cancelled before the call began withdraws it; one that has begun goes on to its
        end and its result is dropped.

        Args:
            function: what to call.
            timeout: seconds the call itself may take; waiting for others does not count.
            on_abandoned: called if the call has begun and nobody waits for it any more.

        Raises:
            CallTimeout: it took longer.
        """
        result: Future[T] = Future()
        begun: Future[None] = Future()
        self._calls.put((result, begun, function))
        waiting = asyncio.wrap_future(result)
        try:
            if timeout is not None:
                await asyncio.wrap_future(begun)
            clock = asyncio.timeout(timeout)
            try:
                async with clock:
                    return await asyncio.shield(waiting)
            except TimeoutError:
                if not clock.expired():
                    raise
                raise CallTimeout from None
        except (asyncio.CancelledError, CallTimeout):
            # Looked at, so that asyncio does not report the failure of a call that nobody waits for.
            waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
            if not result.cancel() and not result.done() and on_abandoned is not None:
                on_abandoned()
            raise

    def then(self, function: Callable[[], Any]) -> None:
        """Call a function after all that was asked for; nobody waits for it."""
        self._calls.put((Future(), Future(), function))

    def end(self) -> None:
        """Let the thread end when it has done all that was asked for."""
        self._calls.put(None)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            result, begun, function = call
            if not result.set_running_or_notify_cancel():
                continue
            begun.set_result(None)
            try:
                result.set_result(function())
            except BaseException as error:
                result.set_exception(error)


class CallTimeout(Exception):
    """A call took longer than it may."""
