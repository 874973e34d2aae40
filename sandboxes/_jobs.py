"""Jobs: programs that the supervisor of a bubblewrap sandbox starts on the host's behalf."""

from __future__ import annotations

import asyncio
import re

from arena.sandboxes._channels import INSIDE, Capture, ControlFolder, Messages, quoted
from arena.sandboxes.interface import Command
from arena.sandboxes.results import ExecResult
from arena.sandboxes.spec import SandboxSpec

TIMED_OUT, KILLED = 124, 137
"""Exit codes as `timeout` and a shell report them."""
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class NoRoom(Exception):
    """The kernel ended a program before it had begun: files or processes of the sandbox fill its memory."""


NO_ROOM = ExecResult(KILLED, b"", b"Nothing can be started: the sandbox's memory is full.\n", oom_killed=True)


class FileJob:
    """One program under way. `ended` brings its exit code, or None if whoever should report it was killed."""

    def __init__(self, control: ControlFolder, number: int) -> None:
        self.number = number
        self.pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._control = control
        self._messages = Messages(control.pipe_out(f"{number}.end"), self._heard, longest=20)

    def close(self) -> None:
        """Stop listening and remove the job's files; a second call does nothing."""
        self._messages.close()
        self._control.remove(str(self.number), f"{self.number}.end")

    def _heard(self, message: bytes | None) -> None:
        if message is None or not message.isdigit():
            if not self.ended.done():
                self.ended.set_result(None)
        elif not self.pid.done():
            self.pid.set_result(int(message))
        elif not self.ended.done():
            self.ended.set_result(int(message))


def limits(spec: SandboxSpec, memory_of_each: bool) -> str:
    """The limits that bash sets on itself and thereby on all it starts.

    Writable folders have their own size; twice that for one file, so that a full folder is what a program meets first.
    """
    kib = -(-2 * spec.disk // 1024)
    line = f"ulimit -c 0 -n {spec.open_files} -u {spec.processes} -f {kib}"
    return f"{line} -v {-(-spec.memory // 1024)}" if memory_of_each else line


def script(number: int, program: str, redirections: str, limits: str) -> str:
    """What the supervisor sources: run `program` with the limits, and report its pid and exit code.

    The report comes from a process above the program, through a pipe that the program does not have. Where memory
    runs out, `oom_score_adj` lets the kernel choose the program and not what stands above it.
    """
    return f"""exec 9>{INSIDE}/{number}.end
printf '%s\\0' "$BASHPID" >&9
(
exec {redirections} 9>&-
echo 500 >/proc/self/oom_score_adj
{limits}
{program}
)
printf '%s\\0' "$?" >&9
"""


def program(command: Command) -> str:
    """The lines that become the command."""
    folder, wanted = quoted(command.cwd), quoted(command.argv[0])
    lines = [f"cd -- {folder} 2>/dev/null || {{ printf '%s: cannot enter this folder\\n' {folder} >&2; exit 126; }}"]
    odd = []
    for name, value in command.env.items():
        if VARIABLE.match(name):
            lines.append(f"export {name}={quoted(value)}")
        else:
            odd.append(quoted(f"{name}={value}"))
    lines.append(
        f"type -P -- {wanted} >/dev/null || {{ [[ {wanted} = */* && -e {wanted} ]] && "
        f"{{ printf '%s: Permission denied\\n' {wanted} >&2; exit 126; }}; "
        f"printf '%s: command not found\\n' {wanted} >&2; exit 127; }}"
    )
    words = [*(("env", *odd) if odd else ()), *map(quoted, command.argv)]
    lines.append(f"exec -- {' '.join(words)}")
    return "\n".join(lines)


class FileStreams:
    """The input file and output pipes of one command."""

    def __init__(self, control: ControlFolder, number: int, command: Command, lingering: set[Capture]) -> None:
        self._control = control
        self._lingering = lingering
        self._names = [f"{number}.out"]
        self.redirections = f"</dev/null >{INSIDE}/{number}.out"
        if command.stdin:
            self._names.append(f"{number}.in")
            self.redirections = f"<{control.put(self._names[-1], command.stdin)} >{INSIDE}/{number}.out"
        self._captures = [Capture(control.pipe_out(f"{number}.out"), command.max_output, command.output)]
        if command.merge:
            self.redirections += " 2>&1"
        else:
            self._names.append(f"{number}.err")
            self._captures.append(Capture(control.pipe_out(f"{number}.err"), command.max_output))
            self.redirections += f" 2>{INSIDE}/{number}.err"

    def result(self, exit_code: int, timed_out: bool) -> ExecResult:
        """What has been written, as the command's result."""
        texts = [capture.finish() for capture in self._captures]
        truncated = any(capture.truncated for capture in self._captures)
        return ExecResult(exit_code, texts[0], texts[1] if len(texts) > 1 else b"", timed_out, truncated=truncated)

    def close(self) -> None:
        """Remove the files; pipes that a left-over process still holds go to `lingering`."""
        self._control.remove(*self._names)
        self._lingering.update(capture for capture in self._captures if capture.linger(self._lingering.discard))
