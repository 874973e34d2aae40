"""The persistent shell of a bubblewrap sandbox: commands lie in files, reports come through a pipe of their own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from arena.sandboxes._channels import INSIDE, Messages, quoted
from arena.sandboxes._jobs import FileJob, FileStreams, OutputPipes
from arena.sandboxes._shell import STATE, STATE_LIMIT, SupervisedShell
from arena.sandboxes.interface import Command

if TYPE_CHECKING:
    from arena.sandboxes._supervised import Streams
    from arena.sandboxes.bubblewrap import Bubblewrap

SOURCE = "bash"
"""The file that holds the command; bash begins its messages with this name, so it is the same each time."""

ALONE = 3
"""How many processes there are where nothing runs but the shell: the supervisor, the one that will report the shell's
end, and the shell."""
REPORT_NAME = "report"
REPORT = rf"""_arena_status=$?
builtin printf '%s\0' "$_arena_status" >&4
{{
{STATE}
builtin printf '\0'
}} >&4 2>/dev/null
builtin return "$_arena_status"
"""


class BubblewrapShell(SupervisedShell):
    """See `SupervisedShell`."""

    _sandbox: Bubblewrap

    def __init__(self, sandbox: Bubblewrap) -> None:
        super().__init__(sandbox)
        self._feed = self._source = -1
        self._replies: Messages | None = None
        self._names: list[str] = []

    async def _begin(self) -> FileJob:
        number = self._sandbox.next_number()
        control = self._sandbox.control
        self._feed = control.pipe_in(f"{number}.feed")
        self._replies = Messages(control.pipe_out(f"{number}.reply"), self._heard, STATE_LIMIT)
        folder = quoted(self._sandbox.spec.folders[0])
        start = f"cd -- {folder}\nexec bash --norc --noprofile {INSIDE}/{number}.feed"
        redirections = f"</dev/null >/dev/null 2>&1 4>{INSIDE}/{number}.reply"
        job = self._sandbox.start(number, start, redirections)
        self._names = [f"{number}.feed", f"{number}.reply", f"{number}.state"]
        self._source = control.open(SOURCE)
        self._expect_report()
        restore = f". {control.put(self._names[2], self.state)} 2>/dev/null; " if self.state else ""
        os.write(self._feed, f"{restore}builtin printf '0\\0\\0' >&4\n".encode())
        return job

    async def _prepare(self, request: Command) -> FileStreams:
        box = self._sandbox
        box.control.remove(*self._names)  # bash has them open, and nobody else shall
        self._names = []
        # A process that an earlier command left may write into the pipes of now. Making others is what takes time.
        if box.pipes and box.processes() != ALONE:
            box.pipes.close()
            box.pipes = None
        box.pipes = box.pipes or OutputPipes(box.control, box.next_number(), box.lingering, lasting=True)
        return FileStreams(box.control, box.next_number(), request, box.lingering, box.pipes)

    def _submit(self, command: str, streams: Streams) -> None:
        assert isinstance(streams, FileStreams)
        text = os.fsencode(command)
        written = os.pwrite(self._source, text, 0)
        os.ftruncate(self._source, written)
        while written < len(text):
            written += os.pwrite(self._source, text[written:], written)
        os.write(
            self._feed, f". {INSIDE}/{SOURCE} {streams.redirections} 3<&- 4>&-; . {INSIDE}/{REPORT_NAME}\n".encode()
        )

    def _disconnect(self) -> None:
        self._sandbox.control.remove(*self._names)
        self._names = []
        if self._replies:
            self._replies.close()
            for file in (self._feed, self._source):
                os.close(file)
            self._sandbox.control.remove(SOURCE)
            self._replies, self._feed, self._source = None, -1, -1
