"""The host's hold on one running `bwrap`: start it, talk to the supervisor in it, notice its end, end it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO, Any

from arena.core.errors import MissingPrerequisite, SandboxUnavailable
from arena.sandboxes import _seccomp
from arena.sandboxes._channels import Messages
from arena.sandboxes._dialogue import READY, Dialogue

START_SECONDS, END_SECONDS = 60.0, 60.0
"""How long a sandbox may take to answer, and to end what it was told to end."""
FIRST_USER = 1_700_000_000
"""When Arena runs as root, sandboxes run as users from here up, which own nothing on any machine."""
USERS = 1 << 24
INSTALL = "apt-get install bubblewrap"


def draw_user() -> int | None:
    """The user number on the host for a new sandbox; None where Arena has only its own: it is not root, or its root is
    that of a user namespace without these numbers.
    """
    if os.geteuid() != 0 or not _mapped(FIRST_USER + USERS):
        return None
    return FIRST_USER + secrets.randbelow(USERS)


def _mapped(user: int) -> bool:
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    return any(int(first) <= user < int(first) + int(count) for first, _, count in map(str.split, lines))


def _identity(user: int | None) -> dict[str, Any]:
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


@cache
def check_bwrap() -> str:
    """The path of `bwrap`, once it has made the namespaces of a sandbox on this machine.

    Raises:
        MissingPrerequisite: it is not installed, too old, or not allowed to.
    """
    path = shutil.which("bwrap")
    if sys.platform != "linux" or path is None:
        raise MissingPrerequisite("The bubblewrap sandbox needs Linux and the program bwrap.", INSTALL)
    namespaces = ["--unshare-user", "--unshare-pid", "--unshare-net", "--disable-userns"]
    trial = [path, *namespaces, "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    done = subprocess.run(trial, capture_output=True, check=False, cwd="/", **_identity(draw_user()))
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise MissingPrerequisite(
            f"bwrap cannot make a sandbox on this machine: {said or f'exit code {done.returncode}'}. It must be 0.8 or "
            "newer, and unprivileged user namespaces must be allowed (kernel.unprivileged_userns_clone=1, "
            "kernel.apparmor_restrict_unprivileged_userns=0).",
            INSTALL,
        )
    return str(path)


def _heeding() -> list[str]:
    """What gives two signals their meaning again, if we were started in the background, where shells take it away.

    A program hands on what it ignores, and bash cannot undo that.
    """
    ignored = any(signal.getsignal(number) is signal.SIG_IGN for number in (signal.SIGINT, signal.SIGQUIT))
    return ["/usr/bin/env", "--default-signal=INT,QUIT"] if ignored else []


def _space(process: Path) -> str:
    """The process namespace of a process, given its folder in /proc."""
    try:
        return str((process / "ns" / "pid").readlink())
    except OSError:
        return ""


async def _readable(file: int, seconds: float) -> bool:
    """Wait until there is something to read (for a pidfd: until the process has ended)."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def notice() -> None:
        loop.remove_reader(file)
        ready.set_result(None)

    loop.add_reader(file, notice)
    try:
        done, _ = await asyncio.wait((ready,), timeout=seconds)
        return bool(done)
    finally:
        loop.remove_reader(file)


class Bwrap:
    """One `bwrap` with a supervisor as process 1 of its sandbox.

    `on_exit` is called once when it ends by itself: with an empty text when the sandbox's own processes did it, with
    what happened otherwise.
    """

    def __init__(self, on_exit: Callable[[str], None]) -> None:
        self.child = 0
        """The supervisor's pid on the host."""
        self._on_exit = on_exit
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfds: list[int] = []
        self._control = -1
        self._replies: Messages | None = None
        self._dialogue = Dialogue(self._write)
        self._errors: IO[bytes] | None = None

    async def start(
        self, arguments: list[str], program: list[str], user: int | None, entered: Callable[[int], None]
    ) -> None:
        """Start it; `entered` gets the supervisor's pid before anything runs in the sandbox.

        Raises:
            SandboxUnavailable: it did not come up; carries what bwrap said.
        """
        ready = self._dialogue.expect(READY)
        info = self._spawn(arguments, program, user)
        try:
            text = b""
            while b"}" not in text:  # it comes in pieces
                if not await _readable(info, START_SECONDS) or not (piece := os.read(info, 4096)):
                    raise SandboxUnavailable(f"The sandbox did not start: {self._said()}")
                text += piece
            self.child = int(json.loads(text)["child-pid"])
            self._pidfds.append(os.pidfd_open(self.child))
            entered(self.child)
            os.write(self._release, b"1")
        finally:
            os.close(info)
            os.close(self._release)
        await asyncio.wait((ready,), timeout=START_SECONDS)
        if self._dialogue.over or not ready.done():
            raise SandboxUnavailable(f"The sandbox did not start: {self._said()}")

    def _spawn(self, arguments: list[str], program: list[str], user: int | None) -> int:
        commands, self._control = os.pipe2(os.O_CLOEXEC)
        replies, answer = os.pipe2(os.O_CLOEXEC)
        info, tell = os.pipe2(os.O_CLOEXEC)
        block, self._release = os.pipe2(os.O_CLOEXEC)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed by `close`
        options = ["--info-fd", str(tell), "--block-fd", str(block)]
        inherited = [tell, block]
        if rules := _seccomp.program():
            inherited.append(os.memfd_create("seccomp"))
            os.write(inherited[-1], rules)
            os.lseek(inherited[-1], 0, os.SEEK_SET)
            options += ["--seccomp", str(inherited[-1])]
        try:
            self._process = subprocess.Popen(
                [*_heeding(), check_bwrap(), *arguments, *options, "--", *program],
                stdin=commands,
                stdout=answer,
                stderr=self._errors,
                pass_fds=inherited,
                env={},
                cwd="/",
                **_identity(user),
            )
        finally:
            for file in (commands, answer, *inherited):
                os.close(file)
            self._replies = Messages(replies, self._dialogue.heard, longest=40)
        self._pidfds.append(os.pidfd_open(self._process.pid))
        asyncio.get_running_loop().add_reader(self._pidfds[0], self._notice_exit)
        return info

    def send(self, *words: object) -> None:
        """One line to the supervisor; if it is gone, that will be noticed elsewhere."""
        self._dialogue.say(*words)

    async def ask(self, verb: str, *words: object) -> str | None:
        """Send a line and wait for its answer; None where none came."""
        return await self._dialogue.ask(verb, *words, patience=END_SECONDS)

    def tell(self, verb: str, *words: object) -> None:
        """Send a line that is acknowledged, and do not wait."""
        self._dialogue.tell(verb, *words)

    def signal_all(self, number: int) -> None:
        """Send a signal to every process in the sandbox, until none has been missed."""
        with contextlib.suppress(OSError):
            space = _space(Path(f"/proc/{self.child}"))
            sent: set[int] = set()
            while space:
                found = {int(path.name) for path in Path("/proc").glob("[0-9]*") if _space(path) == space}
                if found <= sent:
                    return
                for pid in found - sent:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
                sent |= found

    async def close(self) -> None:
        """End everything in the sandbox; a second call does nothing.

        Raises:
            SandboxUnavailable: the kernel did not end it.
        """
        process, self._process = self._process, None
        if process is None:
            return
        asyncio.get_running_loop().remove_reader(self._pidfds[0])
        gone = []
        for pidfd in reversed(self._pidfds):  # the sandbox's process 1 first: everything in it goes with it
            # bwrap then collects it and ends by itself; it would be left to the machine's process 1 otherwise.
            if pidfd == self._pidfds[-1] or not await _readable(pidfd, 1):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            gone.append(await _readable(pidfd, END_SECONDS))
        for file in (*self._pidfds, self._control):
            os.close(file)
        if self._replies:
            self._replies.close()
        if self._errors:
            self._errors.close()
        if not all(gone):
            raise SandboxUnavailable(f"The kernel did not end process {process.pid} of a sandbox in {END_SECONDS:g} s.")
        process.wait()

    def _write(self, line: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._control, line)

    def _notice_exit(self) -> None:
        process = self._process
        if process is None:
            return
        asyncio.get_running_loop().remove_reader(self._pidfds[0])
        code = process.wait()
        # bwrap itself is out of reach from inside: a signal came from the host, an exit code from the sandbox.
        self._on_exit(f"somebody sent bwrap signal {-code}" if code < 0 else "")
        self._dialogue.end()

    def _said(self) -> str:
        assert self._errors is not None
        self._errors.seek(0)
        return self._errors.read(2000).decode("utf-8", "replace").strip() or "bwrap said nothing"
