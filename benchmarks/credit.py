"""CPU time and memory of turning a table of turns into advantages, on one core.

    OMP_NUM_THREADS=1 python benchmarks/credit.py
    OMP_NUM_THREADS=1 python benchmarks/credit.py --turns 1000000 --repeats 5

The table has ragged episodes of 1 to 15 turns, eight to a group, states that recur within it, and two
tokens per turn, of which the policy sampled one. Each algorithm begins with a fresh table, so what a
table computes once is part of every figure. Memory is the peak beyond the table over the table's size.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import fields

import numpy as np

from arena.trainers import TurnTable, gigpo, grpo, gspo, loop, opo, ppo, reinforce, reinforce_pp, rloo

ALGORITHMS: dict[str, Callable[[TurnTable], object]] = {
    "gigpo": lambda table: gigpo.advantages(table, gigpo.Config()),
    "gigpo, std, rows, penalty": lambda table: gigpo.advantages(
        table, gigpo.Config(mode="mean_std_norm", statistics="rows", invalid_penalty=0.1)
    ),
    "reinforce": lambda table: reinforce.advantages(table, reinforce.Config()),
    "rloo": lambda table: rloo.advantages(table, rloo.Config()),
    "grpo": lambda table: grpo.advantages(table, grpo.Config()),
    "gspo": lambda table: gspo.advantages(table, gspo.Config()),
    "opo": lambda table: opo.advantages(table, opo.Config()),
    "loop": lambda table: loop.advantages(table, loop.Config()),
    "reinforce++": lambda table: reinforce_pp.advantages(table, reinforce_pp.Config()),
    "ppo, turn": lambda table: ppo.advantages(table, ppo.Config()),
    "ppo, token": lambda table: ppo.advantages(table, ppo.Config(unit="token")),
    "ppo, bilevel": lambda table: ppo.advantages(table, ppo.Config(unit="bilevel")),
}


def make_table(turns: int, seed: int = 0) -> TurnTable:
    """A table of this many turns."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 16, turns)
    episodes = int(np.searchsorted(np.cumsum(lengths), turns)) + 1
    episode = np.repeat(np.arange(episodes), lengths[:episodes])[:turns]
    last = np.append(episode[1:] != episode[:-1], True)
    return TurnTable.of(
        group=episode // 8,
        episode=episode,
        reward=np.where(last, generator.integers(0, 2, turns), 0.0),
        state=generator.integers(0, 30, turns),
        valid=generator.random(turns) > 0.05,
        value=generator.normal(size=turns),
        token_offsets=np.arange(turns + 1) * 2,
        token_producer=np.tile(np.array([2, 0], np.uint8), turns),
        token_value=generator.normal(size=2 * turns),
    )


def measure(work: Callable[[TurnTable], object], table: TurnTable, repeats: int) -> tuple[float, float]:
    """Median CPU seconds, and peak memory beyond the table over the table's size."""
    seconds = []
    for _ in range(repeats):
        fresh = table.replace()
        begun = time.process_time()
        work(fresh)
        seconds.append(time.process_time() - begun)
    fresh = table.replace()
    tracemalloc.start()
    work(fresh)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return statistics.median(seconds), peak / sum(getattr(table, field.name).nbytes for field in fields(table))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    table = make_table(options.turns)
    print(f"{options.turns:,} turns, {len(table.trajectories):,} episodes, {len(table.token_producer):,} tokens")
    print(f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}\n")
    print(f"{'algorithm':<28}{'CPU s':>8}{'memory / table':>17}")
    for name, work in ALGORITHMS.items():
        seconds, memory = measure(work, table, options.repeats)
        print(f"{name:<28}{seconds:>8.3f}{memory:>16.1f}x")


if __name__ == "__main__":
    main()
