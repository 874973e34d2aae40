"""Requests and tokens per minute, shared by every episode of this process."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio

_BURST_SECONDS = 1.0
"""A limiter that stood idle lets this much of a minute's budget through at once."""


class _Bucket:
    """Virtual scheduling: `free_at` is when all that was reserved so far will have been worked off.

    Reserving is one step without waiting, so tasks are served in the order they asked (the generic cell
    rate algorithm, ITU-T I.371, with reservations instead of rejections).
    """

    def __init__(self, per_minute: float) -> None:
        self.seconds_each = 60.0 / per_minute
        self.free_at = 0.0

    def reserve(self, amount: float, now: float) -> float:
        """Book `amount` and return when it may start."""
        start = max(self.free_at, now - _BURST_SECONDS)
        self.free_at = start + amount * self.seconds_each
        return max(start, now)

    def give_back(self, amount: float) -> None:
        """Return what was booked and not used; a negative amount books more."""
        self.free_at -= amount * self.seconds_each


class RateLimit:
    """Admits requests no faster than `requests` and `tokens` per minute; None is no limit.

    Tokens are booked by an estimate before a request and corrected by what it used.
    """

    def __init__(self, requests: float | None = None, tokens: float | None = None) -> None:
        self._requests = _Bucket(requests) if requests else None
        self._tokens = _Bucket(tokens) if tokens else None

    @asynccontextmanager
    async def turn(self, expected: int) -> AsyncGenerator[Callable[[int], None], None]:
        """Wait for one's turn; inside, report the tokens used by calling what is yielded.

        Where nothing is reported the request failed, and its tokens are given back.
        """
        used = 0

        def report(tokens: int) -> None:
            nonlocal used
            used = tokens

        try:
            await self._wait(expected)
            yield report
        finally:
            if self._tokens:
                self._tokens.give_back(expected - used)

    async def _wait(self, expected: int) -> None:
        now = time.monotonic()
        starts = [self._requests.reserve(1, now)] if self._requests else []
        starts += [self._tokens.reserve(expected, now)] if self._tokens else []
        delay = max(starts, default=now) - now
        if delay <= 0:
            return
        try:
            await anyio.sleep(delay)
        except BaseException:
            if self._requests:
                self._requests.give_back(1)
            raise
