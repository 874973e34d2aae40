"""Snapshots of bubblewrap sandboxes: an archive on the host that is only ever unpacked inside a sandbox."""

from __future__ import annotations

import weakref
from pathlib import Path

from arena.core.errors import UsageError
from arena.sandboxes._held import HeldFolder
from arena.sandboxes.interface import Snapshot

PACK = 'exec tar --ignore-failed-read -C / -cf - -- "$@"'
UNPACK = """find "$@" -mindepth 1 -type d -exec chmod u+rwx {} + 2>/dev/null
find "$@" -mindepth 1 -delete
exec tar -C / -xpf - """


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

    def check(self, folders: tuple[str, ...]) -> None:
        """Raise UsageError unless it can be restored into a sandbox with these work folders."""
        if self.released:
            raise UsageError("This snapshot has been released: take another one before giving the last one up.")
        if folders != self.folders:
            raise UsageError(f"This snapshot is of the work folders {self.folders}, the sandbox has {folders}.")
