"""Worker processes for environments that are heavy on the CPU or not thread-safe.

A worker serves several environments, one call at a time, so that a library's import is paid once a
process and never meets a second thread. A worker that dies or has to be killed takes its
environments with it; their episodes end as infrastructure errors, which the engine tries again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, cast

from arena.core.env import RawObservation, StepResult
from arena.core.errors import InfrastructureError
from arena.core.registry import Registration
from arena.rollout.threads import OwnThread


class WorkerPool:
    """At most `size` worker processes, started when needed, each environment on the least busy one."""

    def __init__(self, size: int | None = None) -> None:
        self._size = size or os.cpu_count() or 1
        self._workers: list[Worker] = []

    async def open(self, known: Registration, params: dict[str, Any]) -> ProcessHost:
        """Make an environment in a worker."""
        self._workers = [worker for worker in self._workers if worker.alive]
        if len(self._workers) < self._size and all(worker.environments for worker in self._workers):
            self._workers.append(Worker())
        worker = min(self._workers, key=lambda worker: len(worker.environments))
        host = ProcessHost(worker, worker.reserve())
        try:
            await host.call("make", known, params)
        except BaseException:
            worker.environments.discard(host.number)
            raise
        return host

    def close(self) -> None:
        """End every worker; a second call does nothing."""
        for worker in self._workers:
            worker.stop()
        self._workers.clear()


class Worker:
    """One child process and the thread that speaks with it."""

    def __init__(self) -> None:
        ours, theirs = Pipe()
        command = [sys.executable, "-m", "arena.rollout._worker", str(theirs.fileno())]
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        self._process = subprocess.Popen(
            command,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            # What an environment prints must not end up in the engine's output.
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            # Ctrl-C goes to the engine alone, which decides what happens to the worker.
            start_new_session=True,
        )
        theirs.close()
        self._connection: Connection[Any, Any] = ours
        self._thread = OwnThread("arena-worker")
        self._count = 0
        self._stopped = False
        self.environments: set[int] = set()

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def reserve(self) -> int:
        """A number for a new environment in this worker."""
        self._count += 1
        self.environments.add(self._count)
        return self._count

    async def ask(self, request: tuple[Any, ...], timeout: float | None = None) -> Any:
        """One request and its answer; a worker that hangs, or whose answer nobody waits for any more, is killed.

        Args:
            request: method, number of the environment, arguments.
            timeout: seconds the worker may take, from when it begins.

        Raises:
            CallTimeout: it took longer.
            InfrastructureError: the worker is gone.
        """
        answer, error = await self._thread.run(lambda: self._exchange(request), timeout, on_abandoned=self.stop)
        if error is not None:
            raise error
        return answer

    def _exchange(self, request: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
        try:
            self._connection.send(request)
            return cast("tuple[Any, BaseException | None]", self._connection.recv())
        except (EOFError, OSError) as error:
            code = self._process.wait()
            why = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
            raise InfrastructureError(f"The worker process of this environment {why}.") from error

    def stop(self) -> None:
        """Kill the process and what it started, and forget it; a second call does nothing."""
        if self._stopped:
            return
        self._stopped = True
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._thread.then(self._connection.close)
        self._thread.end()


class ProcessHost:
    """One environment in a worker; see `hosts.Host`."""

    def __init__(self, worker: Worker, number: int) -> None:
        self._worker = worker
        self.number = number

    async def call(self, method: str, *args: Any, timeout: float | None = None) -> Any:
        """Call a method of the environment's host in the worker."""
        if not self._worker.alive:
            raise InfrastructureError("The worker process of this environment was stopped.")
        return await self._worker.ask((method, self.number, *args), timeout)

    async def reset(
        self, seed: int, options: dict[str, Any], timeout: float | None = None
    ) -> tuple[RawObservation, dict[str, Any]]:
        """As `Env.reset`."""
        return await self.call("reset", seed, options, timeout=timeout)  # type: ignore[no-any-return]

    async def step(self, action: str, timeout: float | None = None) -> StepResult:
        """As `Env.step`."""
        return await self.call("step", action, timeout=timeout)  # type: ignore[no-any-return]

    async def conclude(self, reason: str, timeout: float | None = None) -> tuple[float, dict[str, Any]]:
        """As `Env.conclude`."""
        return await self.call("conclude", reason, timeout=timeout)  # type: ignore[no-any-return]

    async def has(self, protocol: type[Any]) -> bool:
        """Whether the environment has an ability."""
        return await self.call("has", protocol)  # type: ignore[no-any-return]

    async def use(self, protocol: type[Any], method: str, *args: Any) -> Any:
        """Call a method of an ability the environment has."""
        return await self.call("use", protocol, method, *args)

    async def close(self) -> None:
        """As `Env.close`; with a worker that was killed there is nothing left to close."""
        if self.number in self._worker.environments:
            self._worker.environments.discard(self.number)
            if self._worker.alive:
                await self.call("close")
