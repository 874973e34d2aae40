"""What a sandbox costs on each back end: until it is ready, and for each command beside the command itself and beside
a process started afresh in the container (`docker exec`) or in new namespaces (`bwrap`).
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from statistics import median

from arena.core.errors import MissingPrerequisite
from arena.sandboxes import Bubblewrap, Docker, Pool, Sandbox, SandboxSpec, _docker_engine
from benchmarks._report import Figure, Report

COMMANDS = 300
BLOCK = 10
"""Commands of one kind that follow upon one another, as an agent's tool calls do; then comes the next kind's block."""
PAUSED, PAUSE = 60, 0.05
"""Commands that come after a pause of so many seconds, in which caches grow cold: a model was thinking, say."""
SANDBOXES = 20
POOLED = 6
FRESH = 20
AFRESH = {"bubblewrap": "bwrap anew", "docker": "docker exec"}
TARGET_MS = 1.0
TARGET_READY_MS = 100.0
TARGET_POOL_MS = 50.0


async def clock(work: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds of wall time for one call."""
    begun = time.perf_counter()
    await work()
    return (time.perf_counter() - begun) * 1000


async def bare(command: list[str]) -> None:
    """The same command without any sandbox."""
    subprocess.run(command, capture_output=True, check=True)


async def in_turns(*works: Callable[[], Awaitable[object]]) -> list[list[float]]:
    """Milliseconds of each, blocks in turns so that a busy minute hits all alike."""
    found: list[list[float]] = [[] for _ in works]
    for _ in range(COMMANDS // BLOCK):
        for times, work in zip(found, works, strict=True):
            times += [await clock(work) for _ in range(BLOCK)]
    return found


async def after_pauses(work: Callable[[], Awaitable[object]]) -> list[float]:
    """Milliseconds of each call that comes after a pause."""
    found = []
    for _ in range(PAUSED):
        await asyncio.sleep(PAUSE)
        found.append(await clock(work))
    return found


def fresh(sandbox: Sandbox) -> None:
    """`true` as it would be run without a shell that stays."""
    if isinstance(sandbox, Docker):
        api = _docker_engine.client()
        api.exec_start(api.exec_create(sandbox.container, ["/bin/true"])["Id"])
    else:
        subprocess.run(["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "/bin/true"], check=True)


async def measured(back_end: type[Sandbox]) -> list[Figure]:
    """All figures of a back end."""
    ready, pooled = [], []
    for _ in range(SANDBOXES):
        begun = time.perf_counter()
        sandbox = await back_end.create(SandboxSpec())
        ready.append((time.perf_counter() - begun) * 1000)
        await sandbox.close()
    async with Pool(back_end, SandboxSpec(), size=POOLED) as pool:
        for _ in range(POOLED):
            begun = time.perf_counter()
            sandbox = await pool.take()
            pooled.append((time.perf_counter() - begun) * 1000)
            await sandbox.close()
    async with await back_end.create(SandboxSpec()) as sandbox:
        shell = await sandbox.shell()
        await shell.run(":")
        builtin, program, process = await in_turns(
            lambda: shell.run(":"),
            lambda: shell.run("/bin/true"),
            lambda: bare(["/bin/true"]),
        )
        cold = await after_pauses(lambda: shell.run(":"))
        (alone,) = await in_turns(lambda: sandbox.exec(["/bin/true"]))  # the engine is busy after each
        afresh = [await clock(lambda: asyncio.to_thread(fresh, sandbox)) for _ in range(FRESH)]
        taken = [time.perf_counter()]
        snapshot = await sandbox.snapshot()
        taken.append(time.perf_counter())
        await sandbox.restore(snapshot)
        taken.append(time.perf_counter())
        snapshot.release()
    own = median(process)
    alone_target = TARGET_READY_MS if back_end is Bubblewrap else None
    figures = [
        Figure("sandbox ready", median(ready), "ms", target=alone_target),
        Figure("sandbox ready, from the pool", median(pooled), "ms", target=TARGET_POOL_MS),
        Figure("shell, a builtin (no time of its own)", median(builtin), "ms", target=TARGET_MS),
        Figure("shell, /bin/true", median(program), "ms", peer=AFRESH[back_end.kind], theirs=median(afresh)),
        Figure("shell, /bin/true, above subprocess.run", median(program) - own, "ms", target=TARGET_MS),
        Figure("shell, a builtin after a pause", median(cold), "ms"),
        Figure("exec, /bin/true", median(alone), "ms", peer="subprocess.run", theirs=own),
        Figure("snapshot of empty folders", (taken[1] - taken[0]) * 1000, "ms"),
        Figure("restore", (taken[2] - taken[1]) * 1000, "ms"),
    ]
    return [replace(figure, what=f"{back_end.kind}: {figure.what}") for figure in figures]


def here() -> list[type[Sandbox]]:
    """The back ends that work on this machine."""
    found: list[type[Sandbox]] = []
    for back_end in (Bubblewrap, Docker):
        try:
            back_end.preflight()
        except MissingPrerequisite:
            continue
        found.append(back_end)
    return found


def measure() -> Report:
    """Wall time, because most of it is spent by other processes."""
    method = (
        f"Wall time, medians of {COMMANDS} commands and {SANDBOXES} sandboxes. Shell and bare commands in turns, "
        f"{BLOCK} of a kind at a time; those after a pause come {PAUSE * 1000:.0f} ms after the one before."
    )
    return Report(method, [figure for back_end in here() for figure in asyncio.run(measured(back_end))])
