"""Folders on the host that belong to a living program: a lock says so, and the kernel gives it up with the program."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from arena.core.errors import SandboxUnavailable

FILES = "files"
"""The kind of a temporary folder."""


def home() -> Path:
    """The folder above them all: `ARENA_SANDBOX_DIR`, or one per user in the temporary folder. Others cannot list it.

    Raises:
        SandboxUnavailable: somebody else made a thing of that name.
    """
    named = os.environ.get("ARENA_SANDBOX_DIR")
    path = Path(named) if named else Path(tempfile.gettempdir()) / f"arena-{os.geteuid()}"
    path.mkdir(mode=0o711, parents=True, exist_ok=True)
    status = path.lstat()
    if path.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise SandboxUnavailable(
            f"{path} must be a folder that only you can write to. Remove it, or set ARENA_SANDBOX_DIR to another."
        )
    return path


class HeldFolder:
    """A new folder that lasts until released, or until a later program finds that its holder is dead."""

    def __init__(self, kind: str, above: Path | None = None) -> None:
        above = above or home()
        with _lock(above / "lock", fcntl.LOCK_SH):
            self.path = above / f"{kind}-{secrets.token_hex(8)}"
            self.path.mkdir(mode=0o711)
            self._held = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._held, fcntl.LOCK_EX)

    def release(self) -> None:
        """Remove the folder; a second call does nothing."""
        if self._held >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._held)
            self._held = -1


@contextmanager
def temporary_folder(above: Path | None = None) -> Iterator[Path]:
    """An empty folder for files on their way, which no other user can enter; a killed program's goes with `orphans`.

    Args:
        above: an existing folder to make it in, where what is made shall stay on one file system; those that killed
            programs left there are removed first.
    """
    if above is not None:
        with _lock(above / "lock", fcntl.LOCK_EX), _dead(above, f"{FILES}-*"):
            pass
    held = HeldFolder(FILES, above)
    try:
        with tempfile.TemporaryDirectory(dir=held.path) as name:
            yield Path(name)
    finally:
        held.release()


@contextmanager
def orphans() -> Iterator[list[Path]]:
    """The folders whose holders are dead; nobody makes or takes one meanwhile. Temporary ones are gone already."""
    above = home()
    with _lock(above / "lock", fcntl.LOCK_EX), _dead(above, "*-*") as found:
        yield found


@contextmanager
def _dead(above: Path, pattern: str) -> Iterator[list[Path]]:
    """Those of the folders that nobody alive holds, held by us."""
    found = []
    with contextlib.ExitStack() as locks:
        for path in sorted(above.glob(pattern)):
            with contextlib.suppress(OSError):
                locks.enter_context(_lock(path / "lock", fcntl.LOCK_EX | fcntl.LOCK_NB))
                found.append(path)
                if path.name.startswith(f"{FILES}-"):  # no back end has more of it elsewhere
                    shutil.rmtree(path, ignore_errors=True)
        yield found


@contextmanager
def _lock(path: Path, how: int) -> Iterator[None]:
    held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, how)
        yield
    finally:
        os.close(held)
