"""A Playwright page that lives on another thread's loop, for code that was written for the synchronous API."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["in_thread", "synchronous"]

_MODULE = "playwright.async_api"


def synchronous(thing: Any, loop: asyncio.AbstractEventLoop) -> Any:
    """Playwright's objects with methods that wait; other values as they are.

    Args:
        thing: what is wrapped, and whatever its methods return.
        loop: where it lives; the wrapped methods are called on other threads.
    """
    if isinstance(thing, list):
        return [synchronous(item, loop) for item in thing]
    return _Waiting(thing, loop) if type(thing).__module__.startswith(_MODULE) else thing


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function that may use synchronous pages on a thread, or await it where it is a coroutine function.

    Args:
        function: what is called.
        arguments: Playwright's objects among them are handed over synchronous to a plain function.
    """
    if inspect.iscoroutinefunction(function):
        return await function(*arguments)
    loop = asyncio.get_running_loop()
    given = [synchronous(argument, loop) for argument in arguments]
    return await asyncio.to_thread(function, *given)


class _Waiting:
    """One object of Playwright, each of whose methods waits for its result."""

    def __init__(self, thing: Any, loop: asyncio.AbstractEventLoop) -> None:
        object.__setattr__(self, "_thing", thing)
        object.__setattr__(self, "_loop", loop)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._thing, name)
        return self._waits(value) if callable(value) else synchronous(value, self._loop)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"Playwright's objects have no settable attribute {name!r}.")

    def _waits(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def there(arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
            result = method(*map(_bare, arguments), **{key: _bare(value) for key, value in named.items()})
            return await result if inspect.isawaitable(result) else result

        def call(*arguments: Any, **named: Any) -> Any:
            future = asyncio.run_coroutine_threadsafe(there(arguments, named), self._loop)
            return synchronous(future.result(), self._loop)

        return call


def _bare(value: Any) -> Any:
    return value._thing if isinstance(value, _Waiting) else value
