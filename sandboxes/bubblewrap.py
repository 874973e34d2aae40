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
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Self

from arena.core.errors import SandboxUnavailable, UsageError
from arena.sandboxes import _cgroups, _held, _jobs, _root, _seccomp, _shell, _snapshot
from arena.sandboxes._bwrap import END_SECONDS, Bwrap, check_bwrap, draw_user
from arena.sandboxes._channels import Capture, ControlFolder
from arena.sandboxes._jobs import KILLED, TIMED_OUT, Job, Streams
from arena.sandboxes._shell import BubblewrapShell
from arena.sandboxes._snapshot import FileSnapshot
from arena.sandboxes.interface import Capabilities, Command, ExecResult, Sandbox, SandboxSpec, Snapshot, Stats

__all__ = ["Bubblewrap"]

ENDED = b"The sandbox has ended: a command in it took its first process down.\n"
"""What commands in such a sandbox get; it is no infrastructure's doing."""
GROWING = 8
"""More processes than this after a command are looked at again: they may be multiplying."""


class Bubblewrap(Sandbox):
    """See `Sandbox` for what it does and this module for what it protects. Made by `create`."""

    kind = "bubblewrap"

    def __init__(self, spec: SandboxSpec) -> None:
        self.spec = spec
        self.ended = False
        """A command inside has ended the whole sandbox."""
        self.lingering: set[Capture] = set()
        self._snapshots: list[FileSnapshot] = []
        self._lost = ""
        self._numbers = itertools.count(1)
        self._jobs: dict[int, Job] = {}
        self._shell: BubblewrapShell | None = None
        self._group = _cgroups.Cgroup(0)
        self._folder = _held.HeldFolder("sandbox")
        self.control = ControlFolder(self._folder.path / "control")
        self._bwrap = Bwrap(self._exited)

    @classmethod
    async def create(cls, spec: SandboxSpec) -> Self:
        """See `Sandbox.create`."""
        if spec.image is not None and not Path(spec.image).is_dir():
            raise UsageError(f"The image of a bubblewrap sandbox is a folder with a root file system: {spec.image!r}.")
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

    async def _run(self, command: Command) -> ExecResult:
        """See `Sandbox.exec`."""
        if command.user != self.spec.user:
            raise UsageError(f"The bubblewrap sandbox has one user, {self.spec.user!r}; there is no {command.user!r}.")
        begin = time.perf_counter()
        before = await self.before()
        if self.ended:
            return self.result_of_ended()
        program = _jobs.program(command)
        number = self.next_number()
        streams = Streams(self.control, number, command)
        job = None
        try:
            job = self.start(number, program, streams.redirections)
            done, _ = await asyncio.wait((job.ended,), timeout=command.timeout)
            if not done:
                await self.end(job)
            code = job.ended.result() if done else TIMED_OUT
            result = streams.result(KILLED if code is None else code, timed_out=not done)
        except BaseException:  # cancelled, most likely: the command must not run on
            if job:
                self.end_soon(job)
            raise
        finally:
            if job:
                self.forget(job)
            streams.close(self.lingering)
        result = await self.after(result, before)
        return replace(result, duration=time.perf_counter() - begin)

    async def shell(self) -> BubblewrapShell:
        """See `Sandbox.shell`."""
        self._check_open()
        self._shell = self._shell or BubblewrapShell(self)
        return self._shell

    async def snapshot(self) -> FileSnapshot:
        """See `Sandbox.snapshot`. What the sandbox's user cannot read is not in it."""
        shell = self._shell
        snapshot = FileSnapshot(self.spec.folders)
        try:
            with snapshot.path.open("wb") as output:
                most = 2 * self.spec.disk * len(self.spec.folders)
                argv = _snapshot.pack_command(self.spec.folders)
                result = await self._run(self._command(argv, max_output=most, output=output))
            if result.exit_code > 1 or result.truncated:  # 1: a file changed meanwhile
                raise SandboxUnavailable(f"The work folders could not be archived: {result.error_text.strip()}")
            snapshot.state = await shell.settled_state() if shell else b""
            snapshot.size = snapshot.path.stat().st_size
        except BaseException:
            snapshot.release()
            raise
        self._snapshots = [kept for kept in self._snapshots if not kept.released] + [snapshot]
        return snapshot

    async def restore(self, snapshot: Snapshot) -> None:
        """See `Sandbox.restore`.

        Raises:
            UsageError: it was released, or is of other work folders or another back end.
        """
        if not isinstance(snapshot, FileSnapshot):
            raise UsageError(f"A bubblewrap sandbox cannot restore a {type(snapshot).__name__}.")
        snapshot.check(self.spec.folders)
        await self._sweep()
        argv = _snapshot.unpack_command(self.spec.folders)
        result = await self._run(self._command(argv, snapshot.path))
        if result.exit_code != 0:
            raise SandboxUnavailable(f"The snapshot could not be unpacked: {result.error_text.strip()}")
        shell = await self.shell()
        shell.state = snapshot.state

    def stats(self) -> Stats:
        """See `Sandbox.stats`."""
        held = sum(not snapshot.released for snapshot in self._snapshots)
        return Stats(self._count(), *self._group.memory(), self._group.cpu_seconds(), held)

    async def close(self) -> None:
        """See `Sandbox.close`. Snapshots stay: they are released by themselves."""
        self._lost = self._lost or "it is closed"
        await self._bwrap.close()
        if self._shell:
            self._shell.drop()
        for job in list(self._jobs.values()):
            self.forget(job)
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
        self.control.put(_shell.REPORT_NAME, _shell.REPORT)
        try:
            self._group = _cgroups.Cgroup.create(self._folder.path.name, self.spec)
            (self._folder.path / "groups").write_text("\n".join(map(str, self._group.folders.values())))
        except OSError as error:
            raise SandboxUnavailable(f"The sandbox's control group could not be made: {error}") from error
        arguments = _root.arguments(self.spec, control, Path(self.spec.image or "/"))
        program = ["bash", "--norc", "--noprofile", supervisor]
        await self._bwrap.start(arguments, program, user, self._group.enter)

    # What the shell and the commands share.

    def next_number(self) -> int:
        """A number for the files of a job or command; none is used twice."""
        return next(self._numbers)

    def start(self, number: int, program: str, redirections: str) -> Job:
        """Have the supervisor start a job."""
        job = Job(self.control, number)
        self._jobs[number] = job
        limits = _jobs.limits(self.spec, memory_of_each="memory" not in self._group.folders)
        self.control.put(str(number), _jobs.script(number, program, redirections, limits))
        self._bwrap.send("run", number)
        return job

    def forget(self, job: Job) -> None:
        """The job is over: stop listening for it."""
        self._jobs.pop(job.number, None)
        job.close()

    async def end(self, job: Job) -> None:
        """Kill a job, everything it started, and what earlier commands left running; other jobs live on."""
        if self.ended:
            return
        pids = [other.pid for other in self._jobs.values()]
        await asyncio.wait(pids, timeout=END_SECONDS)
        if job.pid.done() and await self._bwrap.ask("kill", job.pid.result(), *self._others(job)):
            return
        await self._sweep()

    def end_soon(self, job: Job) -> None:
        """As `end`, without waiting: for a caller that is being cancelled."""
        if job.pid.done():
            self._bwrap.tell("kill", job.pid.result(), *self._others(job))
        else:
            self._bwrap.tell("sweep")

    def _others(self, job: Job) -> list[int]:
        known = [other for other in self._jobs.values() if other is not job and other.pid.done()]
        return [other.pid.result() for other in known]

    async def _sweep(self) -> None:
        """End everything but the supervisor."""
        if self.ended:
            return
        self._check_open()
        if self._shell:
            await self._shell.take_state(patience=1)
        if not await self._bwrap.ask("sweep") and not self.ended:
            self._check_open()
            self._lost = f"it did not end its processes within {END_SECONDS:g} s"
            raise SandboxUnavailable(f"This sandbox is lost: {self._lost}.")
        if self._shell:
            self._shell.drop()

    async def before(self) -> int:
        """See that commands can be run; returns what `after` wants to know."""
        self._check_open()
        if await self._is_full():
            await self._sweep()
        return self._group.oom_kills()

    async def after(self, result: ExecResult, oom_kills_before: int) -> ExecResult:
        """Complete a result by what happened to the sandbox meanwhile, and make room for the next command."""
        if result.exit_code == KILLED:
            await self._bwrap.ask("ping")  # either it answers, or `_exited` has learnt why not
        self._check_open()
        full = await self._is_full()
        if full:
            await self._sweep()
        oom_killed = self._group.oom_kills() > oom_kills_before
        return replace(result, oom_killed=oom_killed, out_of_processes=full) if oom_killed or full else result

    def result_of_ended(self) -> ExecResult:
        """What any command does in a sandbox that has ended."""
        return ExecResult(KILLED, b"", ENDED)

    async def _is_full(self) -> bool:
        """Whether left-over processes take up the room of the next command's."""
        shell = self._shell.job if self._shell else None
        if self.ended or any(job is not shell for job in self._jobs.values()):
            return False
        most = self.spec.processes - self.spec.processes // 4
        count, last = self._count(), GROWING
        while last < count < most:
            await asyncio.sleep(0.005)
            count, last = self._count(), count
        return count >= most

    def _count(self) -> int:
        count = self._group.processes()
        if count is None:
            with contextlib.suppress(OSError):
                return sum(path.name.isdigit() for path in Path(f"/proc/{self._bwrap.child}/root/proc").iterdir())
        return count or 0

    def _check_open(self) -> None:
        if self._lost:
            raise SandboxUnavailable(f"This sandbox cannot be used: {self._lost}.")

    def _exited(self, reason: str) -> None:
        self._lost = self._lost or reason
        self.ended = not self._lost
        for job in self._jobs.values():
            if not job.ended.done():
                job.ended.set_result(None)


@cache
def _once_per_program() -> None:
    """Before the first sandbox: see that bwrap works, and remove what dead programs left."""
    check_bwrap()
    Bubblewrap.cleanup_orphans()
