"""Progress on standard error, and what Ctrl-C does while episodes run."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING, Any

from arena.cli._console import notice

if TYPE_CHECKING:
    from arena.evaluation import Progress
    from arena.rollout import Engine

_SAID = {
    "drain": "Interrupted: the episodes in flight go on to their end. Ctrl-C again stops them.\n",
    "stop": "Stopping: the episodes in flight are recorded as cancelled.\n",
    "leave": "",
}
"""what a step says when it begins"""


class ProgressLine:
    """One line that is rewritten on a terminal; elsewhere a plain line every ten seconds, and one at the end."""

    def __init__(self, every: float = 10.0) -> None:
        self._terminal = sys.stderr.isatty()
        self._every = 0.1 if self._terminal else every
        self._last = 0.0 if self._terminal else time.monotonic()
        self._text = ""

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def show(self, progress: Progress) -> None:
        """Called before the first episode and after every one."""
        self.write(progress.line(), always=not progress.rate or progress.done >= progress.asked)

    def write(self, text: str, *, always: bool = False) -> None:
        """Replace the line; unless `always`, not every time where that would be too often."""
        now = time.monotonic()
        if now - self._last < self._every and not always:
            return
        self._last = now
        if self._terminal:
            # A line that does not fit would fold, and its first half could never be rewritten.
            self._text = text[: shutil.get_terminal_size().columns - 1]
            sys.stderr.write(f"\r\033[K{self._text}")
        else:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line off the terminal."""
        if self._text:
            self._text = ""
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


class Interrupts:
    """Ctrl-C while an engine runs: once lets the episodes in flight end, twice stops them, three times gives up.

    A termination signal stops them at once: who sends it does not wait. The handlers are Python's and not the
    event loop's, so they also work while an environment keeps the loop busy.

    Args:
        patient: False for a person who plays: Ctrl-C stops at once.

    Attributes:
        happened: whether there was one.
    """

    def __init__(self, *, patient: bool = True) -> None:
        self.happened = False
        self._steps = ["drain", "stop", "abandon"] if patient else ["leave", "abandon"]
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[int, Any] = {}

    def watch(self, engine: Engine) -> None:
        """From now on signals are this engine's."""
        self._engine, self._loop = engine, asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before.setdefault(number, signal.signal(number, self._handle))

    def __enter__(self) -> Interrupts:
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.happened = True
        if number == signal.SIGTERM and self._steps[0] == "drain":
            self._steps.pop(0)
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        engine, loop = self._engine, self._loop
        if step == "abandon" or engine is None or loop is None:
            raise KeyboardInterrupt
        # Written past the buffers: the handler may have come in the middle of another write.
        os.write(2, f"\n{_SAID[step]}".encode())
        loop.call_soon_threadsafe(engine.drain if step == "drain" else engine.cancel)


class RetryNotices(logging.Handler):
    """Says that a model's server is asked again and why, at most once in some seconds."""

    def __init__(self, every: float = 5.0) -> None:
        super().__init__(logging.WARNING)
        self._every = every
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Show a retry that stamina has scheduled."""
        now = time.monotonic()
        if now >= self._next and record.msg == "stamina.retry_scheduled":
            self._next = now + self._every
            details = record.__dict__
            notice(f"Asking again in {details['stamina.wait_for']:g} s: {details['stamina.caused_by']}")
