"""The persistent shell of a Docker sandbox: one bash over one attached stream, commands, output and reports alike.

A process that a command leaves behind holds that command's output open. Before the next command, output is then led
into other streams: those of a second program, which does nothing but hold them.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from arena.sandboxes._channels import INSIDE, checked, quoted
from arena.sandboxes._docker_exec import CommandStreams, ContainerJob, script
from arena.sandboxes._docker_stream import Kept
from arena.sandboxes._shell import STATE, SupervisedShell
from arena.sandboxes._supervised import Look
from arena.sandboxes.interface import Command

if TYPE_CHECKING:
    from arena.sandboxes._supervised import Job, Streams
    from arena.sandboxes.docker import Docker

HOLD = "exec 3>&2; printf '%s\\0' $$; read -r -d ''"
"""The second program: it lives until its input ends."""
PIDS, KILLS = re.compile(rb"/proc/(\d+)\b"), re.compile(rb"\boom_kill (\d+)")
INPUT, SOURCE = f"{INSIDE}/stdin", "/dev/fd/9"


REPORT = f"""_arena_report() {{
builtin set -- "$?" "$1" /proc/[0-9]*
builtin printf "\\0$2\\0" >&4
builtin mapfile -t _arena_kills </sys/fs/cgroup/memory/memory.oom_control ||
builtin mapfile -t _arena_kills </sys/fs/cgroup/memory.events || _arena_kills=()
builtin printf "\\0$2\\0r\\0%s\\0%s\\0" "$1" "${{*:3}} ${{_arena_kills[*]}}" >&3
builtin unset -v _arena_kills
{{
{STATE}
builtin printf '\\0'
}} >&3
builtin return "$1"
}}"""
"""What is called after each command with the mark: it leads in both streams to the command's exit code, the processes
and out-of-memory kills there are, and the state. 3 and 4 are where output goes. A function, because bash reads what
comes through a pipe byte by byte, and the line of each command so is short.

To ask the supervisor for the processes would take as long again as the command; what the agent could forge here
concerns the output of its own left-over processes. The command's own exit code is what the next one finds in `$?`.
"""


class DockerShell(SupervisedShell):
    """See `SupervisedShell`."""

    _sandbox: Docker

    def __init__(self, sandbox: Docker) -> None:
        super().__init__(sandbox)
        self.alone: frozenset[int] = frozenset()
        """The processes there were before the first command."""
        self._known: frozenset[int] = frozenset()
        """Those that do not hold the streams of now."""
        self._reports: list[bytes] = []
        self._seen: Look | None = None
        self._holder: ContainerJob | None = None
        self._source: ContainerJob | None = None

    @property
    def jobs(self) -> set[Job]:
        """See `SupervisedShell`; the second program is one too."""
        return super().jobs | ({self._holder} if self._holder else set())

    def seen(self) -> Look | None:
        """See `SupervisedShell.seen`."""
        return self._seen

    async def _begin(self) -> ContainerJob:
        folder = quoted(self._sandbox.spec.folders[0])
        self.alone = frozenset()
        job = await self._sandbox.start(
            lambda mark: script(f"cd -- {folder}\nexec bash --norc --noprofile", mark, "2>&3"),
            self._sandbox.spec.user,
        )
        self._listen(job)
        self._expect_report()
        report = f"_arena_report {job.mark}"
        state = f"builtin eval {quoted(os.fsdecode(self.state))}\n" if self.state else ""
        job.write(os.fsencode(f"exec 3>&1 4>&2 >/dev/null 2>&1\n{state}{REPORT}\nbuiltin :\n{report}\n"))
        return job

    async def _prepare(self, request: Command) -> CommandStreams:
        assert self._source
        if not self.alone:
            self.alone = self._known = (await self._sandbox.see()).pids
        elif not self._sandbox.seen.pids <= self._known and not (now := await self._sandbox.see()).pids <= self._known:
            await self._lead_elsewhere()
            self._known = now.pids
        if request.stdin:
            await self._sandbox.put(INPUT, request.stdin)
        self._seen = None
        streams = CommandStreams(request)
        if self._source:
            self._source.keep(streams.out, streams.error)
        return streams

    def _submit(self, command: str, streams: Streams) -> None:
        assert isinstance(self._job, ContainerJob)
        assert isinstance(streams, CommandStreams)
        assert self._source
        request = streams.command
        stdin = INPUT if request.stdin else "/dev/null"
        where = f"<{stdin} >&3 2>&{3 if request.merge else 4} 3>&- 4>&-"
        # As a file of its own: its lines are counted from 1, so that bash says the same of the same command.
        end = self._source.mark
        line = f". {SOURCE} 9<<'{end}' {where}; _arena_report {end}"
        self._job.write(os.fsencode(f"{line}\n{checked(command)}\n{end}\n"))

    async def _lead_elsewhere(self) -> None:
        assert isinstance(self._job, ContainerJob)
        before = self._holder
        self._holder = None
        holder = await self._sandbox.start(lambda _: HOLD, self._sandbox.spec.user)
        self._holder = holder
        self._listen(holder)
        fd = f"/proc/{holder.pid.result()}/fd"
        self._job.write(f"exec 3>{fd}/1 4>{fd}/2\n".encode())
        if before:
            self._sandbox.forget(before)
        else:
            self._job.slow()

    def _listen(self, source: ContainerJob) -> None:
        self._source = source
        source.on_report = self._reported

    def _reported(self, text: bytes) -> None:
        assert self._source
        self._source.keep(Kept(0), Kept(0))
        self._reports.append(text)
        if len(self._reports) == 2:
            code, look = self._reports
            pids = {int(pid) for pid in PIDS.findall(look)}
            kills = KILLS.search(look)
            if pids and kills:
                seen = self._sandbox.note(int(kills[1]), pids)
                self._seen = Look(len(seen.pids), seen.oom_kills)
            self._heard(code)
        elif len(self._reports) == 3:
            self._reports = []
            self._heard(text)

    def _disconnect(self) -> None:
        self._reports = []
        if self._holder:
            self._sandbox.forget(self._holder)
        self._holder = self._source = None
