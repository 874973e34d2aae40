"""Knowing at once that another rank has ended, also while nobody talks.

Rank 0 holds a connection with every other rank. Nothing is said on it until a rank ends: then it says
goodbye, or why it fails, or the connection breaks because its process was killed. Rank 0 passes the news
on. Collectives cannot do this: during a rollout there are none, and on GPUs they wait for a dead rank.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_GRACE = 20.0
"""Seconds from bad news to the end of a process that cannot be interrupted, as in a collective on GPUs."""

_HERE = "127.0.0.1"

_HELLO = 10.0
"""Seconds a rank may take to say who it is."""


class Lost(NamedTuple):
    """A rank that ended before its time."""

    rank: int
    reason: str

    def __str__(self) -> str:
        return f"Rank {self.rank}: {self.reason}"


class Watch:
    """One rank's end of the connections; made by `connect`.

    Attributes:
        lost: the first rank known to have ended before its time.
        heard: set when there is one.
    """

    def __init__(self, rank: int, connections: dict[int, socket.socket]) -> None:
        self._rank, self._connections = rank, connections
        self.lost: Lost | None = None
        self.heard = threading.Event()
        self._lock = threading.Lock()
        self._interrupts: list[Callable[[], object]] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="other ranks", daemon=True)
        self._thread.start()

    @classmethod
    def connect(cls, rank: int, size: int, host: str | None, tell: Callable[[Any], list[Any]]) -> Watch:
        """Join all ranks.

        Args:
            rank: this one.
            size: how many there are.
            host: rank 0's machine, as the others reach it; None where all are on one, and then no other may connect.
            tell: gives a value to all ranks and returns those of all.
        """
        if rank == 0:
            with _server(host is None, size) as server:
                word = secrets.token_hex(16)
                tell((server.getsockname()[1], word))
                return cls(rank, _answered(server, size, word))
        port, word = tell(None)[0]
        connection = _kept_alive(socket.create_connection((host or _HERE, port)))
        connection.sendall(f"{rank} {word}\n".encode())
        return cls(rank, {0: connection})

    @contextlib.contextmanager
    def interrupting(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Within the block, bad news calls `interrupt`, once and from another thread."""
        with self._lock:
            self._interrupts.append(interrupt)
            late = self.lost is not None
        if late:
            interrupt()
        try:
            yield
        finally:
            with self._lock:
                self._interrupts.remove(interrupt)

    def close(self, reason: str | None = None) -> None:
        """End, and tell the others: as planned, or for a reason. A second call does nothing."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._tell({"rank": self._rank, "ended": reason})
        for connection in self._connections.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for connection in self._connections.values():
            connection.close()

    def _tell(self, news: dict[str, Any], besides: int | None = None) -> None:
        for rank, connection in self._connections.items():
            if rank != besides:
                with contextlib.suppress(OSError):
                    connection.sendall(json.dumps(news).encode() + b"\n")

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            for rank, connection in self._connections.items():
                selector.register(connection, selectors.EVENT_READ, (rank, bytearray()))
            while selector.get_map() and not self._closed.is_set():
                for key, _ in selector.select():
                    rank, said = key.data
                    if not self._hear(key.fileobj, rank, said):
                        selector.unregister(key.fileobj)

    def _hear(self, connection: Any, rank: int, said: bytearray) -> bool:
        """Read what a rank says; returns whether it may say more."""
        try:
            data = connection.recv(1 << 16)
        except OSError:
            data = b""
        said += data
        *lines, rest = bytes(said).split(b"\n")
        said[:] = rest
        for line in lines:
            news = json.loads(line)
            if news["ended"] is not None:
                self._learn(Lost(news["rank"], news["ended"]), rank)
            if news["rank"] == rank:
                return False
        if not data and not self._closed.is_set():
            self._learn(Lost(rank, "its process ended without a word (killed, or out of memory?)"), rank)
        return bool(data)

    def _learn(self, lost: Lost, source: int) -> None:
        with self._lock:
            if self.lost is not None:
                return
            self.lost = lost
            self.heard.set()
            interrupts = list(self._interrupts)
        if self._rank == 0:
            self._tell({"rank": lost.rank, "ended": lost.reason}, besides=source)
        for interrupt in interrupts:
            interrupt()
        threading.Thread(target=self._insist, name="end after a lost rank", daemon=True).start()

    def _insist(self) -> None:
        """End the process if nothing else does: a collective that waits for a dead rank on a GPU hears nobody."""
        if not self._closed.wait(_GRACE):
            sys.stderr.write(f"error: {self.lost}. This rank could not be interrupted and ends now.\n")
            sys.stderr.flush()
            os._exit(4)


def _server(here: bool, size: int) -> socket.socket:
    """Where the other ranks find rank 0: on this machine only, or on all its addresses."""
    if here:
        return socket.create_server((_HERE, 0), backlog=size)
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    return socket.create_server(("", 0), family=family, backlog=size, dualstack_ipv6=both)


def _kept_alive(connection: socket.socket) -> socket.socket:
    """Notice within a minute that a machine at the other end is gone, which says nothing when it loses its power."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection


def _answered(server: socket.socket, size: int, word: str) -> dict[int, socket.socket]:
    """The connections of all other ranks; anyone who does not know the word is sent away."""
    found: dict[int, socket.socket] = {}
    while len(found) < size - 1:
        connection, _ = server.accept()
        connection.settimeout(_HELLO)
        try:
            with connection.makefile("r") as reader:
                rank, said = reader.readline(256).split()
            if not secrets.compare_digest(said, word):
                raise ValueError("another word")
            connection.settimeout(None)
            found[int(rank)] = _kept_alive(connection)
        except (OSError, ValueError):
            connection.close()
    return found


__all__ = ["Lost", "Watch"]
