"""What a sandbox is made of and what it may use."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from arena.core.errors import UsageError

__all__ = ["SandboxSpec"]

MIB = 1 << 20
GIB = 1 << 30
RESERVED = ("/bin", "/dev", "/etc", "/lib", "/proc", "/run", "/sbin", "/sys", "/usr")
"""Where no folder of a sandbox's own can be."""


@dataclass(frozen=True)
class SandboxSpec:
    """What a sandbox is made of and what it may use; plain data, so that it can stand in a record.

    Raises:
        UsageError: a limit that is not positive, or a work folder that cannot be one.
    """

    image: str | None = None
    """What the sandbox's root is made of, in the back end's terms; None for the back end's default."""
    folders: tuple[str, ...] = ("/work",)
    """The work folders: empty at the start, writable, kept by snapshots. Commands start in the first."""
    read_only: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What commands can read and not change: place in the sandbox -> folder of this machine, copied at the start."""
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Environment variables of every command; nothing of the host's environment is handed on."""
    user: str = "agent"
    """Who the commands run as; `root` is a root without any capability."""
    network: str = "none"
    """`none`: a loopback interface of its own and nothing else; or the name of a `Network` (Docker only)."""
    name: str = ""
    """Under which name other sandboxes of its network reach it."""
    pull: bool = False
    """Whether an image that the engine does not have may be pulled from a registry. Docker only."""
    runtime: str | None = None
    """What runs a container, `runsc` (gVisor) for one; None for the engine's own choice. Docker only."""
    timeout: float = 60.0
    """Seconds a command may take where the call does not say."""
    memory: int = 2 * GIB
    """Bytes of memory, files in the writable folders included."""
    processes: int = 256
    """How many processes and threads there may be at once."""
    cpus: float | None = None
    """How many processors' worth of time it gets; None for no limit."""
    disk: int = GIB
    """Bytes of files in each writable folder, and in any one file."""
    open_files: int = 1024
    """How many files a process may hold open."""
    output: int = MIB
    """Bytes kept of each output stream of a command where the call does not say."""

    def __post_init__(self) -> None:
        for name in ("timeout", "memory", "processes", "disk", "open_files", "output"):
            if not getattr(self, name) > 0:
                raise UsageError(f"SandboxSpec.{name} must be positive, not {getattr(self, name)!r}.")
        if self.cpus is not None and not self.cpus > 0:
            raise UsageError(f"SandboxSpec.cpus must be positive or None, not {self.cpus!r}.")
        if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", self.user):
            raise UsageError(f"{self.user!r} cannot be a user's name: lower-case letters, digits, '_' and '-', please.")
        if not self.folders:
            raise UsageError("SandboxSpec.folders is empty: a sandbox needs at least one work folder.")
        for folder in (*self.folders, *self.read_only):
            normal = folder.startswith("/") and posixpath.normpath(folder) == folder and folder != "/"
            if not normal or any(folder == place or folder.startswith(f"{place}/") for place in RESERVED):
                raise UsageError(
                    f"{folder!r} cannot be a folder of the sandbox's own: it must be an absolute path outside of "
                    f"{', '.join(RESERVED)}."
                )

    def check_read_only(self) -> None:
        """Raise UsageError where a folder to read is not there."""
        for source in self.read_only.values():
            if not Path(source).is_dir():
                raise UsageError(f"SandboxSpec.read_only names {source!r}, which is no folder of this machine.")
