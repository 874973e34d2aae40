"""One program in a container, started by the engine: the wrapper that reports its process number and its end.

The wrapper is a bash that gets what to do through its input, so that nothing of it is an argument that could be too
long. It marks the end of the output in both streams: a process that outlives its command keeps them open, and the
engine would go on for seconds.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from arena.sandboxes import _jobs
from arena.sandboxes._docker_stream import ERROR, Attached, Kept, Marked
from arena.sandboxes.interface import Command
from arena.sandboxes.results import ExecResult

BOOT = ("bash", "--norc", "--noprofile", "-c", 'IFS= read -r -d "" script; eval "$script"')
"""Runs what comes through its input, up to a NUL."""
CHUNK = 1 << 18
MESSAGE_LIMIT = 4 << 20
"""Bytes of one text of a report."""
ENDED, REPORT = b"e", b"r"
"""What a message is about: the program's end, a command of the shell."""


def script(program: str, mark: str, redirections: str) -> str:
    """What the wrapper does. Where memory runs out, the kernel shall choose the program and not the wrapper."""
    return f"""printf '%s\\0' "$$"
exec 3>&2 2>/dev/null
(
echo 500 >/proc/self/oom_score_adj
exec {redirections} 3>&-
{program}
)
code=$?
printf '\\0{mark}\\0' >&3
printf '\\0{mark}\\0e\\0%s\\0\\0\\0' "$code"
"""


def size_of(stdin: bytes | Path) -> int:
    """Bytes of a command's input."""
    return stdin.stat().st_size if isinstance(stdin, Path) else len(stdin)


def pieces(path: Path) -> Iterator[bytes]:
    """A file's content."""
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece


class ContainerJob:
    """A program under way; see `Job`. The one who starts it connects it."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.pid: asyncio.Future[int] = loop.create_future()
        self.ended: asyncio.Future[int | None] = loop.create_future()
        self.mark = f"m{secrets.token_hex(8)}"  # no digit: it follows a `\\0` in a format
        self.said = b""
        """What came instead of a process number: the engine's own words."""
        self.on_report: Callable[[bytes], None] = lambda text: None
        """Gets the three texts of each report on a command of the shell: its exit code, what was seen, the state."""
        self._out = Marked(self.mark.encode(), 4, self._heard_out, MESSAGE_LIMIT)
        self._error = Marked(self.mark.encode(), 0, self._heard_error, 0)
        self._codes = self._marks = 0
        self._reports: list[bytes] = []
        self._code: int | None = None
        self._attached: Attached | None = None

    @property
    def connected(self) -> bool:
        """Whether it has been told what to do."""
        return self._attached is not None

    def keep(self, out: Kept, error: Kept) -> None:
        """Where what it writes goes from now on."""
        self._out.kept, self._error.kept = out, error

    def connect(self, wrapped: object, text: str, stdin: bytes | Path = b"") -> None:
        """Begin: `wrapped` is the engine's socket, `text` the script."""
        self._attached = Attached(wrapped, self._heard, self._hung_up)
        first = os.fsencode(text) + b"\0"
        if isinstance(stdin, Path):
            self._attached.write(first, pieces(stdin))
        else:
            self._attached.write(first + stdin)

    def write(self, data: bytes) -> None:
        """More of its input."""
        if self._attached:
            self._attached.write(data)

    def close(self) -> None:
        """Hang up; a second call does nothing."""
        if self._attached:
            self._attached.close()

    def finish(self, code: int | None) -> None:
        """It has ended, with this code or with none."""
        if not self.ended.done():
            self.ended.set_result(code)

    def slow(self) -> None:
        """Its output is of no interest any more."""
        if self._attached:
            self._attached.slow()

    def _heard(self, kind: int, data: bytes) -> None:
        if kind == ERROR:
            self._error.feed(data)  # it may be here before the number is
            return
        if not self.pid.done():
            self.said += data
            number, end, data = self.said.partition(b"\0")
            if not end or not number.isdigit():
                return
            self.pid.set_result(int(number))
        self._out.feed(data)

    def _heard_out(self, texts: list[bytes]) -> None:
        if len(texts) == 2:
            self._codes += 1
            if texts[0] == ENDED:
                self._code = int(texts[1]) if texts[1].isdigit() else 255
        if len(texts) > 1 and texts[0] == REPORT:
            self._reports.append(texts[-1])
        self._tell()

    def _heard_error(self, _: list[bytes]) -> None:
        self._marks += 1
        self._tell()

    def _tell(self) -> None:
        """The two streams come independently of each other: what is marked in one waits for the mark in the other."""
        if self._marks < self._codes:
            return
        reports, self._reports = self._reports, []
        for text in reports:
            self.on_report(text)
        if self._code is not None:
            self.finish(self._code)

    def _hung_up(self) -> None:
        self._out.end()
        self._error.end()
        self.finish(self._code)


class CommandStreams:
    """What one command wrote, kept from its streams; see `Streams`."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.out = Kept(command.max_output, command.output)
        self.error = Kept(command.max_output)

    def result(self, exit_code: int, timed_out: bool) -> ExecResult:
        """See `Streams.result`."""
        truncated = self.out.truncated or self.error.truncated
        return ExecResult(exit_code, self.out.content(), self.error.content(), timed_out, truncated=truncated)

    def close(self) -> None:
        """Nothing more is kept."""
        self.out.end()
        self.error.end()


def redirections(command: Command) -> str:
    """Where the program's three streams lead; the wrapper's standard error is 3."""
    stdin = f"< <(exec head -c {size_of(command.stdin)})" if command.stdin else "</dev/null"
    return f"{stdin} {'2>&1' if command.merge else '2>&3'}"


def command_script(command: Command, mark: str) -> str:
    """The script of one command."""
    return script(_jobs.program(command), mark, redirections(command))
