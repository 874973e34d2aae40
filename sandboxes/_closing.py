"""Ends that are not left half way: whoever is cancelled while something of theirs closes waits until it has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
Self = TypeVar("Self")


def to_the_end(
    method: Callable[Concatenate[Self, P], Coroutine[Any, Any, None]],
) -> Callable[Concatenate[Self, P], Coroutine[Any, Any, None]]:
    """Make a coroutine function one that a cancellation of its caller delays and does not interrupt.

    Half a `close` would leave processes and open files behind, and a second one does nothing.
    """

    @wraps(method)
    async def whole(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> None:
        task = asyncio.ensure_future(method(self, *args, **kwargs))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait((task,))
            if not task.cancelled():
                task.exception()  # the cancellation comes first; an error unheard would be reported as forgotten
            raise

    return whole
