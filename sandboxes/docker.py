"""Sandboxes that are containers of the Docker engine which `DOCKER_HOST` names: the full back end.

A container has no network, no capability, no way to new privileges, a read-only root, and writable folders in memory
that have a size; memory, processor time, processes and files are limited; a list of system calls is refused
(`_seccomp`); the commands run as a user that is not root. Nothing of the host is mounted, so the engine may be on
another machine. What it does not hold against is a flaw of the kernel or of the engine; the runtime `runsc` (gVisor)
puts another kernel in between.

The supervisor (`supervisor.sh`) is process 1. Its input is a connection that this program holds open: when the program
dies, in whatever way, the container ends and the engine removes it. Commands are started by the engine, each with a
connection of its own; the shell keeps one. Nothing is put into the image and nothing but bash, coreutils, tar and find
is expected there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from arena.core.errors import MissingPrerequisite, SandboxUnavailable
from arena.sandboxes import _docker_container, _docker_engine, _docker_orphans, _files, _held, images
from arena.sandboxes._closing import to_the_end
from arena.sandboxes._dialogue import READY, Dialogue
from arena.sandboxes._docker_engine import TIME_TO_LIVE, call
from arena.sandboxes._docker_exec import BOOT, CommandStreams, ContainerJob, command_script
from arena.sandboxes._docker_shell import DockerShell
from arena.sandboxes._docker_stream import OUT, Attached, hang_up
from arena.sandboxes._jobs import NoRoom
from arena.sandboxes._supervised import END_SECONDS, Look, Supervised
from arena.sandboxes.interface import Command
from arena.sandboxes.results import Capabilities, Stats
from arena.sandboxes.spec import SandboxSpec

__all__ = ["Docker"]

START_SECONDS = 60.0
"""How long a container, or a program in it, may take to start."""
ASK_SECONDS = TIME_TO_LIVE / 24
"""How often the supervisor is asked at least while commands are run: it ends where nobody speaks to it for long."""


class Seen(NamedTuple):
    """What there was in the sandbox at a moment."""

    oom_kills: int
    pids: frozenset[int]


class Docker(Supervised):
    """See `Sandbox` for what it does and this module for what it protects. Made by `create`."""

    kind = "docker"

    def __init__(self, spec: SandboxSpec) -> None:
        super().__init__(spec)
        self.seen = Seen(0, frozenset())
        """What was seen last."""
        self._asked = 0.0
        self._wrappers: set[int] = set()
        """Process numbers of the wrappers of commands: one that has reported its end may need a moment to be gone."""
        self._api = _docker_engine.client()
        self.container = ""
        """The engine's number for it; empty where there is none."""
        self._folder = _held.HeldFolder("container")
        self._attached: Attached | None = None
        self._dialogue = Dialogue(self._write)
        self._rest = b""

    @classmethod
    async def create(cls, spec: SandboxSpec) -> Self:
        """See `Sandbox.create`."""
        spec.check_read_only()
        await asyncio.to_thread(_once_per_engine, _docker_engine.client())
        sandbox = cls(spec)
        try:
            await sandbox._bring_up()
        except BaseException:
            await sandbox.close()
            raise
        return sandbox

    @classmethod
    def preflight(cls) -> None:
        """See `Sandbox.preflight`: asks the engine for its version."""
        try:
            with _docker_engine.errors_of_ours("made"):
                _docker_engine.client().version()
        except SandboxUnavailable as error:
            raise MissingPrerequisite(f"The Docker engine does not answer: {error}", _docker_engine.INSTALL) from error

    @classmethod
    def capabilities(cls) -> Capabilities:
        """See `Sandbox.capabilities`."""
        with _docker_engine.errors_of_ours("made"):
            info = _docker_engine.client().info()
        version = info.get("CgroupVersion", "1")
        return Capabilities(
            memory=f"control groups, version {version}" if info.get("MemoryLimit") else "no limit",
            processes=f"control groups, version {version}" if info.get("PidsLimit") else "no limit",
            cpus=bool(info.get("CpuCfsQuota")),
            system_calls="a list of refused calls"
            if any("seccomp" in word for word in info["SecurityOptions"])
            else "",
            networks=("none", "internal", "allow-list"),
            users=True,
        )

    @classmethod
    def cleanup_orphans(cls) -> int:
        """See `Sandbox.cleanup_orphans`."""
        with _docker_engine.errors_of_ours("cleaned up"):
            return _docker_orphans.remove(_docker_engine.client())

    async def launch(self, command: Command) -> tuple[ContainerJob, CommandStreams]:
        """Have the engine start a command; a sandbox too full for that is emptied first."""
        streams = CommandStreams(command)

        def text(mark: str) -> str:
            return command_script(command, mark)

        for last in (False, True):
            try:
                job = await self.start(text, command.user, command.stdin, streams)
                break
            except (SandboxUnavailable, NoRoom):
                if last or self._under_way():
                    raise
                await self.sweep()
        return job, streams

    async def start(
        self,
        text: Callable[[str], str],
        user: str,
        stdin: bytes | Path = b"",
        streams: CommandStreams | None = None,
    ) -> ContainerJob:
        """Start a program; `text` makes the script from the mark.

        Raises:
            SandboxUnavailable: the engine did not do it.
            NoRoom: the kernel ended it at once.
        """
        job, kills = ContainerJob(), self.seen.oom_kills
        if streams:
            job.keep(streams.out, streams.error)
        script = text(job.mark)
        async with self._starting:
            self.jobs.add(job)
        try:
            wrapped = await call("used", self._attach, _docker_container.user(user, self.spec), undo=hang_up)
            job.connect(wrapped, script, stdin)
            await asyncio.wait((job.pid, job.ended), timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not job.pid.done() and ((await self.see()).oom_kills > kills or self.ended):
                raise NoRoom
            if not job.pid.done():
                raise SandboxUnavailable(
                    f"The engine did not start a program: {job.said[:2000].decode(errors='replace')}"
                )
            self._wrappers.add(job.pid.result())
        except asyncio.CancelledError:  # it must not run on, even if it begins only now
            if job.connected:
                self.end_soon(job)
            else:
                self.forget(job)
            raise
        except BaseException:
            self.forget(job)
            raise
        return job

    def _attach(self, user: str) -> Any:
        made = self._api.exec_create(self.container, list(BOOT), stdin=True, stdout=True, stderr=True, user=user)
        return self._api.exec_start(made["Id"], socket=True)

    async def put(self, path: str, content: bytes | Path) -> None:
        """Make a file where only root may."""
        command = self._command(("sh", "-c", 'rm -f "$1"; exec cat >"$1"', "sh", path), content, user="root")
        done = await self._run(command)
        if done.exit_code:
            raise SandboxUnavailable(f"The command's input could not be brought: {done.error_text}")

    async def end_as(self, user: str) -> None:
        """See `Supervised.end_as`."""
        job = await self.start(lambda _: "printf '%s\\0' $$; kill -KILL -1", user)
        await asyncio.wait((job.ended,), timeout=END_SECONDS)
        self.forget(job)

    async def ask(self, verb: str, *words: object) -> str | None:
        """See `Supervised.ask`."""
        answer = await self._dialogue.ask(verb, *words, patience=END_SECONDS)
        if answer is None:
            await self._find_out()
        return answer

    def tell(self, verb: str, *words: object) -> None:
        """See `Supervised.tell`."""
        self._dialogue.tell(verb, *words)

    async def see(self) -> Seen:
        """What the supervisor sees now."""
        answer = await self.ask("look")
        self.check_open()
        if answer:
            kills, *words = answer.split()
            self.note(int(kills), {int(pid) for pid in words if pid.isdigit()})
            self._asked = time.monotonic()
        return self.seen

    def note(self, oom_kills: int, pids: set[int]) -> Seen:
        """Take in what there is in the sandbox now, whoever saw it."""
        self._wrappers &= pids
        self.seen = Seen(oom_kills, frozenset(pids - self._wrappers))
        return self.seen

    async def look(self) -> Look:
        """See `Supervised.look`."""
        seen = await self.see()
        return Look(len(seen.pids), seen.oom_kills)

    async def before(self) -> int:
        """See `Supervised.before`; where nothing can have happened since the last look, there is no other."""
        await self.settle()
        shell = self._shell
        quiet = isinstance(shell, DockerShell) and self.seen.pids == shell.alone and self.jobs == shell.jobs
        if quiet and not self._dialogue.over and time.monotonic() - self._asked < ASK_SECONDS:
            self.check_open()
            return self.seen.oom_kills
        return await super().before()

    async def freeze(self, frozen: bool) -> None:
        """By the engine."""
        if frozen:
            await call("paused", self._api.pause, self.container)
        else:
            await call("resumed", self._api.unpause, self.container)

    def new_shell(self) -> DockerShell:
        """See `Supervised.new_shell`."""
        return DockerShell(self)

    def stats(self) -> Stats:
        """See `Sandbox.stats`."""
        with _docker_engine.errors_of_ours("asked"):
            found = self._api.stats(self.container, stream=False, one_shot=True)
        memory, usage = found.get("memory_stats", {}), found.get("cpu_stats", {}).get("cpu_usage", {})
        return Stats(
            found.get("pids_stats", {}).get("current"),
            memory.get("usage"),
            memory.get("max_usage"),
            usage["total_usage"] / 1e9 if "total_usage" in usage else None,
            self._snapshots_held(),
        )

    @to_the_end
    async def close(self) -> None:
        """See `Sandbox.close`. Snapshots stay: they are released by themselves."""
        self._lost = self._lost or "it is closed"
        await self.give_up_ending()
        if self._shell:
            self._shell.drop()
        for job in list(self.jobs):
            self.forget(job)
        if self._attached:
            self._attached.close()
        if self.container:
            container, self.container = self.container, ""
            with contextlib.suppress(SandboxUnavailable):  # the engine is gone, and the container with it
                await call("removed", _docker_orphans.remove_container, self._api, container)
        self._folder.release()

    async def _bring_up(self) -> None:
        spec, api = self.spec, self._api
        if spec.runtime:
            await call("made", _docker_engine.check_runtime, api, spec.runtime)
        image = await call("made", images.find, api, spec.image, spec.pull)
        holder = str(self._folder.path)
        arguments = _docker_container.arguments(api, spec, image=image, holder=holder)

        def remove(made: dict[str, str]) -> None:
            _docker_orphans.remove_container(api, made["Id"])

        made = await call("made", api.create_container, undo=remove, **arguments)
        self.container = made["Id"]
        streams = {"stdin": 1, "stdout": 1, "stderr": 0, "stream": 1}
        wrapped = await call("made", api.attach_socket, self.container, params=streams, undo=hang_up)
        self._attached = Attached(wrapped, self._heard, self._hung_up)
        ready = self._dialogue.expect(READY)
        await call("started", api.start, self.container)
        supervisor = Path(__file__).with_name("supervisor.sh").read_text(encoding="utf-8")
        self._write(f"life={TIME_TO_LIVE}\n{supervisor}\0".encode())
        await asyncio.wait((ready,), timeout=START_SECONDS)
        if self._dialogue.over or not ready.done():
            raise SandboxUnavailable(
                f"The container started, but not its supervisor: is there bash, coreutils, tar and find in {image!r}?"
            )

        if spec.read_only:
            await self._give(spec.read_only)

    async def _give(self, folders: Mapping[str, str]) -> None:
        """Unpack folders of this machine where only root may write: all at once, for a command takes its time."""
        with _files.packed({place.lstrip("/"): Path(source) for place, source in folders.items()}) as archive:
            argv = ("sh", "-c", 'tar -C / -xf - --no-same-owner && chmod -R a+rX "$@"', "sh", *folders)
            done = await self._run(self._command(argv, archive, user="root"))
        if done.exit_code:
            raise SandboxUnavailable(f"Folders could not be brought into the sandbox: {done.error_text.strip()}")

    def _write(self, line: bytes) -> None:
        if self._attached:
            self._attached.write(line)

    def _heard(self, kind: int, data: bytes) -> None:
        if kind == OUT:
            *whole, self._rest = (self._rest + data).split(b"\0")
            for message in whole:
                self._dialogue.heard(message)

    def _hung_up(self) -> None:
        for job in self.jobs:
            job.finish(None)
        self._dialogue.end()

    async def _find_out(self) -> None:
        """The supervisor does not answer: did a command take it down, or somebody else?"""
        if self._lost or self.ended:
            return
        if not self._dialogue.over:
            self._lost = f"its supervisor did not answer within {END_SECONDS:g} s"
            return
        try:
            self.ended = await call("asked", _docker_orphans.ended_from_inside, self._api, self.container)
        except SandboxUnavailable as error:
            self._lost = f"the Docker engine went away ({error})"
        if not self.ended:
            self._lost = self._lost or "its container has ended, and no command did that"


_KNOWN: set[int] = set()


def _once_per_engine(api: Any) -> None:
    """Before the first sandbox: remove what dead programs left."""
    if id(api) not in _KNOWN:
        with _docker_engine.errors_of_ours("made"):
            _docker_orphans.remove(api)
        _KNOWN.add(id(api))
