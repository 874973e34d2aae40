"""Where environments run: one asynchronous face over the four execution classes.

`inline` calls the environment on the event loop, `thread` on one thread that lives as long as the
environment, `process` in a worker process, `async` awaits its coroutines. What an environment raises
becomes `EnvironmentFailure`, a lost worker `InfrastructureError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar, cast

from arena.core.env import RawObservation, StepResult, ability
from arena.core.errors import EnvironmentFailure, InfrastructureError, MissingPrerequisite, UsageError
from arena.core.model import Model
from arena.core.registry import Registration, make_raw
from arena.core.task import Task
from arena.rollout.threads import CallTimeout, OwnThread
from arena.rollout.workers import WorkerPool

T = TypeVar("T")


class Host(Protocol):
    """One environment, wherever it runs.

    `timeout` is in seconds of the call itself; `CallTimeout` says that it took longer. An `inline`
    environment cannot be interrupted.
    """

    async def reset(
        self, seed: int, options: dict[str, Any], timeout: float | None = None
    ) -> tuple[RawObservation, dict[str, Any]]:
        """As `Env.reset`."""
        ...

    async def step(self, action: str, timeout: float | None = None) -> StepResult:
        """As `Env.step`."""
        ...

    async def conclude(self, reason: str, timeout: float | None = None) -> tuple[float, dict[str, Any]]:
        """As `Env.conclude`."""
        ...

    async def has(self, protocol: type[Any]) -> bool:
        """Whether the environment has an ability."""
        ...

    async def use(self, protocol: type[Any], method: str, *args: Any) -> Any:
        """Call a method of an ability the environment has."""
        ...

    async def close(self) -> None:
        """As `Env.close`; a second call does nothing."""
        ...


class InlineHost:
    """Runs the environment where it is called: for pure Python that takes microseconds."""

    def __init__(self, env: Any) -> None:
        self._env = env

    async def reset(
        self, seed: int, options: dict[str, Any], timeout: float | None = None
    ) -> tuple[RawObservation, dict[str, Any]]:
        """As `Env.reset`."""
        with blaming_environment(UsageError):
            return self._env.reset(seed=seed, options=options)  # type: ignore[no-any-return]

    async def step(self, action: str, timeout: float | None = None) -> StepResult:
        """As `Env.step`."""
        with blaming_environment():
            return self._env.step(action)  # type: ignore[no-any-return]

    async def conclude(self, reason: str, timeout: float | None = None) -> tuple[float, dict[str, Any]]:
        """As `Env.conclude`."""
        with blaming_environment():
            return self._env.conclude(reason)  # type: ignore[no-any-return]

    async def has(self, protocol: type[Any]) -> bool:
        """Whether the environment has an ability."""
        return ability(self._env, protocol) is not None

    async def use(self, protocol: type[Any], method: str, *args: Any) -> Any:
        """Call a method of an ability the environment has."""
        with blaming_environment():
            return getattr(ability(self._env, protocol), method)(*args)

    async def close(self) -> None:
        """As `Env.close`."""
        with blaming_environment():
            self._env.close()


class AsyncHost:
    """Awaits an `AsyncEnv` on the engine's own loop."""

    def __init__(self, env: Any) -> None:
        self._env = env

    async def reset(
        self, seed: int, options: dict[str, Any], timeout: float | None = None
    ) -> tuple[RawObservation, dict[str, Any]]:
        """As `Env.reset`."""
        with blaming_environment(UsageError):
            return await _within(timeout, self._env.reset(seed=seed, options=options))

    async def step(self, action: str, timeout: float | None = None) -> StepResult:
        """As `Env.step`."""
        with blaming_environment():
            return await _within(timeout, self._env.step(action))

    async def conclude(self, reason: str, timeout: float | None = None) -> tuple[float, dict[str, Any]]:
        """As `Env.conclude`."""
        with blaming_environment():
            return await _within(timeout, self._env.conclude(reason))

    async def has(self, protocol: type[Any]) -> bool:
        """Whether the environment has an ability."""
        return isinstance(self._env, protocol)

    async def use(self, protocol: type[Any], method: str, *args: Any) -> Any:
        """Call a method of an ability, awaiting it where it is a coroutine."""
        with blaming_environment():
            result = getattr(self._env, method)(*args)
            return await result if asyncio.iscoroutine(result) else result

    async def close(self) -> None:
        """As `Env.close`."""
        with blaming_environment():
            await self._env.close()


class ThreadHost:
    """Runs every call on one thread, which made the environment and lives as long as it."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._host: InlineHost | None = None
        self._thread = OwnThread("arena-env")
        self._closed = self._hangs = False

    async def reset(
        self, seed: int, options: dict[str, Any], timeout: float | None = None
    ) -> tuple[RawObservation, dict[str, Any]]:
        """As `Env.reset`; the first call makes the environment."""
        return await self._there(lambda host: host.reset(seed, options), timeout)

    async def step(self, action: str, timeout: float | None = None) -> StepResult:
        """As `Env.step`."""
        return await self._there(lambda host: host.step(action), timeout)

    async def conclude(self, reason: str, timeout: float | None = None) -> tuple[float, dict[str, Any]]:
        """As `Env.conclude`."""
        return await self._there(lambda host: host.conclude(reason), timeout)

    async def has(self, protocol: type[Any]) -> bool:
        """Whether the environment has an ability."""
        return await self._there(lambda host: host.has(protocol))

    async def use(self, protocol: type[Any], method: str, *args: Any) -> Any:
        """Call a method of an ability the environment has."""
        return await self._there(lambda host: host.use(protocol, method, *args))

    async def close(self) -> None:
        """As `Env.close`; an environment that hangs is closed when it comes back, and nobody waits for it."""
        if self._closed:
            return
        self._closed = True
        if self._host is not None and self._hangs:
            self._thread.then(lambda: finish(self._opened().close()))
        elif self._host is not None:
            await self._there(lambda host: host.close())
        self._thread.end()

    async def _there(self, call: Callable[[InlineHost], Coroutine[Any, Any, T]], timeout: float | None = None) -> T:
        return await self._thread.run(lambda: finish(call(self._opened())), timeout, on_abandoned=self._abandon)

    def _abandon(self) -> None:
        self._hangs = True

    def _opened(self) -> InlineHost:
        if self._host is None:
            with blaming_environment(UsageError):
                self._host = InlineHost(self._make())
        return self._host


async def _within(timeout: float | None, work: Coroutine[Any, Any, T]) -> T:
    clock = asyncio.timeout(timeout)
    try:
        async with clock:
            return await work
    except TimeoutError:
        if clock.expired():
            raise CallTimeout from None
        raise


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    raise RuntimeError("an inline environment waited")


class blaming_environment:  # noqa: N801  (a context manager that reads as a phrase; a class, since it is on the hot path)
    """Turns what an environment raises into `EnvironmentFailure`.

    Failures underneath, what must be installed, and the errors named in `passing` go through as they are.
    """

    def __init__(self, *passing: type[Exception]) -> None:
        self._passing = (EnvironmentFailure, InfrastructureError, MissingPrerequisite, CallTimeout, *passing)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, self._passing):
            raise EnvironmentFailure(f"{type(error).__name__}: {error}") from error


async def open_host(
    known: Registration, task: Task, pool: WorkerPool, models: Mapping[str, Model] | None = None
) -> Host:
    """Start the environment of a task where its registration says.

    Args:
        known: its registration.
        task: gives the parameters.
        pool: worker processes, for environments that run in one.
        models: role -> model, for environments that ask for some.

    Raises:
        UsageError: a model that the environment asks for is missing.
        EnvironmentFailure: it could not be made.
        UnknownName, MissingPrerequisite: from `registry.make_raw`.
    """
    params = dict(task.params)
    if known.roles:
        if missing := [role for role in known.roles if role not in (models or {})]:
            raise UsageError(f"{known.id} needs a model as {' and '.join(missing)}: --set roles.{missing[0]}=MODEL.")
        params["models"] = {role: (models or {})[role] for role in known.roles}
    if known.execution == "process":
        return await pool.open(known, params)
    if known.execution == "thread":
        return ThreadHost(lambda: make_raw(known.id, **params))
    with blaming_environment(UsageError):
        env = make_raw(known.id, **params)
    return AsyncHost(env) if known.execution == "async" else InlineHost(env)
