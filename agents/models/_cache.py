"""Answers of servers kept on disk, so that asking the same thing twice costs nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import anyio.to_thread

_SCHEMA = "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, reply TEXT NOT NULL, at REAL NOT NULL)"


class ResponseCache:
    """Request -> answer, in one SQLite file that several processes may use at once.

    A request's key is the URL, the whole body and the sampling seed, whether the server takes seeds or not:
    the engine gives every repeat its own seed, so repeats stay different samples. Without a seed, the n-th
    identical request of this object gets the n-th entry, for the same reason.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._asked: Counter[bytes] = Counter()
        self._database: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def key(self, url: str, body: dict[str, Any], seed: int | None) -> bytes:
        """The key of a request; asking without a seed counts as one more of the same."""
        base = _digest([url, body, seed])
        if seed is not None:
            return base
        with self._lock:
            self._asked[base] += 1
            return _digest([base.hex(), self._asked[base]])

    async def get(self, key: bytes) -> dict[str, Any] | None:
        """The answer kept under `key`."""
        return await anyio.to_thread.run_sync(self._get, key)

    async def put(self, key: bytes, reply: dict[str, Any]) -> None:
        """Keep an answer."""
        await anyio.to_thread.run_sync(self._put, key, json.dumps(reply))

    def close(self) -> None:
        """Close the file; the next request opens it again."""
        with self._lock:
            self._asked.clear()
            if self._database is not None:
                self._database.close()
                self._database = None

    def _get(self, key: bytes) -> dict[str, Any] | None:
        with self._lock:
            row = self._open().execute("SELECT reply FROM answers WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def _put(self, key: bytes, reply: str) -> None:
        with self._lock:
            self._open().execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, reply, time.time()))

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.path, timeout=30.0, isolation_level=None, check_same_thread=False)
            with contextlib.suppress(sqlite3.OperationalError):  # a file system without shared memory
                self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(_SCHEMA)
        return self._database


def _digest(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()
