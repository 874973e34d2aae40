"""The persistent shell: one bash that reads line after line, each a command and a report on what became of it.

A report is the command's exit code, and then everything that makes the shell's state: folder, variables, functions,
aliases and options. The state is what a snapshot keeps, and what the next bash starts from when a command has timed
out or ended the shell.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

from arena.core.errors import SandboxUnavailable
from arena.sandboxes._jobs import KILLED, TIMED_OUT, NoRoom
from arena.sandboxes.interface import Command, Shell
from arena.sandboxes.results import ExecResult

if TYPE_CHECKING:
    from arena.sandboxes._supervised import Job, Look, Streams, Supervised

START_SECONDS = 60.0
"""How long bash may take to start, or to report its state."""
STATE_SECONDS = 10.0
"""How long bash may take to start from a state."""
STATE_LIMIT = 4 << 20
"""Bytes; a larger state is not taken over, and the one before it stands."""

STATE = r"""builtin printf 'builtin eval "builtin shopt -u ${BASHOPTS//:/ }"\nbuiltin shopt -s %s\n' "${BASHOPTS//:/ }"
builtin printf 'cd -- %q\n' "$PWD"
builtin declare -p
builtin declare -f
builtin alias -p
builtin umask -p
builtin printf 'builtin eval "builtin set +o ${SHELLOPTS//:/ +o }"\nbuiltin set -o %s\n' "${SHELLOPTS//:/ -o }"
"""
"""Commands that print what makes the shell's state, as commands that make it again.

bash writes line by line, and each line wakes everyone on its way: so options are two lines and not `shopt -p`. How
functions are read depends on the one kind of options, and whether anything is run (`set -n`, `set -e`) on the other.
"""


class SupervisedShell(Shell):
    """See `Sandbox.shell`. Commands are run one after the other."""

    def __init__(self, sandbox: Supervised) -> None:
        self.state = b""
        self._sandbox = sandbox
        self._turn = asyncio.Lock()
        self._job: Job | None = None
        self._code: asyncio.Future[bytes] | None = None
        self._settled: asyncio.Future[bytes] | None = None

    # What a back end says

    @abstractmethod
    async def _begin(self) -> Job:
        """Start a bash that settles once it has taken over `state`."""

    @abstractmethod
    async def _prepare(self, request: Command) -> Streams:
        """Make ready for the next command's output."""

    @abstractmethod
    def _submit(self, command: str, streams: Streams) -> None:
        """Have bash run a command."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Forget the bash there was."""

    def seen(self) -> Look | None:
        """What the last command's report said of the sandbox; None where it did not."""
        return None

    @property
    def jobs(self) -> set[Job]:
        """The bash, while there is one, and what it cannot be without."""
        return {self._job} if self._job else set()

    @property
    def busy(self) -> bool:
        """Whether a command is under way."""
        return self._turn.locked()

    async def run(
        self,
        command: str,
        *,
        stdin: bytes | str | None = None,
        timeout: float | None = None,
        max_output: int | None = None,
        merge: bool = False,
    ) -> ExecResult:
        """See `Shell.run`."""
        request = self._sandbox._command(("bash",), stdin, timeout=timeout, max_output=max_output, merge=merge)
        begin = time.perf_counter()
        async with self._turn:
            if self._sandbox.ended:
                return self._sandbox.result_of_ended()
            await self._settle()
            before = await self._sandbox.before()
            try:
                result = await self._run(command, request)
            except NoRoom:
                return self._sandbox.result_without_room()
            result = await self._sandbox.after(result, before, self.seen())
        return replace(result, duration=time.perf_counter() - begin)

    async def close(self) -> None:
        """See `Shell.close`."""
        job = self._job
        if job and not job.ended.done():
            await self._sandbox.end(job)
        self.drop()

    async def settled_state(self) -> bytes:
        """The state after the last command."""
        async with self._turn:
            await self._settle()
            return self.state

    async def take_state(self, patience: float) -> bool:
        """Wait for the state after the last command, and keep it; False where it did not come in time."""
        if self._settled and self._job:
            if not self._settled.done():
                ends = (self._settled, self._job.ended)
                await asyncio.wait(ends, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not self._settled.done():
                return False
            self.state = self._settled.result() or self.state
            self._settled = None
        return True

    async def _settle(self) -> None:
        """Get ready for the next command: there is a bash that waits for one, or none."""
        if not await self.take_state(START_SECONDS):
            await self.close()
        if self._job and self._job.ended.done():
            self.drop()

    async def _run(self, command: str, request: Command) -> ExecResult:
        while True:
            job = self._job or await self._start()
            streams = await self._prepare(request)
            if self._job is job:  # a sandbox that has to be emptied for the command's input loses its shell
                break
        try:
            self._expect_report()
            assert self._code is not None
            self._submit(command, streams)
            done, _ = await asyncio.wait(
                (self._code, job.ended), timeout=request.timeout, return_when=asyncio.FIRST_COMPLETED
            )
            code = self._code.result() if self._code.done() else None
            if code is not None:
                return streams.result(int(code) if code.isdigit() else 255, timed_out=False)
            exit_code = TIMED_OUT
            if job.ended.done():
                ended = job.ended.result()
                exit_code = KILLED if ended is None else ended
            self._settled = None
            await self.close()
            return streams.result(exit_code, timed_out=not done)
        except BaseException:  # cancelled, most likely: the command must not run on
            self._sandbox.end_soon(job)
            self.drop()
            raise
        finally:
            streams.close()

    async def _start(self) -> Job:
        """What commands left can keep bash from starting: processes that kill it, or a function called `builtin`, say.

        The former are ended, and then the state is given up.
        """
        for patience in (STATE_SECONDS, STATE_SECONDS, START_SECONDS):
            last = patience == START_SECONDS
            self.state = b"" if last else self.state
            try:
                self._job = job = await self._begin()
            except (SandboxUnavailable, NoRoom):
                if last:
                    raise
            else:
                assert self._settled is not None
                await asyncio.wait((self._settled, job.ended), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                if self._settled.done():
                    return job
                await self.close()
            await self._sandbox.sweep()
        if self._sandbox.ended:
            raise NoRoom
        raise SandboxUnavailable(f"The sandbox's shell did not start within {START_SECONDS:g} s.")

    def _expect_report(self) -> None:
        loop = asyncio.get_running_loop()
        self._code, self._settled = loop.create_future(), loop.create_future()

    def _heard(self, message: bytes | None) -> None:
        """Replies come in pairs: an exit code, then the state. That they end is known from the job."""
        if message is None:
            return
        if self._code and not self._code.done():
            self._code.set_result(message)
        elif self._settled and not self._settled.done():
            self._settled.set_result(message)

    def drop(self) -> None:
        """Forget the bash there was; the state stands."""
        self._disconnect()
        if self._job:
            self._sandbox.forget(self._job)
            self._job = None
        self._settled = None
