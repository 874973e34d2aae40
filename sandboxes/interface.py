"""Where untrusted actions run: one interface for every back end.

What a command did, its exit code, its output, the limit it ran into, is a result. What the infrastructure did
is a `SandboxUnavailable`, which is never shown to an agent as output and never scored. Trouble with a path
(missing, a folder, no room) is the `OSError` Python itself would raise.
"""

from __future__ import annotations

import posixpath
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import BinaryIO, ClassVar, Self

from arena.core.errors import UsageError
from arena.sandboxes import _files

__all__ = ["Capabilities", "Command", "Download", "ExecResult", "Sandbox", "SandboxSpec", "Shell", "Snapshot", "Stats"]

MIB = 1 << 20
GIB = 1 << 30
RESERVED = ("/bin", "/dev", "/etc", "/lib", "/proc", "/run", "/sbin", "/sys", "/usr")


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


@dataclass(frozen=True)
class ExecResult:
    """What a command did."""

    exit_code: int
    """As a shell reports it: 128 + n for a command that signal n ended, 124 for one that ran out of time."""
    stdout: bytes
    """What it wrote, up to the limit; with `merge`, standard error too, in the order of writing."""
    stderr: bytes
    """What it wrote to standard error, up to the limit."""
    timed_out: bool = False
    """It was ended because its time was up, together with everything it had started."""
    oom_killed: bool = False
    """The kernel ended a process of the sandbox for want of memory meanwhile."""
    out_of_processes: bool = False
    """It left the sandbox full of processes; all that were running have been ended."""
    truncated: bool = False
    """It wrote more than is kept."""
    duration: float = 0.0
    """Seconds from the request to the result."""

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are no UTF-8 become U+FFFD."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def error_text(self) -> str:
        """Standard error as text; bytes that are no UTF-8 become U+FFFD."""
        return self.stderr.decode("utf-8", "replace")


@dataclass(frozen=True)
class Command:
    """One request to a back end, its defaults filled in."""

    argv: tuple[str, ...]
    stdin: bytes | Path
    cwd: str
    env: Mapping[str, str]
    user: str
    timeout: float
    max_output: int
    merge: bool = False
    output: BinaryIO | None = None
    """Where standard output goes instead of into the result."""


@dataclass(frozen=True)
class Capabilities:
    """What a back end holds a sandbox to on this machine, in words where yes and no do not suffice."""

    memory: str
    processes: str
    cpus: bool
    system_calls: str
    networks: tuple[str, ...]
    users: bool
    """Whether commands may run as users other than the spec's."""


@dataclass(frozen=True)
class Stats:
    """What a sandbox uses now; None where this machine cannot tell."""

    processes: int | None
    memory: int | None
    memory_peak: int | None
    cpu_seconds: float | None
    snapshots: int
    """Snapshots of it that have not been released."""


@dataclass(frozen=True)
class Download:
    """What a download brought: regular files and folders. The rest was refused."""

    files: int
    bytes: int
    refused: tuple[str, ...]
    """One line for each thing left out, with the reason: a link, a device, a path that leads outside."""


class Snapshot(ABC):
    """The content of the work folders and the shell's folder and variables, kept until released."""

    size: int
    """Bytes it takes on the host."""

    @abstractmethod
    def release(self) -> None:
        """Give up what it holds; a second call does nothing."""


class Shell(ABC):
    """The sandbox's persistent shell: folder, variables, functions and options last from command to command."""

    @abstractmethod
    async def run(
        self,
        command: str,
        *,
        stdin: bytes | str | None = None,
        timeout: float | None = None,
        max_output: int | None = None,
        merge: bool = False,
    ) -> ExecResult:
        """Run one command line, or several lines, and wait for it.

        After a timeout, or a command that ended the shell (`exit`, `set -e`), the next command finds the shell
        as it was before that command. Arguments and errors as for `Sandbox.exec`.
        """

    @abstractmethod
    async def close(self) -> None:
        """End the shell and what it runs; a second call does nothing."""


class Sandbox(ABC):
    """One sandbox: use it as an async context manager, or close it."""

    kind: ClassVar[str]
    spec: SandboxSpec

    @classmethod
    @abstractmethod
    async def create(cls, spec: SandboxSpec) -> Self:
        """Make a sandbox and wait until it answers.

        Raises:
            MissingPrerequisite: this back end cannot work here; says what to install.
            SandboxUnavailable: it did not come up.
        """

    @classmethod
    @abstractmethod
    def capabilities(cls) -> Capabilities:
        """What this back end can hold a sandbox to on this machine."""

    @classmethod
    @abstractmethod
    def preflight(cls) -> None:
        """Raise `MissingPrerequisite` if this back end cannot work here."""

    @classmethod
    @abstractmethod
    def cleanup_orphans(cls) -> int:
        """Remove what sandboxes and snapshots of dead programs left behind; how many there were."""

    @abstractmethod
    async def _run(self, command: Command) -> ExecResult:
        """Run one command; the one thing that differs between back ends."""

    @abstractmethod
    async def shell(self) -> Shell:
        """The sandbox's one persistent shell, started by the first call."""

    @abstractmethod
    async def snapshot(self) -> Snapshot:
        """Keep the content of the work folders and the shell's state. Running processes are no part of it."""

    @abstractmethod
    async def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, of this sandbox or another with the same work folders; ends all processes."""

    @abstractmethod
    async def pause(self) -> None:
        """Stop every process where it is, until `resume`; a second call does nothing.

        Raises:
            UsageError: a command is under way.
        """

    @abstractmethod
    async def resume(self) -> None:
        """Let the processes go on; without a `pause` it does nothing."""

    @abstractmethod
    async def alive(self) -> bool:
        """Whether commands can be run in it now."""

    @abstractmethod
    def stats(self) -> Stats:
        """What the sandbox uses now."""

    @abstractmethod
    async def close(self) -> None:
        """End every process and remove everything; a second call does nothing."""

    async def exec(
        self,
        command: str | Sequence[str],
        *,
        stdin: bytes | str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        timeout: float | None = None,
        max_output: int | None = None,
        merge: bool = False,
    ) -> ExecResult:
        """Run a program and wait for it; several may run at once.

        Args:
            command: a program and its arguments, or a line for bash.
            stdin: what it reads; nothing by default.
            cwd: its folder, relative to the first work folder.
            env: variables on top of the spec's.
            user: who it runs as, where the back end has several users.
            timeout: seconds; the spec's by default. At the end everything the command started is killed.
            max_output: bytes kept of each stream; the spec's by default. The rest is read and dropped.
            merge: standard error goes to standard output.

        Raises:
            SandboxUnavailable: the sandbox was lost.
            UsageError: a NUL character, or something this back end does not have.
        """
        argv = ("bash", "-c", command) if isinstance(command, str) else tuple(command)
        return await self._run(
            self._command(argv, stdin, cwd=cwd, env=env, user=user, timeout=timeout, max_output=max_output, merge=merge)
        )

    def _command(
        self,
        argv: tuple[str, ...],
        stdin: bytes | str | Path | None = None,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        timeout: float | None = None,
        max_output: int | None = None,
        merge: bool = False,
        output: BinaryIO | None = None,
    ) -> Command:
        if not argv:
            raise UsageError("There is no program to run: the command is empty.")
        return Command(
            argv,
            stdin.encode("utf-8", "surrogateescape") if isinstance(stdin, str) else stdin or b"",
            self._path(cwd) if cwd else self.spec.folders[0],
            env or {},
            user or self.spec.user,
            self.spec.timeout if timeout is None else timeout,
            self.spec.output if max_output is None else max_output,
            merge,
            output,
        )

    def _path(self, path: str) -> str:
        """Absolute, and so never taken for an option."""
        return posixpath.join(self.spec.folders[0], path)

    async def read(self, path: str, *, max_bytes: int = 100 * MIB) -> bytes:
        """The content of a file.

        Args:
            path: relative to the first work folder.
            max_bytes: the largest file to accept.

        Raises:
            OSError: FileNotFoundError, IsADirectoryError, PermissionError; EINVAL for what is no regular
                file, EFBIG for one that is too large.
        """
        where = self._path(path)
        done = await self._run(self._command(_files.read_command(where), max_output=max_bytes))
        _files.raise_trouble(done.exit_code, done.error_text, where, too_large=done.truncated)
        return done.stdout

    async def write(self, path: str, content: bytes | str) -> None:
        """Make or replace a file, and the folders above it.

        Raises:
            OSError: as `read`; ENOSPC where there is no room.
        """
        where = self._path(path)
        done = await self._run(self._command(_files.write_command(where), content))
        _files.raise_trouble(done.exit_code, done.error_text, where)

    async def upload(self, source: Path, target: str = ".") -> None:
        """Copy a folder's content, or one file, from the host into a folder. Links stay links; devices are refused.

        Raises:
            OSError: the source cannot be read, or the target cannot be written.
        """
        where = self._path(target)
        with _files.packed(source) as archive:
            done = await self._run(self._command(_files.unpack_command(where), archive))
        _files.raise_trouble(done.exit_code, done.error_text, where)

    async def download(self, source: str, target: Path, *, max_bytes: int = GIB) -> Download:
        """Copy a folder's content, or one file, out into a host folder; what could harm the host stays out.

        Raises:
            OSError: as `read`; EFBIG where it is more than `max_bytes`.
        """
        where = self._path(source)
        with _files.spool() as archive:
            command = self._command(_files.pack_command(where), max_output=max_bytes, output=archive)
            done = await self._run(command)
            _files.raise_trouble(done.exit_code, done.error_text, where, too_large=done.truncated)
            files, size, refused = _files.unpack(archive, target)
        return Download(files, size, tuple(refused))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
