"""What pages use of the machine, seen from outside of them: memory of their processes, and windows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.async_api import CDPSession, Error

__all__ = ["LIMIT", "MemoryGuard", "Windows"]

LIMIT = 1 << 30
"""Resident bytes of one page's process."""

_PERIOD = 0.2
"""Seconds between two looks: a page fills about 300 MB in that time at most."""

_MOMENT = 2.0
"""Seconds within which the crash of a page is put down to a process that was ended here."""

_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


class MemoryGuard:
    """Watches the processes of one Chromium; without `/proc` it sees nothing (the limit of a script's heap remains)."""

    def __init__(self, line: CDPSession) -> None:
        self._line = line
        self._ended = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch until `stop`."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def stop(self) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()

    def just_ended_one(self) -> bool:
        """Whether a process was ended a moment ago."""
        return time.monotonic() - self._ended < _MOMENT

    async def sizes(self, kind: str | None = None) -> dict[int, int]:
        """Process id -> resident bytes, of all processes of Chromium or of one kind (`renderer`)."""
        told = await self._line.send("SystemInfo.getProcessInfo")
        return {
            process["id"]: _resident(process["id"])
            for process in told["processInfo"]
            if kind is None or process["type"] == kind
        }

    async def _watch(self) -> None:
        with contextlib.suppress(Error):
            while True:
                await asyncio.sleep(_PERIOD)
                for process, size in (await self.sizes("renderer")).items():
                    if size > LIMIT:
                        self._ended = time.monotonic()
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(process, signal.SIGKILL)


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_SIZE
    except (OSError, IndexError, ValueError):
        return 0


class Windows:
    """Counts the windows of each context as Chromium makes them, long before their pages answer."""

    def __init__(self) -> None:
        self._open: dict[str, str] = {}
        self._watched: dict[str, Callable[[int], Any]] = {}

    async def listen(self, line: CDPSession) -> None:
        """Count what this browser reports."""
        self._open.clear()
        line.on("Target.targetCreated", self._created)
        line.on("Target.targetDestroyed", self._destroyed)
        await line.send("Target.setDiscoverTargets", {"discover": True})

    def watch(self, context: str, tell: Callable[[int], Any]) -> None:
        """Call `tell` with the number of windows of a context whenever it changes."""
        self._watched[context] = tell

    def unwatch(self, context: str) -> None:
        """Call nobody any more."""
        self._watched.pop(context, None)

    def _created(self, event: dict[str, Any]) -> None:
        told = event["targetInfo"]
        context = told.get("browserContextId", "")
        if told["type"] == "page" and context:
            self._open[told["targetId"]] = context
            self._tell(context)

    def _destroyed(self, event: dict[str, Any]) -> None:
        self._tell(self._open.pop(event["targetId"], ""))

    def _tell(self, context: str) -> None:
        if context in self._watched:
            self._watched[context](sum(other == context for other in self._open.values()))
