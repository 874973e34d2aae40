"""One writer per run: a lock on `run.lock` that ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from functools import cache
from pathlib import Path

from arena.core.errors import RunLocked

_held: weakref.WeakSet[RunLock] = weakref.WeakSet()


class RunLock:
    """The right to write to a run folder.

    Raises:
        RunLocked: another process, or another writer of this one, holds it; says which.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / "run.lock", os.O_RDWR | os.O_CREAT, 0o644)
        for wait in (0.01, 0.05, None):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if wait is None:
                    holder = _holder(self._descriptor)
                    os.close(self._descriptor)
                    raise RunLocked(
                        f"{folder} is being written by {holder}. Wait until it ends, or end it, and try again."
                    ) from error
                time.sleep(wait)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        _watch_forks()
        _held.add(self)

    def release(self) -> None:
        """Let the next writer in; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        _held.discard(self)


@cache
def _watch_forks() -> None:
    os.register_at_fork(after_in_child=_let_go)


def _let_go() -> None:
    """In a forked child: a lock must not outlive the process that took it."""
    for lock in list(_held):
        lock.release()


def writer_of(folder: Path) -> str | None:
    """Who is writing to the run just now, such as `process 1234`; None if nobody is."""
    try:
        descriptor = os.open(folder / "run.lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def _holder(descriptor: int) -> str:
    pid = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
    return f"process {pid}" if pid else "another process"
