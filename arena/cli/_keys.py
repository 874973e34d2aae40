"""Single key presses of a terminal."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import termios
import tty
from types import TracebackType
from typing import Any

_SEQUENCE = re.compile(rb"\x1b(?:\[[0-9;]*[A-Za-z~]|O[A-Za-z])")

_NAMED = {
    b"A": "up",
    b"B": "down",
    b"C": "right",
    b"D": "left",
    b"F": "end",
    b"H": "home",
    b"1~": "home",
    b"4~": "end",
    b"5~": "page up",
    b"6~": "page down",
    b"7~": "home",
    b"8~": "end",
}
"""what a terminal sends after ESC [ or ESC O -> the key's name"""


class Keys:
    """Key presses of standard input while it is entered: `read` waits for one.

    Outside, the terminal is as it was before.
    """

    def __enter__(self) -> Keys:
        self._terminal = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._terminal)
        self._typed = b""
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        # A signal that comes just before `select` waits does not end the wait; a byte that it leaves in a pipe does.
        self._told = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._resized: Any = signal.signal(signal.SIGWINCH, lambda *_: None)
        tty.setcbreak(self._terminal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)
        signal.signal(signal.SIGWINCH, self._resized)
        signal.set_wakeup_fd(self._told)
        os.close(self._woken)
        os.close(self._wake)

    def read(self) -> str:
        """The next key: a character, or the name of a key that has none; `resize` for a terminal of another size."""
        while not self._typed:
            ready, _, _ = select.select([self._terminal, self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 64)
                return "resize"
            self._more()
        if self._typed == b"\x1b" and select.select([self._terminal], [], [], 0.05)[0]:
            self._more()
        if found := _SEQUENCE.match(self._typed):
            self._typed = self._typed[found.end() :]
            return _NAMED.get(found[0][2:], "")
        text = self._typed.decode(errors="replace")
        self._typed = text[1:].encode()
        return text[0]

    def _more(self) -> None:
        # At the end of the input: Ctrl-D.
        self._typed += os.read(self._terminal, 64) or b"\x04"
