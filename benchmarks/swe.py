"""What a software-engineering episode costs without a model, from its start to its grade; and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from arena.core.errors import MissingPrerequisite
from arena.environments.swe import _manifest
from arena.environments.swe.env import Swe
from arena.sandboxes import Bubblewrap, Docker, Sandbox
from benchmarks._report import CannotMeasure, Figure, Report

EPISODES = 100
SETTLED = 60
"""Episodes after which the sources of every package are unpacked, and every thread has read the longest of them."""
TARGET_SECONDS = 3.0
TARGET_RATE = 500.0
TARGET_GROWTH_MB = 5.0
"""What memory may grow by from then to the last episode; keeping the trees of each would be some 2 MB an episode."""


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
    """Count them now; only what is in this program's own temporary folder, or the engine's."""
    home = tempfile.gettempdir()
    places = [home]
    folders = {str(path) for place in (Path(home), Path(home, f"arena-{os.getuid()}")) for path in own(place)}
    kinds: tuple[Callable[[], int], ...] = (lambda: 0, lambda: 0, lambda: 0)
    if back_end is Docker:
        from arena.sandboxes import _docker_engine

        api = _docker_engine.client()
        places.append(api.info()["DockerRootDir"])
        kinds = (
            lambda: len(api.containers(all=True)),
            lambda: len(api.volumes()["Volumes"] or ()),
            lambda: len(api.networks()),
        )
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = sum(mount.startswith(f"{place}/") for mount in mounts for place in places)
    return Left(frozenset(folders), below, children(), *(count() for count in kinds))


def own(folder: Path) -> Iterator[Path]:
    """What lies in a folder, save the one that sandboxes share."""
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if path.name != f"arena-{os.getuid()}")


@contextmanager
def temporary_folder() -> Iterator[None]:
    """A temporary folder of one's own meanwhile: what other programs leave in the common one does not count."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="arena-benchmark-") as name:
        Path(name).chmod(0o711)
        tempfile.tempdir = name
        try:
            yield
        finally:
            tempfile.tempdir = before


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
        with temporary_folder():
            figures += asyncio.run(measured(back_end, EPISODES))
    if not figures:
        raise CannotMeasure("No sandbox can be made here: apt-get install bubblewrap")
    method = (
        f"The oracle on {EPISODES} tasks of all packages in turns, one after the other, without a model: seconds from "
        "the start of an episode to its grade (median), CPU time of all processes, memory, and what is there "
        "afterwards that was not before: temporary folders, mounts, processes, containers, volumes, networks."
    )
    return Report(method, figures)
