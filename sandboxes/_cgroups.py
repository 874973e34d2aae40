"""Limits by control group, version 1 or 2, below a group this program may write to."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from arena.sandboxes.spec import SandboxSpec

CONTROLLERS = ("memory", "pids", "cpu")
SPARE_PROCESSES = 32
"""Room above the spec's limit, so that commands can still be started and ended in a full sandbox."""
CPU_PERIOD = 100_000
"""Microseconds."""


@dataclass(frozen=True)
class Parents:
    """Where groups can be made: controller -> the folder of a group."""

    version: int
    folders: dict[str, Path]


@cache
def parents() -> Parents | None:
    """The writable groups of this machine: `ARENA_CGROUP` (version 2), this program's own, or the root; None without.

    A version 2 group that holds processes cannot limit groups below it: such a one is passed over.
    """
    own = _own_groups()
    mounts = _mounts()
    if "" in mounts:
        root = mounts[""]
        named = os.environ.get("ARENA_CGROUP")
        for folder in ([Path(named)] if named else []) + [root / own.get("", "").lstrip("/"), root]:
            if _can_limit(folder):
                return Parents(2, dict.fromkeys(CONTROLLERS, folder))
    names = [name for name in (*CONTROLLERS, "cpuacct", "freezer") if name in mounts]
    folders = {name: mounts[name] / own.get(name, "").lstrip("/") for name in names}
    folders = {name: folder for name, folder in folders.items() if os.access(folder, os.W_OK)}
    return Parents(1, folders) if folders else None


def _own_groups() -> dict[str, str]:
    """Controller (the empty name: version 2) -> path of this program's group in its hierarchy."""
    groups = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        groups.update(dict.fromkeys(names.split(","), path))
    return groups


def _mounts() -> dict[str, Path]:
    """Controller (the empty name: version 2) -> where its hierarchy is mounted whole."""
    mounts = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        folder = Path(before.split(" ")[4])
        if kind == "cgroup2":
            mounts[""] = folder
        elif kind == "cgroup":
            mounts.update(dict.fromkeys(options.split(","), folder))
    return mounts


def _can_limit(folder: Path) -> bool:
    """Whether groups below a version 2 group can be given limits; hands the controllers down where that is missing."""
    switch = folder / "cgroup.subtree_control"
    try:
        if not os.access(folder, os.W_OK):
            return False
        missing = set(CONTROLLERS) - set(switch.read_text().split())
        if not missing <= set((folder / "cgroup.controllers").read_text().split()):
            return False
        if missing:
            switch.write_text(" ".join(f"+{name}" for name in sorted(missing)))
    except OSError:
        return False
    return True


@dataclass
class Cgroup:
    """The group of one sandbox: one folder in version 2, one per controller in version 1."""

    version: int
    folders: dict[str, Path] = field(default_factory=dict)
    _open: dict[str, int] = field(default_factory=dict)

    @classmethod
    def create(cls, name: str, spec: SandboxSpec) -> Cgroup:
        """A group with the spec's limits; without any folder where this machine allows none.

        Raises:
            OSError: the kernel refused a limit.
        """
        above = parents()
        if above is None:
            return cls(0)
        group = cls(above.version, {controller: folder / name for controller, folder in above.folders.items()})
        for folder in set(group.folders.values()):
            folder.mkdir()
        most = str(spec.processes + SPARE_PROCESSES)
        if group.version == 2:
            limits = [("memory", "memory.max", str(spec.memory)), ("pids", "pids.max", most)]
            optional = [("memory", "memory.swap.max", "0")]
            quota = ("cpu", "cpu.max", f"{round((spec.cpus or 0) * CPU_PERIOD)} {CPU_PERIOD}")
        else:
            limits = [("memory", "memory.limit_in_bytes", str(spec.memory)), ("pids", "pids.max", most)]
            optional = [("memory", "memory.memsw.limit_in_bytes", str(spec.memory))]
            quota = ("cpu", "cpu.cfs_quota_us", str(round((spec.cpus or 0) * CPU_PERIOD)))
        for controller, file, value in limits + ([quota] if spec.cpus else []):
            if controller in group.folders:
                (group.folders[controller] / file).write_text(value)
        for controller, file, value in optional:  # a kernel without swap accounting has no such file
            if controller in group.folders and (group.folders[controller] / file).exists():
                (group.folders[controller] / file).write_text(value)
        return group

    def enter(self, pid: int) -> None:
        """Move a process, and so its later children, into the group."""
        for folder in set(self.folders.values()):
            (folder / "cgroup.procs").write_text(str(pid))

    def oom_kills(self) -> int:
        """How many processes the kernel has ended here for want of memory."""
        file = "memory.events" if self.version == 2 else "memory.oom_control"
        for line in (self._read("memory", file) or "").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
        return 0

    def memory(self) -> tuple[int | None, int | None]:
        """Bytes in use now, and at most so far."""
        now, peak = (
            ("memory.current", "memory.peak")
            if self.version == 2
            else ("memory.usage_in_bytes", "memory.max_usage_in_bytes")
        )
        return _number(self._read("memory", now)), _number(self._read("memory", peak))

    def processes(self) -> int | None:
        """Processes and threads now."""
        return _number(self._read("pids", "pids.current"))

    def cpu_seconds(self) -> float | None:
        """Processor time so far."""
        if nanoseconds := _number(self._read("cpuacct", "cpuacct.usage")):
            return nanoseconds / 1e9
        for line in (self._read("cpu", "cpu.stat") or "").splitlines():
            if line.startswith("usage_usec "):
                return int(line.split()[1]) / 1e6
        return None

    def freeze(self, frozen: bool) -> bool:
        """Stop all its processes, or let them go on; False where this machine has nothing for that."""
        folder = self.folders.get("freezer") if self.version == 1 else next(iter(self.folders.values()), None)
        if folder is None:
            return False
        if self.version == 1:
            file, wanted = "freezer.state", "FROZEN" if frozen else "THAWED"
            (folder / file).write_text(wanted)
        else:
            file, wanted = "cgroup.events", f"frozen {frozen:d}"
            (folder / "cgroup.freeze").write_text(f"{frozen:d}")
        while wanted not in (folder / file).read_text().splitlines():  # it takes the kernel a moment
            time.sleep(0.001)
        return True

    def remove(self, patience: float = 2.0) -> None:
        """Remove the folders; the kernel may need a moment after the last process ended.

        Raises:
            OSError: a process is still in it after `patience` seconds.
        """
        while self._open:
            os.close(self._open.popitem()[1])
        deadline = time.monotonic() + patience
        for folder in set(self.folders.values()):
            while True:
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    pass
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.001)
                    continue
                break

    def _read(self, controller: str, file: str) -> str | None:
        """A file's content now. It stays open: two are read before and after each command."""
        folder = self.folders.get(controller)
        try:
            if folder and file not in self._open:
                self._open[file] = os.open(folder / file, os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(self._open[file], 1 << 16, 0).decode() if folder else None
        except OSError:
            return None


def remove_recorded(list_of_folders: Path) -> None:
    """End and remove the group of a dead program's sandbox, by the list of folders it left."""
    with contextlib.suppress(OSError):
        folders = {name: Path(name) for name in list_of_folders.read_text().splitlines()}
        for folder in folders.values():
            if (folder / "freezer.state").exists():  # the frozen do not die
                (folder / "freezer.state").write_text("THAWED")
            for pid in (folder / "cgroup.procs").read_text().split() if folder.is_dir() else ():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        Cgroup(0, folders).remove()


def _number(text: str | None) -> int | None:
    return int(text) if text and text.strip().isdigit() else None
