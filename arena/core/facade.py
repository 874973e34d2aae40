"""A synchronous face for an `AsyncEnv`, with a loop thread of its own: safe in scripts, threads and notebooks."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import gymnasium

from arena.core.env import AsyncEnv, RawObservation, StepResult
from arena.core.registry import load

T = TypeVar("T")


class SyncFacade(gymnasium.Env[RawObservation, str]):
    """Runs the coroutines of `inner` on one thread that lives as long as this object."""

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, inner: AsyncEnv) -> None:
        self.inner = inner
        self.observation_space = inner.observation_space
        self.action_space = inner.action_space
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"{type(inner).__name__} loop", daemon=True)
        self._thread.start()

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
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def ability(self, protocol: type[T]) -> T | None:
        """The environment's ability, its coroutine methods made synchronous."""
        return _Synchronous(self) if isinstance(self.inner, protocol) else None  # type: ignore[return-value]

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


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
