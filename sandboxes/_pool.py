"""Sandboxes made ahead: the slow part is over when one is asked for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from arena.core.errors import UsageError
from arena.sandboxes.interface import Sandbox
from arena.sandboxes.spec import SandboxSpec

__all__ = ["Pool"]


class Pool:
    """Keeps `size` sandboxes ready. Each is used once: whoever takes one closes it, and another is made meanwhile.

    Use it as an async context manager, or `close` it. It belongs to the event loop it is first used in.

    Args:
        back_end: the class that makes them.
        spec: what they are made of.
        size: how many are kept ready.
        makers: how many are made at the same time.
        prepare: done to each ahead, such as an upload, or a first command of the shell.
    """

    def __init__(
        self,
        back_end: type[Sandbox],
        spec: SandboxSpec | None = None,
        *,
        size: int = 4,
        makers: int = 2,
        prepare: Callable[[Sandbox], Awaitable[object]] | None = None,
    ) -> None:
        if size < 1 or makers < 1:
            raise UsageError(f"A pool has at least one sandbox and one maker, not {size} and {makers}.")
        self.back_end = back_end
        self.spec = spec or SandboxSpec()
        self.size = size
        self._makers = asyncio.Semaphore(makers)
        self._prepare = prepare
        self._ready: deque[Sandbox] = deque()
        self._making: set[asyncio.Task[None]] = set()
        self._made = asyncio.Condition()
        self._waiting = 0
        self._error: Exception | None = None
        self._closed = False

    @property
    def ready(self) -> int:
        """How many could be taken now."""
        return len(self._ready)

    async def fill(self) -> None:
        """Wait until all are ready.

        Raises:
            Exception: what `create` or `prepare` raised.
        """
        self._check_open()
        self._refill()
        async with self._made:
            await self._made.wait_for(lambda: len(self._ready) >= self.size or self._error or not self._making)
        self._raise_error()

    async def take(self) -> Sandbox:
        """A sandbox that nobody has used; the caller closes it. One that has died in the pool is thrown away.

        Raises:
            Exception: what `create` or `prepare` raised, where none is left.
        """
        self._check_open()
        while True:
            if self._ready:
                sandbox = self._ready.popleft()
                if await sandbox.alive():
                    self._refill()
                    return sandbox
                await sandbox.close()
                continue
            self._waiting += 1
            try:
                self._refill()
                async with self._made:
                    await self._made.wait_for(lambda: self._ready or self._error or self._closed)
            finally:
                self._waiting -= 1
            self._check_open()
            if not self._ready:
                self._raise_error()

    async def drain(self) -> None:
        """Close those that are ready or in the making; the next `take` begins anew."""
        for task in list(self._making):
            task.cancel()
        await asyncio.gather(*self._making, return_exceptions=True)
        ready, self._ready = list(self._ready), deque()
        await asyncio.gather(*(sandbox.close() for sandbox in ready))

    async def close(self) -> None:
        """Drain it for good; a second call does nothing. Sandboxes that were taken stay."""
        self._closed = True
        await self.drain()
        async with self._made:
            self._made.notify_all()

    async def __aenter__(self) -> Self:
        await self.fill()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _refill(self) -> None:
        for _ in range(self.size + self._waiting - len(self._ready) - len(self._making)):
            task = asyncio.get_running_loop().create_task(self._make())
            self._making.add(task)
            task.add_done_callback(self._making.discard)

    async def _make(self) -> None:
        try:
            async with self._makers:
                sandbox = await self.back_end.create(self.spec)
                try:
                    if self._prepare:
                        await self._prepare(sandbox)
                except BaseException:
                    await sandbox.close()
                    raise
                self._ready.append(sandbox)
        except Exception as error:  # whoever waits for a sandbox must hear of it
            self._error = error
        async with self._made:
            self._made.notify_all()

    def _raise_error(self) -> None:
        if self._error:
            error, self._error = self._error, None
            raise error

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("This pool is closed.")
