"""A synchronous face for any sandbox, with a loop thread of its own: for scripts, tests and threads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from arena.sandboxes._pool import Pool
from arena.sandboxes.bubblewrap import Bubblewrap
from arena.sandboxes.interface import Sandbox, Shell, Snapshot
from arena.sandboxes.results import Download, ExecResult, Stats
from arena.sandboxes.spec import SandboxSpec

__all__ = ["SyncPool", "SyncSandbox", "SyncShell"]

T = TypeVar("T")


class SyncSandbox:
    """The methods of `Sandbox`, each of which waits; arguments and errors are the same.

    Args:
        spec: what the sandbox is made of; the defaults without one.
        back_end: the class that makes it.
    """

    def __init__(self, spec: SandboxSpec | None = None, back_end: type[Sandbox] = Bubblewrap) -> None:
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            self.inner = self._portal.call(back_end.create, spec or SandboxSpec())
            stack.callback(self._portal.call, self.inner.close)
            self._stack = stack.pop_all()

    @classmethod
    def _of(cls, inner: Sandbox, portal: BlockingPortal) -> Self:
        """A face for a sandbox that lives in the loop of `portal`, which outlives it."""
        self = cls.__new__(cls)
        self.inner, self._portal, self._stack = inner, portal, ExitStack()
        self._stack.callback(portal.call, inner.close)
        return self

    def exec(self, command: str | Sequence[str], **options: Any) -> ExecResult:
        """As `Sandbox.exec`."""
        return self._wait(self.inner.exec, command, **options)

    def shell(self) -> SyncShell:
        """As `Sandbox.shell`."""
        return SyncShell(self._wait(self.inner.shell), self._wait)

    def read(self, path: str, **options: Any) -> bytes:
        """As `Sandbox.read`."""
        return self._wait(self.inner.read, path, **options)

    def write(self, path: str, content: bytes | str) -> None:
        """As `Sandbox.write`."""
        self._wait(self.inner.write, path, content)

    def upload(self, source: Path, target: str = ".") -> None:
        """As `Sandbox.upload`."""
        self._wait(self.inner.upload, source, target)

    def download(self, source: str, target: Path, **options: Any) -> Download:
        """As `Sandbox.download`."""
        return self._wait(self.inner.download, source, target, **options)

    def snapshot(self) -> Snapshot:
        """As `Sandbox.snapshot`."""
        return self._wait(self.inner.snapshot)

    def restore(self, snapshot: Snapshot) -> None:
        """As `Sandbox.restore`."""
        self._wait(self.inner.restore, snapshot)

    def pause(self) -> None:
        """As `Sandbox.pause`."""
        self._wait(self.inner.pause)

    def resume(self) -> None:
        """As `Sandbox.resume`."""
        self._wait(self.inner.resume)

    def stats(self) -> Stats:
        """As `Sandbox.stats`."""
        return self.inner.stats()

    def close(self) -> None:
        """As `Sandbox.close`."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, method: Callable[..., Awaitable[T]], *arguments: Any, **options: Any) -> T:
        return self._portal.call(partial(method, *arguments, **options))


class SyncShell:
    """The methods of `Shell`, each of which waits."""

    def __init__(self, inner: Shell, wait: Callable[..., Any]) -> None:
        self.inner = inner
        self._wait = wait

    def run(self, command: str, **options: Any) -> ExecResult:
        """As `Shell.run`."""
        result: ExecResult = self._wait(self.inner.run, command, **options)
        return result

    def close(self) -> None:
        """As `Shell.close`."""
        self._wait(self.inner.close)


class SyncPool:
    """A `Pool` for threads: `take` brings a `SyncSandbox`. Arguments are those of `Pool`, with no preparation."""

    def __init__(self, back_end: type[Sandbox], spec: SandboxSpec | None = None, **options: Any) -> None:
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            self.inner = self._portal.call(partial(self._make, back_end, spec, **options))
            stack.callback(self._portal.call, self.inner.close)
            self._portal.call(self.inner.fill)
            self._stack = stack.pop_all()

    def take(self) -> SyncSandbox:
        """As `Pool.take`; to be closed before the pool is."""
        return SyncSandbox._of(self._portal.call(self.inner.take), self._portal)

    def close(self) -> None:
        """As `Pool.close`."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    async def _make(back_end: type[Sandbox], spec: SandboxSpec | None, **options: Any) -> Pool:
        return Pool(back_end, spec, **options)
