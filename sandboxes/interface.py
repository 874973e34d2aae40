"""Where untrusted actions run: one interface for every back end.

What a command did, its exit code, its output, the limit it ran into, is a result. What the infrastructure did
is a `SandboxUnavailable`, which is never shown to an agent as output and never scored. Trouble with a path
(missing, a folder, no room) is the `OSError` Python itself would raise.
"""

from __future__ import annotations

import posixpath
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, ClassVar, Self

from arena.core.errors import UsageError
from arena.sandboxes import _files
from arena.sandboxes.results import Capabilities, Download, ExecResult, Stats
from arena.sandboxes.spec import GIB, MIB, SandboxSpec

__all__ = ["Command", "Sandbox", "Shell", "Snapshot"]


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


class Snapshot(ABC):
    """The content of the work folders and the shell's folder and variables, kept until released."""

    size: int
    """Bytes it takes on the host."""

    @abstractmethod
    def release(self) -> None:
        """Give up what it holds; a second call does nothing."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """All of it, for a record or another process; `load_snapshot` makes a snapshot of them again.

        Raises:
            UsageError: it was released.
        """


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
        with _files.packed({"." if source.is_dir() else source.name: source}) as archive:
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
