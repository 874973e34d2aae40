"""CPU time, the best of several rounds: what other programs take only ever adds to it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of this process, all its threads, for one call; the collector starts clean and stays on."""
    gc.collect()
    begun = time.process_time()
    work()
    return time.process_time() - begun


def best(*works: Callable[[], float], rounds: int) -> list[float]:
    """The smallest value of each, taken in turns so that a busy minute hits all alike."""
    found = [[work() for work in works] for _ in range(rounds)]
    return [min(values) for values in zip(*found, strict=True)]
