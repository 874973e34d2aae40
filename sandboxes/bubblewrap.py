"""Sandboxes made of Linux namespaces by `bwrap`: no daemon, no image, ready in some tens of milliseconds.

What holds: the host's files are not there, save its programs and libraries (/usr and the like, read-only); no
environment variable, no network, no other process, no device, no capability, no new privilege, no further
namespace is there either; a list of system calls is refused (`_seccomp`); when Arena runs as root, the sandbox
does not: each has a user number of its own that owns nothing. Memory and processor time are limited by control
groups where this program may make some, by each process's own limits otherwise.

What does not: the kernel is the host's, and a flaw in it is a way out. What is installed under /usr can be read.
Processes of one sandbox are not protected from each other. For code of people who want to harm you, use a
virtual machine.

A supervisor (`supervisor.sh`) is process 1 and starts every command, so that all of them inherit what bwrap set
up. Files move through programs in the sandbox; the host never opens a path in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
from functools import cache
from pathlib import Path
from typing import Self

from arena.core.errors import SandboxUnavailable, UsageError
from arena.sandboxes import _bwrap_shell, _cgroups, _files, _held, _jobs, _root, _seccomp
from arena.sandboxes._bwrap import Bwrap, check_bwrap, draw_user
from arena.sandboxes._bwrap_shell import BubblewrapShell
from arena.sandboxes._channels import Capture, ControlFolder
from arena.sandboxes._closing import to_the_end
from arena.sandboxes._jobs import FileJob, FileStreams, OutputPipes
from arena.sandboxes._supervised import Look, Supervised
from arena.sandboxes.interface import Command
from arena.sandboxes.results import Capabilities, Stats
from arena.sandboxes.spec import SandboxSpec

__all__ = ["Bubblewrap"]


class Bubblewrap(Supervised):
    """See `Sandbox` for what it does and this module for what it protects. Made by `create`."""

    kind = "bubblewrap"

    def __init__(self, spec: SandboxSpec) -> None:
        super().__init__(spec)
        self.lingering: set[Capture] = set()
        self.pipes: OutputPipes | None = None
        """Those that commands of the shell write into."""
        self._numbers = itertools.count(1)
        self._group = _cgroups.Cgroup(0)
        self._folder = _held.HeldFolder("sandbox")
        self.control = ControlFolder(self._folder.path / "control")
        self._bwrap = Bwrap(self._exited)

    @classmethod
    async def create(cls, spec: SandboxSpec) -> Self:
        """See `Sandbox.create`."""
        if spec.image is not None and not Path(spec.image).is_dir():
            raise UsageError(f"The image of a bubblewrap sandbox is a folder with a root file system: {spec.image!r}.")
        if spec.network != "none":
            raise UsageError(f"A bubblewrap sandbox has no network; {spec.network!r} takes Docker.")
        spec.check_read_only()
        _once_per_program()
        sandbox = cls(spec)
        try:
            await sandbox._bring_up()
        except BaseException:
            await sandbox.close()
            raise
        return sandbox

    @classmethod
    def preflight(cls) -> None:
        """See `Sandbox.preflight`: really makes the namespaces."""
        check_bwrap()

    @classmethod
    def capabilities(cls) -> Capabilities:
        """See `Sandbox.capabilities`."""
        above = _cgroups.parents()
        group = f"control groups, version {above.version}" if above else ""
        return Capabilities(
            memory=group if above and "memory" in above.folders else "each process by itself (RLIMIT_AS)",
            processes=f"RLIMIT_NPROC and {group}" if above and "pids" in above.folders else "RLIMIT_NPROC",
            cpus=bool(above and "cpu" in above.folders),
            system_calls="a list of refused calls" if _seccomp.program() else "no filter for this architecture",
            networks=("none",),
            users=False,
        )

    @classmethod
    def cleanup_orphans(cls) -> int:
        """See `Sandbox.cleanup_orphans`."""
        with _held.orphans() as folders:
            for folder in folders:
                _cgroups.remove_recorded(folder / "groups")
                shutil.rmtree(folder, ignore_errors=True)
        return len(folders)

    def check_command(self, command: Command) -> None:
        """There is one user."""
        if command.user != self.spec.user:
            raise UsageError(f"The bubblewrap sandbox has one user, {self.spec.user!r}; there is no {command.user!r}.")

    async def launch(self, command: Command) -> tuple[FileJob, FileStreams]:
        """Have the supervisor start a command."""
        program = _jobs.program(command)
        number = self.next_number()
        streams = FileStreams(self.control, number, command, self.lingering)
        try:
            return self.start(number, program, streams.redirections), streams
        except BaseException:
            streams.close()
            raise

    async def ask(self, verb: str, *words: object) -> str | None:
        """See `Supervised.ask`."""
        return await self._bwrap.ask(verb, *words)

    def tell(self, verb: str, *words: object) -> None:
        """See `Supervised.tell`."""
        self._bwrap.tell(verb, *words)

    async def look(self) -> Look:
        """What the host's side of the control group says."""
        return Look(self.processes(), self._group.oom_kills())

    async def freeze(self, frozen: bool) -> None:
        """By the control group where there is one for that, by signals otherwise."""
        if not await asyncio.to_thread(self._group.freeze, frozen):
            self._bwrap.signal_all(signal.SIGSTOP if frozen else signal.SIGCONT)

    def new_shell(self) -> BubblewrapShell:
        """See `Supervised.new_shell`."""
        return BubblewrapShell(self)

    def stats(self) -> Stats:
        """See `Sandbox.stats`."""
        return Stats(self.processes(), *self._group.memory(), self._group.cpu_seconds(), self._snapshots_held())

    @to_the_end
    async def close(self) -> None:
        """See `Sandbox.close`. Snapshots stay: they are released by themselves."""
        with contextlib.suppress(OSError):
            await self.resume()  # the frozen do not die
        self._lost = self._lost or "it is closed"
        await self.give_up_ending()
        await self._bwrap.close()
        if self._shell:
            self._shell.drop()
        for job in list(self.jobs):
            self.forget(job)
        if self.pipes:
            self.pipes.close()
        for capture in self.lingering:
            capture.close()
        self.lingering.clear()
        await asyncio.to_thread(self._group.remove)
        self._folder.release()

    async def _bring_up(self) -> None:
        control, user = self.control.path, draw_user()
        (control / "etc").mkdir(parents=True)
        for path in (control, control / "etc"):
            path.chmod(0o750)
            if user is not None:
                os.chown(path, 0, user)
        for name, text in _root.etc(self.spec).items():
            self.control.put(f"etc/{name}", text)
        supervisor = self.control.put("supervisor", Path(__file__).with_name("supervisor.sh").read_bytes())
        self.control.put(_bwrap_shell.REPORT_NAME, _bwrap_shell.REPORT)
        try:
            self._group = _cgroups.Cgroup.create(self._folder.path.name, self.spec)
            (self._folder.path / "groups").write_text("\n".join(map(str, self._group.folders.values())))
        except OSError as error:
            raise SandboxUnavailable(f"The sandbox's control group could not be made: {error}") from error
        given = [self._folder.path / f"given-{number}" for number in range(len(self.spec.read_only))]
        for folder, source in zip(given, self.spec.read_only.values(), strict=True):
            await asyncio.to_thread(_files.copy_readable, Path(source), folder)
        arguments = _root.arguments(self.spec, control, Path(self.spec.image or "/"), given)
        bash = self.control.put_unreadable("supervisor-bash", _root.bash(Path(self.spec.image or "/")))
        program = [bash, "--norc", "--noprofile", supervisor]
        await self._bwrap.start(arguments, program, user, self._group.enter)

    # What the shell and the commands share.

    def next_number(self) -> int:
        """A number for the files of a job or command; none is used twice."""
        return next(self._numbers)

    def start(self, number: int, program: str, redirections: str) -> FileJob:
        """Have the supervisor start a job."""
        job = FileJob(self.control, number)
        self.jobs.add(job)
        limits = _jobs.limits(self.spec, memory_of_each="memory" not in self._group.folders)
        self.control.put(f"{number}.program", _jobs.limited(program, limits))
        self.control.put(str(number), _jobs.script(number, redirections))
        self._bwrap.send("run", number)
        return job

    def processes(self) -> int:
        """How many there are now, threads counted where a control group says it; 0 where nothing does."""
        count = self._group.processes()
        if count is None:
            with contextlib.suppress(OSError):
                return sum(path.name.isdigit() for path in Path(f"/proc/{self._bwrap.child}/root/proc").iterdir())
        return count or 0

    def _exited(self, reason: str) -> None:
        self._lost = self._lost or reason
        self.ended = not self._lost
        for job in self.jobs:
            job.finish(None)


@cache
def _once_per_program() -> None:
    """Before the first sandbox: see that bwrap works, and remove what dead programs left."""
    check_bwrap()
    Bubblewrap.cleanup_orphans()
