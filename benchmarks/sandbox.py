"""What a bubblewrap sandbox costs: until it is ready, and for each command beside the command itself."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable
from statistics import median

from arena.sandboxes import Bubblewrap, SandboxSpec
from benchmarks._report import Figure, Report

COMMANDS = 300
SANDBOXES = 20
TARGET_MS = 1.0
TARGET_READY_MS = 100.0


async def clock(work: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds of wall time for one call."""
    begun = time.perf_counter()
    await work()
    return (time.perf_counter() - begun) * 1000


async def bare(command: list[str]) -> None:
    """The same command without any sandbox."""
    subprocess.run(command, capture_output=True, check=True)


async def in_turns(*works: Callable[[], Awaitable[object]]) -> list[list[float]]:
    """Milliseconds of each, taken in turns so that a busy minute hits all alike."""
    rounds = [[await clock(work) for work in works] for _ in range(COMMANDS)]
    return [list(times) for times in zip(*rounds, strict=True)]


async def measured() -> list[Figure]:
    """All figures."""
    ready = []
    for _ in range(SANDBOXES):
        begun = time.perf_counter()
        sandbox = await Bubblewrap.create(SandboxSpec())
        ready.append((time.perf_counter() - begun) * 1000)
        await sandbox.close()
    async with await Bubblewrap.create(SandboxSpec()) as sandbox:
        shell = await sandbox.shell()
        await shell.run(":")
        builtin, program, alone, process = await in_turns(
            lambda: shell.run(":"),
            lambda: shell.run("/bin/true"),
            lambda: sandbox.exec(["/bin/true"]),
            lambda: bare(["/bin/true"]),
        )
        taken = [time.perf_counter()]
        snapshot = await sandbox.snapshot()
        taken.append(time.perf_counter())
        await sandbox.restore(snapshot)
        taken.append(time.perf_counter())
        snapshot.release()
    own = median(process)
    return [
        Figure("sandbox ready", median(ready), "ms", target=TARGET_READY_MS),
        Figure("shell, a builtin (no time of its own)", median(builtin), "ms", target=TARGET_MS),
        Figure("shell, /bin/true", median(program), "ms", peer="subprocess.run", theirs=own),
        Figure("shell, /bin/true, above subprocess.run", median(program) - own, "ms", target=TARGET_MS),
        Figure("exec, /bin/true", median(alone), "ms", peer="subprocess.run", theirs=own),
        Figure("snapshot of empty folders", (taken[1] - taken[0]) * 1000, "ms"),
        Figure("restore", (taken[2] - taken[1]) * 1000, "ms"),
    ]


def measure() -> Report:
    """Wall time, because most of it is spent by other processes."""
    method = f"Wall time, medians of {COMMANDS} commands in turns and of {SANDBOXES} sandboxes, on one machine."
    return Report(method, asyncio.run(measured()))
