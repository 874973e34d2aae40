"""What a software-engineering episode costs without a model, from its start to its grade; and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from arena.core.errors import MissingPrerequisite
from arena.environments.swe import _manifest
from arena.environments.swe.env import Swe
from arena.sandboxes import Bubblewrap, Docker, Sandbox
from benchmarks._report import CannotMeasure, Figure, Report

EPISODES = 60
SETTLED = 20
"""Episodes after which the sources of every package are unpacked and every cache is full."""
TARGET_SECONDS = 3.0
TARGET_RATE = 500.0
TARGET_GROWTH_MB = 5.0
"""What memory may grow by from episode 20 to the last; keeping the trees of each would be some 2 MB an episode."""


@dataclass(frozen=True)
class Left:
    """What there is of things that an episode makes."""

    folders: frozenset[str]
    mounts: int
    processes: int
    containers: int
    volumes: int
    networks: int

    def more_than(self, before: Left) -> int:
        """How many there are that were not there before."""
        numbers = (self.mounts, self.processes, self.containers, self.volumes, self.networks)
        earlier = (before.mounts, before.processes, before.containers, before.volumes, before.networks)
        return len(self.folders - before.folders) + sum(
            max(0, now - then) for now, then in zip(numbers, earlier, strict=True)
        )


def left(back_end: type[Sandbox]) -> Left:
    """Count them now."""
    places = (Path(tempfile.gettempdir()), Path(tempfile.gettempdir(), f"arena-{os.getuid()}"))
    folders = {str(path) for place in places if place.is_dir() for path in place.iterdir() if own(path)}
    mounts = len(Path("/proc/self/mountinfo").read_text().splitlines())
    kinds: tuple[Callable[[], int], ...] = (lambda: 0, lambda: 0, lambda: 0)
    if back_end is Docker:
        from arena.sandboxes import _docker_engine

        api = _docker_engine.client()
        kinds = (
            lambda: len(api.containers(all=True)),
            lambda: len(api.volumes()["Volumes"] or ()),
            lambda: len(api.networks()),
        )
    return Left(frozenset(folders), mounts, children(), *(count() for count in kinds))


def own(path: Path) -> bool:
    """Whether a temporary folder is of our making."""
    return path.name.startswith(("arena-", "sandbox-")) and path.name != f"arena-{os.getuid()}"


def children() -> int:
    """How many processes below this one run."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(") ")
        except OSError:
            continue
        parents.setdefault(int(rest.split()[1]), []).append(int(name.partition(" ")[0]))
    waiting, found = [os.getpid()], -1
    while waiting:
        waiting += parents.get(waiting.pop(), [])
        found += 1
    return found


def held() -> float:
    """Megabytes of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def cpu_seconds() -> float:
    """CPU time of this process and of those below it that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


async def episode(env: Swe, id: str) -> float:
    """Seconds from the start of an episode to its grade."""
    begun = time.perf_counter()
    await env.reset(seed=2**31, options={"task": id})
    ended = False
    while not ended:
        _, reward, ended, *_ = await env.step(await env.oracle_action())
    assert reward == 1.0, id
    return time.perf_counter() - begun


async def measured(back_end: type[Sandbox], episodes: int) -> list[Figure]:
    """The figures of a back end, over tasks of all packages in turns."""
    packages = _manifest.load()
    order = [packages[number % len(packages)] for number in range(episodes)]
    ids = [package.tasks[number // len(packages) % len(package.tasks)].id for number, package in enumerate(order)]
    env = Swe(backend=back_end.kind)
    await episode(env, ids[0])
    before, spent = left(back_end), cpu_seconds()
    taken: list[float] = []
    memory: list[float] = []
    for id in ids:
        taken.append(await episode(env, id))
        memory.append(held())
    await env.close()
    gc.collect()
    each = (cpu_seconds() - spent) / episodes
    settled = min(SETTLED, episodes // 2)
    slope = float(np.polyfit(range(settled, episodes), memory[settled:], 1)[0])
    more = left(back_end).more_than(before)
    inside = "; what ran in containers is the engine's and not counted" if back_end is Docker else ""
    return [
        Figure(f"{back_end.kind}: one graded task, start to grade", median(taken), "s", target=TARGET_SECONDS),
        Figure(
            f"{back_end.kind}: graded episodes an hour per core",
            3600 / (median(taken) if back_end is Docker else each),
            "episodes/h",
            more_is_better=True,
            target=TARGET_RATE,
            note=f"3600 divided by {'the seconds' if back_end is Docker else 'the CPU seconds'} of one{inside}",
        ),
        Figure(
            f"{back_end.kind}: memory, from episode {settled} to {episodes}",
            slope * (episodes - settled),
            "MB",
            target=TARGET_GROWTH_MB,
        ),
        Figure(
            f"{back_end.kind}: left behind", more, "things", target=0, note="folders, mounts, processes, containers"
        ),
    ]


def measure() -> Report:
    """Wall time and CPU time of episodes one after the other."""
    figures: list[Figure] = []
    for back_end in (Bubblewrap, Docker):
        try:
            back_end.preflight()
        except MissingPrerequisite:
            continue
        figures += asyncio.run(measured(back_end, EPISODES))
    if not figures:
        raise CannotMeasure("No sandbox can be made here: apt-get install bubblewrap")
    method = (
        f"The oracle on {EPISODES} tasks of all packages in turns, one after the other, without a model: seconds from "
        "the start of an episode to its grade (median), CPU time of all processes, memory, and what is there "
        "afterwards that was not before: temporary folders, mounts, processes, containers, volumes, networks."
    )
    return Report(method, figures)
