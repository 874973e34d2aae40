"""A synchronous face for an `AsyncEnv`, with a loop thread of its own: safe in scripts, threads and notebooks."""

from __future__ import annotations

import asyncio
import inspect
import threading
import weakref
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import gymnasium

from arena.core.env import AsyncEnv, RawObservation, StepResult
from arena.core.errors import ResetNeeded
from arena.core.registry import load

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")


class SyncFacade(gymnasium.Env[RawObservation, str]):
    """Runs the coroutines of `inner` on one thread that lives as long as this object."""

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, inner: AsyncEnv) -> None:
        self.inner = inner
        self.observation_space = inner.observation_space
        self.action_space = inner.action_space
        self._loop = asyncio.new_event_loop()
        name = f"{type(inner).__name__} loop"
        self._thread = threading.Thread(target=_run, args=(self._loop,), name=name, daemon=True)
        self._thread.start()
        weakref.finalize(self, _stop, self._loop)

    @property
    def _np_random(self) -> np.random.Generator | None:  # type: ignore[override]
        return getattr(self.inner, "np_random", None)

    @property
    def _np_random_seed(self) -> int | None:  # type: ignore[override]
        return getattr(self.inner, "np_random_seed", None)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[RawObservation, dict[str, Any]]:
        """As `Env.reset`."""
        return self._wait(self.inner.reset(seed=seed, options=options))

    def step(self, action: str) -> StepResult:
        """As `Env.step`."""
        return self._wait(self.inner.step(action))

    def conclude(self, reason: str) -> tuple[float, dict[str, Any]]:
        """As `Env.conclude`."""
        return self._wait(self.inner.conclude(reason))

    def close(self) -> None:
        """Close the environment and end the thread; a second call does nothing."""
        if self._thread.is_alive():
            self._wait(self.inner.close())
            _stop(self._loop)
            self._thread.join()

    def ability(self, protocol: type[T]) -> T | None:
        """The environment's ability, its coroutine methods made synchronous."""
        return _Synchronous(self) if isinstance(self.inner, protocol) else None  # type: ignore[return-value]

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if not self._thread.is_alive():
            coroutine.close()
            raise ResetNeeded("This environment is closed: make a new one.")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # an interrupt ends the wait, and must not leave the coroutine running
            raise


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)


class _Synchronous:
    """The attributes of the inner environment, with coroutine functions waited for."""

    def __init__(self, facade: SyncFacade) -> None:
        self._facade = facade

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._facade.inner, name)
        if not inspect.iscoroutinefunction(value):
            return value
        return lambda *args, **kwargs: self._facade._wait(value(*args, **kwargs))


def make(inner: str, **params: Any) -> SyncFacade:
    """Entry point that Gymnasium calls for an environment registered as `async`."""
    return SyncFacade(load(inner)(**params))
