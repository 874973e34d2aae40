"""One attached stream of the Docker engine: bytes in, and two kinds of bytes out, over one connection.

What comes out is framed: before each piece a header of `>BxxxL`, which is 1 for standard output or 2 for standard
error, and the length. Source: the engine's API, "Attach to a container", stream format.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from typing import Any

OUT, ERROR = 1, 2
HEADER = struct.Struct(">BxxxL")
CHUNK = 1 << 18
TURN = 16
"""Pieces read before others get their turn."""
LINGER_SECONDS = 0.05
"""Between two pieces of what nobody waits for any more."""
NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError, TimeoutError)


def hang_up(wrapped: Any) -> None:
    """Close a connection as the `docker` package hands it out."""
    for end in (_socket(wrapped), wrapped):
        with contextlib.suppress(OSError):
            end.close()


def _socket(wrapped: Any) -> socket.socket:
    below: socket.socket = getattr(wrapped, "_sock", wrapped)
    return below


class Attached:
    """Calls `heard` with each piece and what kind it is, and `ended` once at the end of all."""

    def __init__(self, wrapped: Any, heard: Callable[[int, bytes], None], ended: Callable[[], None]) -> None:
        self._wrapped = wrapped  # the response it belongs to would close it when collected
        self._socket = _socket(wrapped)
        self._heard = heard
        self._ended = ended
        self._header = b""
        self._kind, self._left = OUT, 0
        self._waiting: list[memoryview] = []
        self._more: Iterator[bytes] | None = None
        self._slow = self._blocked = False
        self._socket.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._file = self._socket.fileno()
        self._loop.add_reader(self._file, self._read)

    def write(self, data: bytes, more: Iterator[bytes] | None = None) -> None:
        """Send it, now or as soon as the other side takes it; then what `more` brings, piece by piece."""
        if self._file < 0:
            return
        self._waiting.append(memoryview(data))
        self._more = more or self._more
        if len(self._waiting) == 1:
            self._send()

    def close(self) -> None:
        """Hang up; a second call does nothing. The engine then drops what is still written."""
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            self._loop.remove_writer(self._file)
            self._file = -1
            hang_up(self._wrapped)

    def slow(self) -> None:
        """From now on read no faster than what nobody waits for deserves."""
        self._slow = True

    def _send(self) -> None:
        try:
            while self._waiting:
                sent = self._socket.send(self._waiting[0])
                self._waiting[0] = self._waiting[0][sent:]
                if not self._waiting[0]:
                    self._waiting.pop(0)
                if not self._waiting and self._more:
                    self._waiting = [memoryview(piece) for piece in (next(self._more, b""),) if piece]
                    self._more = self._more if self._waiting else None
        except NOT_NOW:
            self._blocked = True
            self._loop.add_writer(self._file, self._send)
        except OSError:  # what reads it is gone; that is noticed by what it wrote
            self._waiting, self._more = [], None
        if self._blocked and not self._waiting and self._file >= 0:
            self._blocked = False
            self._loop.remove_writer(self._file)

    def _read(self) -> None:
        for _ in range(TURN):
            if self._file < 0:
                return
            try:
                data = self._socket.recv(CHUNK)
            except NOT_NOW:
                break
            except OSError:
                data = b""
            if not data:
                self.close()
                self._ended()
                return
            self._take(data)
            if self._slow and self._file >= 0:
                self._loop.remove_reader(self._file)
                self._loop.call_later(LINGER_SECONDS, self._resume)
                return

    def _resume(self) -> None:
        if self._file >= 0:
            self._loop.add_reader(self._file, self._read)

    def _take(self, data: bytes) -> None:
        place = 0
        while place < len(data):
            if not self._left:
                wanted = HEADER.size - len(self._header)
                self._header += data[place : place + wanted]
                place += wanted
                if len(self._header) == HEADER.size:
                    self._kind, self._left = HEADER.unpack(self._header)
                    self._header = b""
                continue
            piece = data[place : place + self._left]
            place += len(piece)
            self._left -= len(piece)
            self._heard(self._kind, piece)


class Marked:
    """One stream of which parts are messages: a mark, and then so many texts that each end with a NUL.

    What is before a mark is a command's output. `heard` gets the texts of a message, each time one more of them.
    """

    def __init__(self, mark: bytes, texts: int, heard: Callable[[list[bytes]], None], longest: int) -> None:
        self.kept = Kept(0)
        self._mark = b"\0" + mark + b"\0"
        self._count = texts
        self._heard = heard
        self._longest = longest
        self._tail = b""
        self._texts: list[bytes] | None = None
        self._pieces: list[bytes] = []
        self._length = 0

    def feed(self, data: bytes) -> None:
        """A piece of the stream."""
        while data:
            data = self._output(data) if self._texts is None else self._message(data, self._texts)

    def end(self) -> None:
        """There is no more of it."""
        self.kept.take(self._tail)
        self._tail = b""

    def _output(self, data: bytes) -> bytes:
        text = self._tail + data
        found = text.find(self._mark)
        if found >= 0:
            self.kept.take(text[:found])
            self._tail = b""
            if self._count:
                self._texts = []
            else:
                self._heard([])
            return text[found + len(self._mark) :]
        # The beginning of a mark may be at the end: it begins with a NUL, which most output does not hold.
        start = text.find(b"\0", max(0, len(text) - len(self._mark) + 1))
        while start >= 0 and not self._mark.startswith(text[start:]):
            start = text.find(b"\0", start + 1)
        start = start if start >= 0 else len(text)
        self._tail = text[start:]
        self.kept.take(text[:start])
        return b""

    def _message(self, data: bytes, texts: list[bytes]) -> bytes:
        piece, end, rest = data.partition(b"\0")
        self._length += len(piece)
        if self._length <= self._longest:  # what is too long is read and dropped
            self._pieces.append(piece)
        if end:
            texts.append(b"".join(self._pieces) if self._length <= self._longest else b"")
            self._pieces, self._length = [], 0
            if len(texts) == self._count:
                self._texts = None
            self._heard(texts)
        return rest


class Kept:
    """The beginning of a command's output."""

    def __init__(self, limit: int, output: Any = None) -> None:
        self.truncated = False
        self._room = limit
        self._output = output
        self._pieces: list[bytes] = []

    def take(self, data: bytes) -> None:
        """Keep what there is room for."""
        if not data:
            return
        self.truncated |= len(data) > self._room
        kept = data[: self._room]
        self._room -= len(kept)
        if kept and self._output:
            self._output.write(kept)
        elif kept:
            self._pieces.append(kept)

    def content(self) -> bytes:
        """What has been kept."""
        return b"".join(self._pieces)

    def end(self) -> None:
        """Nothing more is kept."""
        self._room, self._output = 0, None
