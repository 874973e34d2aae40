"""Snapshots of sandboxes: an archive on the host that is only ever unpacked inside a sandbox."""

from __future__ import annotations

import json
import weakref
import zlib
from pathlib import Path

from arena.core.errors import UsageError
from arena.sandboxes._held import HeldFolder
from arena.sandboxes.interface import Snapshot

PACK = 'exec tar --ignore-failed-read -C / -cf - -- "$@"'
UNPACK = """find "$@" -mindepth 1 -type d -exec chmod u+rwx {} + 2>/dev/null
find "$@" -mindepth 1 -delete
exec tar -C / -xpf - """
LEVEL = 1
"""How hard bytes are compressed: a repository's take some milliseconds."""


def pack_command(folders: tuple[str, ...]) -> tuple[str, ...]:
    return ("sh", "-c", PACK, "sh", *(folder.lstrip("/") for folder in folders))


def unpack_command(folders: tuple[str, ...]) -> tuple[str, ...]:
    return ("sh", "-c", UNPACK, "sh", *folders)


class FileSnapshot(Snapshot):
    """The archive's folder goes when it is released, forgotten or at the program's end; dead programs' by the next."""

    def __init__(self, folders: tuple[str, ...]) -> None:
        self.folders = folders
        self.state: bytes = b""
        self.size = 0
        self._folder = HeldFolder("snapshot")
        self.path: Path = self._folder.path / "folders.tar"
        self._finalizer = weakref.finalize(self, self._folder.release)

    @property
    def released(self) -> bool:
        """Whether it has been given up."""
        return not self._finalizer.alive

    def release(self) -> None:
        """See `Snapshot.release`."""
        self._finalizer()

    def to_bytes(self) -> bytes:
        """See `Snapshot.to_bytes`: a line of JSON, the shell's state, and the archive, compressed together."""
        self._check_kept()
        head = json.dumps({"folders": self.folders, "state": len(self.state)}).encode()
        return zlib.compress(b"".join((head, b"\n", self.state, self.path.read_bytes())), LEVEL)

    def check(self, folders: tuple[str, ...]) -> None:
        """Raise UsageError unless it can be restored into a sandbox with these work folders."""
        self._check_kept()
        if folders != self.folders:
            raise UsageError(f"This snapshot is of the work folders {self.folders}, the sandbox has {folders}.")

    def _check_kept(self) -> None:
        if self.released:
            raise UsageError("This snapshot has been released: take another one before giving the last one up.")


def load_snapshot(data: bytes) -> Snapshot:
    """A snapshot from what `Snapshot.to_bytes` gave, in this process or another; release it when done.

    Raises:
        UsageError: these bytes are none, or damaged.
    """
    try:
        head, _, rest = zlib.decompress(data).partition(b"\n")
        told = json.loads(head)
        folders, length = tuple(told["folders"]), int(told["state"])
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"These bytes are no snapshot of a sandbox, or they are damaged ({error}).") from None
    snapshot = FileSnapshot(folders)
    snapshot.state = rest[:length]
    snapshot.size = snapshot.path.write_bytes(rest[length:])
    return snapshot
