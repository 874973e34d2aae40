"""Whether memory stays flat over 20,000 recorded episodes: resident memory sampled as they end."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

import numpy as np

from arena.core.episode import Episode
from benchmarks._report import Figure, Report
from benchmarks.harness import play

EPISODES = 20_000
CONCURRENCY = 32
EVERY = 250
SETTLED = 5_000
"""Episodes after which caches are full and the allocator has what it needs."""

TARGET_MB = 2.0
"""Growth over the 15,000 episodes after that; keeping as little as 150 bytes of each would exceed it."""


class Samples:
    """Resident memory in MB after so many episodes."""

    def __init__(self) -> None:
        self.episodes: list[int] = []
        self.megabytes: list[float] = []
        self._count = 0

    def count(self, episode: Episode) -> None:
        """Called with every finished episode."""
        self._count += 1
        if self._count % EVERY == 0:
            gc.collect()
            self.episodes.append(self._count)
            self.megabytes.append(resident_megabytes())


def resident_megabytes() -> float:
    """What of this process is in memory, from Linux's /proc."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure() -> Report:
    """The line through the samples after the first 5,000 episodes."""
    samples = Samples()
    with tempfile.TemporaryDirectory() as temporary:
        play(Path(temporary, "run"), EPISODES, CONCURRENCY, on_episode=samples.count)
    first = SETTLED // EVERY
    slope, _ = np.polyfit(samples.episodes[first:], samples.megabytes[first:], 1)
    grown = float(slope) * (EPISODES - SETTLED)
    figures = [
        Figure(f"growth from episode {SETTLED:,} to {EPISODES:,}", grown, "MB", target=TARGET_MB),
        Figure("slope", float(slope) * 1e6, "bytes an episode"),
        Figure("resident at the end", samples.megabytes[-1], "MB"),
    ]
    method = (
        f"Resident memory every {EVERY} of {EPISODES:,} recorded 10-turn episodes, {CONCURRENCY} in flight; "
        f"least-squares line after the first {SETTLED:,}."
    )
    return Report(method, figures, {"episodes": samples.episodes, "megabytes": samples.megabytes})
