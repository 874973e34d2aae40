"""The control folder that a bubblewrap sandbox sees read-only, and the pipes in it that the host reads.

Named pipes are the way in for what a job writes: a program in the sandbox can open one by its path although it
cannot write to the folder. Each command has pipes of its own, so a process left over from an earlier command
never writes into the output of a later one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from arena.core.errors import SandboxUnavailable, UsageError

INSIDE = "/run/arena"
"""Where the control folder appears in the sandbox."""
CHUNK = 1 << 16
LINGER_SECONDS, LINGER_BYTES = 0.05, 1 << 20
"""What a process that outlives its command writes is dropped at this rate, so that it neither blocks nor floods us."""


class ControlFolder:
    """Files from the host to the sandbox, and named pipes from the sandbox to the host."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = str(path)  # several names are made for each command, and strings are quicker than paths

    def put(self, name: str, content: bytes | str | Path) -> str:
        """Make a file, of some bytes or as another name for a host file; returns its path inside."""
        if isinstance(content, Path):
            target = self.path / name
            try:
                target.hardlink_to(content)
            except OSError:  # on another file system
                target.write_bytes(content.read_bytes())
            target.chmod(0o644)
        else:
            data = os.fsencode(content) if isinstance(content, str) else content
            file = os.open(f"{self._place}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                os.fchmod(file, 0o644)
                while data:
                    data = data[os.write(file, data) :]
            finally:
                os.close(file)
        return f"{INSIDE}/{name}"

    def put_unreadable(self, name: str, program: Path) -> str:
        """Make a copy of a program that can be run and not be read; returns its path inside.

        The kernel lets nobody without further rights look into a process that runs such a program, or use its files.
        """
        copy = self.path / name
        try:
            shutil.copyfile(program, copy)
        except OSError as error:
            raise SandboxUnavailable(f"The sandbox's image has no bash that can be read: {error}") from error
        copy.chmod(0o111)
        return f"{INSIDE}/{name}"

    def pipe_out(self, name: str) -> int:
        """Make a named pipe and open the host's end for reading."""
        self._make_pipe(name, 0o622)
        return os.open(f"{self._place}/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def pipe_in(self, name: str) -> int:
        """Make a named pipe and open the host's end for writing (both ways: there is no reader yet)."""
        self._make_pipe(name, 0o644)
        return os.open(f"{self._place}/{name}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def open_out(self, name: str) -> int:
        """Open the writers' end of a pipe that `pipe_out` made."""
        return os.open(f"{self._place}/{name}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def open(self, name: str) -> int:
        """Make an empty file, to be written anew again and again; returns the host's end."""
        self.put(name, b"")
        return os.open(f"{self._place}/{name}", os.O_WRONLY | os.O_CLOEXEC)

    def _make_pipe(self, name: str, mode: int) -> None:
        path = f"{self._place}/{name}"
        os.mkfifo(path)
        os.chmod(path, mode)  # noqa: PTH101 - as above

    def remove(self, *names: str) -> None:
        """Take the names away; whoever has them open is not disturbed."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._place}/{name}")  # noqa: PTH108 - as above


def checked(text: str) -> str:
    """The text of a command.

    Raises:
        UsageError: it holds a NUL character, which no argument, path or variable can.
    """
    if "\0" in text:
        raise UsageError(f"A NUL character cannot be part of a command: {text[:80]!r}.")
    return text


def quoted(text: str) -> str:
    """One word of a shell script; as `checked`."""
    return shlex.quote(checked(text))


class Capture:
    """Reads a pipe as fast as it is written, and keeps the beginning."""

    def __init__(self, file: int, limit: int, output: BinaryIO | None = None) -> None:
        self.truncated = False
        self._file = file
        self._room = limit
        self._kept: list[bytes] = []
        self._output = output
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(file, self._read)

    def begin(self, limit: int, output: BinaryIO | None = None) -> None:
        """What is read from now on is another command's: keep so much of it."""
        self.truncated = False
        self._kept, self._room, self._output = [], limit, output

    def finish(self) -> bytes:
        """What was written up to now."""
        while self._file >= 0 and self._read():
            pass
        return b"".join(self._kept)

    def linger(self, forget: Callable[[Capture], None]) -> bool:
        """Go on reading, slowly and for nothing, until the last writer is gone; False where that is so already."""
        if self._file < 0:
            return False
        self._kept, self._room, self._output = [], 0, None
        self._loop.remove_reader(self._file)
        self._timer = self._loop.call_later(LINGER_SECONDS, self._drop, forget)
        return True

    def close(self) -> None:
        """Stop reading; a second call does nothing."""
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = -1

    def _read(self) -> bool:
        try:
            data = os.read(self._file, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self.close()
            return False
        self.truncated |= len(data) > self._room
        kept = data[: self._room]
        self._room -= len(kept)
        if kept and self._output:
            self._output.write(kept)
        elif kept:
            self._kept.append(kept)
        return True

    def _drop(self, forget: Callable[[Capture], None]) -> None:
        for _ in range(LINGER_BYTES // CHUNK):
            if self._file < 0 or not self._read():
                break
        if self._file < 0:
            forget(self)
        else:
            self._loop.call_later(LINGER_SECONDS, self._drop, forget)


class Messages:
    """Reads a pipe of texts that each end with a NUL; calls `heard` with each, and with None at the end."""

    def __init__(self, file: int, heard: Callable[[bytes | None], None], longest: int) -> None:
        self._file = file
        self._heard = heard
        self._longest = longest
        self._parts: list[bytes] = []
        self._length = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(file, self._read)

    def close(self) -> None:
        """Stop reading; a second call does nothing."""
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = -1

    def _read(self) -> None:
        try:
            data = os.read(self._file, CHUNK)
        except BlockingIOError:
            return
        if not data:
            self.close()
            self._heard(None)
            return
        *whole, rest = data.split(b"\0")
        for text in whole:
            self._take(text)
            message = b"".join(self._parts) if self._length <= self._longest else b""
            self._parts, self._length = [], 0
            self._heard(message)
        self._take(rest)

    def _take(self, text: bytes) -> None:
        self._length += len(text)
        if self._length <= self._longest:  # what is too long is read and dropped
            self._parts.append(text)
