"""What an episode in a browser costs: MiniWoB's click-button, alone and eight at a time, beside BrowserGym."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np

from arena.core.errors import MissingPrerequisite
from arena.environments.web.miniwob import _pages
from arena.environments.web.miniwob.env import MiniWoB
from arena.sandboxes.browser import Browser, find_chromium
from benchmarks._peers import PINNED, PeerMissing, measure_peer
from benchmarks._report import CannotMeasure, Figure, Report

VERSION = PINNED["browsergym-miniwob"]

EPISODES = 1_000
SETTLED = 200
"""Episodes after which the pages' caches are full."""
EVERY = 50
AT_ONCE = 8
EACH = 25
PEER_EPISODES = 8

TARGET_MS = 100.0
TARGET_TIMES = 20.0
TARGET_RATE = 12.0
TARGET_CONTEXT_MB = 90.0
TARGET_GROWTH_MB = 20.0
"""What memory may grow by from episode 200 to 1,000; keeping the pages of each would be some 60 MB an episode."""


async def episode(env: MiniWoB, seed: int) -> float:
    """Milliseconds from the start of an episode to its reward, without the time the oracle takes to look."""
    begun = time.perf_counter()
    await env.reset(seed=seed, options={"task": "click-button"})
    ready = time.perf_counter()
    action = await env.oracle_action()
    known = time.perf_counter()
    _, reward, *_ = await env.step(action)
    assert reward == 1.0
    return 1000 * (time.perf_counter() - known + ready - begun)


def descendants() -> Iterator[Path]:
    """This process and all that it started, in Linux's /proc."""
    parents: dict[str, list[str]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(fields[1], []).append(stat.parent.name)
    waiting = [str(Path("/proc/self").resolve().name)]
    while waiting:
        process = waiting.pop()
        waiting += parents.get(process, [])
        yield Path("/proc", process)


def held() -> tuple[float, int]:
    """Megabytes that these processes hold (what they share is counted once), and how many there are."""
    total = count = 0
    for process in descendants():
        try:
            lines = (process / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        count += 1
    return total / 1000, count


async def one_after_the_other() -> tuple[list[float], float, int]:
    """Milliseconds of each episode; memory's growth once it has settled; processes more than at first."""
    env, taken, at, megabytes = MiniWoB(), [], [], []
    taken.append(await episode(env, 0))
    _, processes = held()
    for seed in range(1, EPISODES):
        taken.append(await episode(env, seed))
        if seed >= SETTLED and seed % EVERY == 0:
            gc.collect()
            at.append(seed)
            megabytes.append(held()[0])
    slope = float(np.polyfit(at, megabytes, 1)[0])
    more = held()[1] - processes
    await env.close()
    return taken[1:], slope * (EPISODES - SETTLED), more


async def at_once() -> tuple[float, float]:
    """Episodes a second of eight contexts, and the megabytes that each of them takes."""
    envs = [MiniWoB() for _ in range(AT_ONCE)]
    await episode(envs[0], 0)
    alone, _ = held()
    await asyncio.gather(*(episode(env, number) for number, env in enumerate(envs)))
    all_of_them, _ = held()

    async def play(env: MiniWoB, first: int) -> None:
        for seed in range(first, first + EACH):
            await episode(env, seed)

    begun = time.perf_counter()
    await asyncio.gather(*(play(env, 1000 * number) for number, env in enumerate(envs)))
    seconds = time.perf_counter() - begun
    for env in envs:
        await env.close()
    return AT_ONCE * EACH / seconds, (all_of_them - alone) / (AT_ONCE - 1)


def browsergym() -> tuple[float | None, str]:
    """Milliseconds of an episode there, or why there are none."""
    try:
        chromium, pages = str(find_chromium()), str(_pages.root())
        found = measure_peer("browsergym-miniwob", "browsergym_click_button", chromium, pages, str(PEER_EPISODES))
    except PeerMissing as missing:
        return None, f"no figure of BrowserGym: {missing}"
    return 1000 * median(found["seconds"]), "it starts two browsers an episode and waits on purpose after every action"


def measure() -> Report:
    """Wall time, because most of it is spent by the browser."""
    try:
        find_chromium()
    except MissingPrerequisite as missing:
        raise CannotMeasure(str(missing)) from None
    taken, grown, processes = asyncio.run(one_after_the_other())
    rate, context = asyncio.run(at_once())
    Browser.shared().close()
    theirs, note = browsergym()
    mine = median(taken)
    what = "click-button: restart, observe, act, reward"
    figures = [
        Figure(what, mine, "ms", target=TARGET_MS),
        Figure(
            "the same, beside BrowserGym",
            mine,
            "ms",
            peer=f"BrowserGym {VERSION}",
            theirs=theirs,
            times=TARGET_TIMES,
            note=note,
        ),
        Figure(f"{AT_ONCE} contexts in one browser", rate, "episodes/s", more_is_better=True, target=TARGET_RATE),
        Figure("memory of a context", context, "MB", target=TARGET_CONTEXT_MB),
        Figure(f"growth from episode {SETTLED} to {EPISODES:,}", grown, "MB", target=TARGET_GROWTH_MB),
        Figure(f"processes after {EPISODES:,} episodes, more than at first", processes, "processes", target=0),
    ]
    method = (
        f"Wall time: medians of {EPISODES:,} episodes and of {PEER_EPISODES} of BrowserGym, one after the other; "
        "memory is the proportional share (PSS) of Python, Playwright's driver and Chromium together."
    )
    return Report(method, figures)
