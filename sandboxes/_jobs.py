"""Jobs: programs that the supervisor of a bubblewrap sandbox starts on the host's behalf."""

from __future__ import annotations

import asyncio
import os
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
        self._control.remove(str(self.number), f"{self.number}.end", f"{self.number}.program")

    def finish(self, code: int | None) -> None:
        """It has ended, with this code or with none; a second call does nothing."""
        if not self.ended.done():
            self.ended.set_result(code)

    def _heard(self, message: bytes | None) -> None:
        if message is None or not message.isdigit():
            self.finish(None)
        elif not self.pid.done():
            self.pid.set_result(int(message))
        else:
            self.finish(int(message))


def limits(spec: SandboxSpec, memory_of_each: bool) -> str:
    """The limits that bash sets on itself and thereby on all it starts.

    Writable folders have their own size; twice that for one file, so that a full folder is what a program meets first.
    """
    kib = -(-2 * spec.disk // 1024)
    line = f"ulimit -c 0 -n {spec.open_files} -u {spec.processes} -f {kib}"
    return f"{line} -v {-(-spec.memory // 1024)}" if memory_of_each else line


def script(number: int, redirections: str) -> str:
    """What the supervisor sources: run the job's program, and report its pid and exit code.

    The report comes from a process above the program, through a pipe that the program does not have. It is as closed
    to the program as the supervisor is: it has grown out of it, and the program begins with another bash.
    """
    return f"""exec 9>{INSIDE}/{number}.end
printf '%s\\0' "$BASHPID" >&9
(
exec {redirections} 9>&-
exec bash --norc --noprofile {INSIDE}/{number}.program
)
printf '%s\\0' "$?" >&9
"""


def limited(program: str, limits: str) -> str:
    """What that bash does. Where memory runs out, the kernel shall choose the program and not what stands above it."""
    return f"echo 500 >/proc/self/oom_score_adj\n{limits}\n{program}\n"


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


class OutputPipes:
    """Two named pipes for what programs write; one command after the other may have them while nobody else does."""

    def __init__(self, control: ControlFolder, number: int, lingering: set[Capture], lasting: bool = False) -> None:
        self._control = control
        self._lingering = lingering
        self._names = [f"{number}.out", f"{number}.err"]
        self.captures = [Capture(control.pipe_out(name), 0) for name in self._names]
        # A pipe ends with its last writer: where it shall outlast a command, we are one too.
        self._held = [control.open_out(name) for name in self._names] if lasting else []

    def begin(self, command: Command) -> str:
        """What is written from now on is this command's; returns the redirections that lead there."""
        for capture in self.captures if self._held else ():
            capture.finish()  # whatever is there nobody waits for any more
        self.captures[0].begin(command.max_output, command.output)
        self.captures[1].begin(command.max_output)
        out, error = (f"{INSIDE}/{name}" for name in self._names)
        return f">{out} 2>&1" if command.merge else f">{out} 2>{error}"

    def result(self, exit_code: int, timed_out: bool) -> ExecResult:
        """What has been written, as the command's result."""
        out, error = (capture.finish() for capture in self.captures)
        truncated = any(capture.truncated for capture in self.captures)
        return ExecResult(exit_code, out, error, timed_out, truncated=truncated)

    def close(self) -> None:
        """Remove them; those that a left-over process still holds go to `lingering`. A second call does nothing."""
        for file in self._held:
            os.close(file)
        self._control.remove(*self._names)
        self._lingering.update(capture for capture in self.captures if capture.linger(self._lingering.discard))
        self._held, self._names, self.captures = [], [], []


class FileStreams:
    """The input file and output pipes of one command; `shared` pipes stay open for the next."""

    def __init__(
        self,
        control: ControlFolder,
        number: int,
        command: Command,
        lingering: set[Capture],
        shared: OutputPipes | None = None,
    ) -> None:
        self._control = control
        self._pipes = shared or OutputPipes(control, number, lingering)
        self._own = [] if shared else [self._pipes]
        self._names = [f"{number}.in"] if command.stdin else []
        stdin = control.put(self._names[0], command.stdin) if command.stdin else "/dev/null"
        self.redirections = f"<{stdin} {self._pipes.begin(command)}"

    def result(self, exit_code: int, timed_out: bool) -> ExecResult:
        """See `OutputPipes.result`."""
        return self._pipes.result(exit_code, timed_out)

    def close(self) -> None:
        """Remove the files."""
        self._control.remove(*self._names)
        for pipes in self._own:
            pipes.close()
