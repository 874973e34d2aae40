"""What comes back from a sandbox: of a command, of a download, of questions about the sandbox itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Capabilities", "Download", "ExecResult", "Stats"]


@dataclass(frozen=True)
class ExecResult:
    """What a command did."""

    exit_code: int
    """As a shell reports it: 128 + n for a command that signal n ended, 124 for one that ran out of time."""
    stdout: bytes
    """What it wrote, up to the limit; with `merge`, standard error too, in the order of writing."""
    stderr: bytes
    """What it wrote to standard error, up to the limit."""
    timed_out: bool = False
    """It was ended because its time was up, together with everything it had started."""
    oom_killed: bool = False
    """The kernel ended a process of the sandbox for want of memory meanwhile."""
    out_of_processes: bool = False
    """It left the sandbox full of processes; all that were running have been ended."""
    truncated: bool = False
    """It wrote more than is kept."""
    duration: float = 0.0
    """Seconds from the request to the result."""

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are no UTF-8 become U+FFFD."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def error_text(self) -> str:
        """Standard error as text; bytes that are no UTF-8 become U+FFFD."""
        return self.stderr.decode("utf-8", "replace")


@dataclass(frozen=True)
class Capabilities:
    """What a back end holds a sandbox to on this machine, in words where yes and no do not suffice."""

    memory: str
    processes: str
    cpus: bool
    system_calls: str
    networks: tuple[str, ...]
    users: bool
    """Whether commands may run as users other than the spec's."""


@dataclass(frozen=True)
class Stats:
    """What a sandbox uses now; None where this machine cannot tell."""

    processes: int | None
    memory: int | None
    memory_peak: int | None
    cpu_seconds: float | None
    snapshots: int
    """Snapshots of it that have not been released."""


@dataclass(frozen=True)
class Download:
    """What a download brought: regular files and folders. The rest was refused."""

    files: int
    bytes: int
    refused: tuple[str, ...]
    """One line for each thing left out, with the reason: a link, a device, a path that leads outside."""
