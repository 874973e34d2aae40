"""What all sandboxes with a supervisor (`supervisor.sh`) as their process 1 have in common.

The supervisor ends what has run out of time and everything it started; the kernel keeps signals from inside the
sandbox away from it. A back end says how a command is started, and how the supervisor is talked to.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import abstractmethod
from dataclasses import replace
from typing import NamedTuple, Protocol

from arena.core.errors import SandboxUnavailable, UsageError
from arena.sandboxes import _snapshot
from arena.sandboxes._jobs import KILLED, NO_ROOM, TIMED_OUT, NoRoom
from arena.sandboxes._shell import SupervisedShell
from arena.sandboxes._snapshot import FileSnapshot
from arena.sandboxes.interface import Command, Sandbox, Snapshot
from arena.sandboxes.results import ExecResult
from arena.sandboxes.spec import SandboxSpec

END_SECONDS = 60.0
"""How long a sandbox may take to answer, or to end what it was told to end: long enough for a machine that is busy."""
FLUSH_SECONDS = 3.0
"""How long the last output of what was ended may take."""
GROWING = 8
"""More processes than this after a command are looked at again: they may be multiplying."""
ENDED = b"The sandbox has ended: a command in it took its first process down.\n"
"""What commands in such a sandbox get; it is no infrastructure's doing."""


class Job(Protocol):
    """One program under way. `ended` brings its exit code, or None if whoever should report it was killed."""

    pid: asyncio.Future[int]
    ended: asyncio.Future[int | None]

    def close(self) -> None:
        """Stop listening for it; a second call does nothing."""

    def finish(self, code: int | None) -> None:
        """It has ended, with this code or with none; a second call does nothing."""


class Streams(Protocol):
    """What one command writes."""

    def result(self, exit_code: int, timed_out: bool) -> ExecResult:
        """What has been written, as the command's result."""

    def close(self) -> None:
        """No more of it is wanted; a second call does nothing."""


class Look(NamedTuple):
    """What there is in the sandbox at a moment."""

    processes: int
    oom_kills: int
    """How many processes the kernel has ended here for want of memory so far."""


class Supervised(Sandbox):
    """The commands, the limits in time and number, and the snapshots."""

    def __init__(self, spec: SandboxSpec) -> None:
        self.spec = spec
        self.ended = False
        """A command inside has ended the whole sandbox."""
        self.jobs: set[Job] = set()
        self._commands = 0
        self._paused = False
        self._snapshots: list[FileSnapshot] = []
        self._starting = asyncio.Lock()
        """Held while a job is ended: one that begins in that moment could be taken for what it left running."""
        self._ending: set[asyncio.Task[None]] = set()
        """What ends jobs that nobody waits for any more."""
        self._lost = ""
        self._shell: SupervisedShell | None = None

    # What a back end says

    @abstractmethod
    async def launch(self, command: Command) -> tuple[Job, Streams]:
        """Start a command; the job is in `jobs`. Raises NoRoom where the sandbox's memory is full."""

    @abstractmethod
    async def ask(self, verb: str, *words: object) -> str | None:
        """Send the supervisor a line and wait for its answer; None where none comes."""

    @abstractmethod
    def tell(self, verb: str, *words: object) -> None:
        """As `ask`, without waiting."""

    @abstractmethod
    async def look(self) -> Look:
        """Count."""

    @abstractmethod
    def new_shell(self) -> SupervisedShell:
        """The shell, not yet started."""

    def check_command(self, command: Command) -> None:
        """Raise UsageError for what this back end does not have."""

    @abstractmethod
    async def freeze(self, frozen: bool) -> None:
        """Stop all processes, or let them go on."""

    async def end_as(self, user: str) -> None:
        """End the processes of a user whom the supervisor has no power over, where there can be such users."""

    # Commands

    async def _run(self, command: Command) -> ExecResult:
        """See `Sandbox.exec`."""
        self.check_command(command)
        self._commands += 1
        try:
            return await self._carry_out(command)
        finally:
            self._commands -= 1

    async def _carry_out(self, command: Command) -> ExecResult:
        begin = time.perf_counter()
        if self._shell and not self._shell.busy:  # this command may end the shell: its state must be known before
            await self._shell.take_state(patience=1)
        before = await self.before()
        if self.ended:
            return self.result_of_ended()
        try:
            job, streams = await self.launch(command)
        except NoRoom:
            return self.result_without_room()
        try:
            done, _ = await asyncio.wait((job.ended,), timeout=command.timeout)
            if not done:
                await self.end(job, command.user)
            code = job.ended.result() if done else TIMED_OUT
            result = streams.result(KILLED if code is None else code, timed_out=not done)
        except BaseException:  # cancelled, most likely: the command must not run on
            self.end_soon(job, command.user, streams)
            raise
        self.forget(job)
        streams.close()
        result = await self.after(result, before)
        return replace(result, duration=time.perf_counter() - begin)

    def forget(self, job: Job) -> None:
        """The job is over: stop listening for it."""
        self.jobs.discard(job)
        job.close()
        job.finish(None)

    async def end(self, job: Job, user: str = "") -> None:
        """Kill a job, everything it started, and what earlier commands left running; other jobs live on."""
        if self.ended:
            return
        if user and user != self.spec.user:
            await self.end_as(user)
        async with self._starting:
            await self._all_known()
            ended = job.pid.done() and await self.ask("kill", job.pid.result(), *self._others(job)) is not None
        if ended:
            await asyncio.wait((job.ended,), timeout=FLUSH_SECONDS)
        else:
            await self.sweep()

    def end_soon(self, job: Job, user: str = "", streams: Streams | None = None) -> None:
        """As `end`, and then forget it, without waiting: for a caller that is being cancelled."""

        async def end() -> None:
            try:
                with contextlib.suppress(SandboxUnavailable):
                    await self.end(job, user)
            finally:
                self.forget(job)
                if streams:
                    streams.close()

        task = asyncio.get_running_loop().create_task(end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _all_known(self) -> None:
        """Wait until every job has said which process it is, or that it is none."""
        deadline = time.monotonic() + END_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            unknown = [job for job in self.jobs if not job.pid.done() and not job.ended.done()]
            if not unknown:
                break
            events = [event for job in unknown for event in (job.pid, job.ended)]
            await asyncio.wait(events, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    async def settle(self) -> None:
        """Wait for what `end_soon` was told to end."""
        if self._ending:
            await asyncio.wait(self._ending)

    async def give_up_ending(self) -> None:
        """The sandbox closes, and everything ends with it."""
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _others(self, job: Job) -> list[int]:
        return [other.pid.result() for other in self.jobs if other is not job and other.pid.done()]

    async def sweep(self) -> None:
        """End everything but the supervisor."""
        if self.ended:
            return
        self.check_open()
        if self._shell:
            await self._shell.take_state(patience=1)
        if await self.ask("sweep") is None and not self.ended:
            self.check_open()
            self._lost = f"it did not end its processes within {END_SECONDS:g} s"
            raise SandboxUnavailable(f"This sandbox is lost: {self._lost}.")
        if self._shell:
            self._shell.drop()

    async def before(self) -> int:
        """See that commands can be run; returns what `after` wants to know."""
        await self.settle()
        self.check_open()
        seen = await self.look()
        if await self._is_full(seen):
            await self.sweep()
        return seen.oom_kills

    async def after(self, result: ExecResult, oom_kills_before: int, seen: Look | None = None) -> ExecResult:
        """Complete a result by what happened to the sandbox meanwhile, and make room for the next command.

        `seen` is what is known already of the moment after the command.
        """
        if result.exit_code == KILLED:
            await self.ask("ping")  # either it answers, or we have learnt why not
        self.check_open()
        seen = seen or await self.look()
        full = await self._is_full(seen)
        if full:
            await self.sweep()
        oom_killed = seen.oom_kills > oom_kills_before
        return replace(result, oom_killed=oom_killed, out_of_processes=full) if oom_killed or full else result

    def result_of_ended(self) -> ExecResult:
        """What any command does in a sandbox that has ended."""
        return ExecResult(KILLED, b"", ENDED)

    def result_without_room(self) -> ExecResult:
        """What a command does that could not be started."""
        return self.result_of_ended() if self.ended else NO_ROOM

    async def _is_full(self, seen: Look) -> bool:
        """Whether left-over processes take up the room of the next command's."""
        if self.ended or self._under_way():
            return False
        most = self.spec.processes - self.spec.processes // 4
        count, last = seen.processes, GROWING
        while last < count < most:
            await asyncio.sleep(0.005)
            count, last = (await self.look()).processes, count
        return count >= most

    def check_open(self) -> None:
        """Raise SandboxUnavailable where it is lost or closed."""
        if self._lost:
            raise SandboxUnavailable(f"This sandbox cannot be used: {self._lost}.")
        if self._paused:
            raise UsageError("This sandbox is paused: `resume` it first.")

    async def pause(self) -> None:
        """See `Sandbox.pause`."""
        if self._paused or self.ended:
            return
        self.check_open()
        if self._commands or (self._shell and self._shell.busy):
            raise UsageError("A sandbox cannot be paused while a command is under way.")
        await self.freeze(True)
        self._paused = True

    async def resume(self) -> None:
        """See `Sandbox.resume`."""
        if self._paused:
            await self.freeze(False)
            self._paused = False

    async def alive(self) -> bool:
        """See `Sandbox.alive`."""
        if self._lost or self.ended or self._paused:
            return False
        return await self.ask("ping") is not None

    def _under_way(self) -> set[Job]:
        """Commands, the shell not among them."""
        return self.jobs - (self._shell.jobs if self._shell else set())

    # The shell and snapshots

    async def shell(self) -> SupervisedShell:
        """See `Sandbox.shell`."""
        self.check_open()
        self._shell = self._shell or self.new_shell()
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
        """See `Sandbox.restore`; snapshots of the other back end fit as well.

        Raises:
            UsageError: it was released, or is of other work folders.
        """
        if not isinstance(snapshot, FileSnapshot):
            raise UsageError(f"A {self.kind} sandbox cannot restore a {type(snapshot).__name__}.")
        snapshot.check(self.spec.folders)
        await self.sweep()
        argv = _snapshot.unpack_command(self.spec.folders)
        result = await self._run(self._command(argv, snapshot.path))
        if result.exit_code != 0:
            raise SandboxUnavailable(f"The snapshot could not be unpacked: {result.error_text.strip()}")
        shell = await self.shell()
        shell.state = snapshot.state

    def _snapshots_held(self) -> int:
        return sum(not snapshot.released for snapshot in self._snapshots)
