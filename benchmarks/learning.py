"""Whether tiny models learn from their own episodes: held-out success against environment turns.

    python -m benchmarks.learning run                                  # the full grid, some hours
    python -m benchmarks.learning run --tasks maze --seeds 0 1         # a part of it
    python -m benchmarks.learning states --seeds 0                     # how often states recur, from the clones
    python -m benchmarks.learning page                                 # docs/results/learning.md and its plots
    python -m benchmarks learning                                      # the reduced run: one task, one algorithm

Each run is a student built on the spot, cloned from a few episodes of an oracle, and one algorithm that
goes on from there. Finished runs are lines of `results/learning.jsonl`; a run that is there is not done
again, so the grid can be interrupted and shared among processes (give each its own seeds).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks._learning_page import SEEDS, write_page
from benchmarks._learning_runs import read, run_missing
from benchmarks._learning_states import measure_states, read_states, write_states
from benchmarks._learning_tasks import ALGORITHMS, TASKS
from benchmarks._report import RESULTS, Figure, Report

RUNS = RESULTS / "learning.jsonl"
STATES = RESULTS / "learning_states.jsonl"


def measure() -> Report:
    """The reduced run: GiGPO on the maze, one seed."""
    with tempfile.TemporaryDirectory() as folder:
        (learned,) = run_missing([("maze", "gigpo", 0)], Path(folder, "runs.jsonl"), Path(folder))
    (_, before, *_), *_, (turns, after, low, high) = learned.points
    note = f"before {before:.3f}; 95 % interval [{low:.3f}, {high:.3f}] over {TASKS['maze'].held_out} mazes."
    figure = Figure("maze, GiGPO: held-out success", after, "share", more_is_better=True, note=note)
    method = f"one seed, {turns:,.0f} turns, {learned.cpu_seconds:.0f} CPU-s; the full grid: docs/results/learning.md"
    return Report(method, [figure])


def main() -> None:
    """Run a part of the grid, or write the page from what has been run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning")
    parser.add_argument("do", choices=("run", "states", "page"))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--algorithms", nargs="+", default=list(ALGORITHMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(SEEDS)))
    parser.add_argument("--runs", type=Path, default=RUNS, help="JSON Lines of the finished runs")
    parser.add_argument(
        "--work", type=Path, default=Path("runs", "learning"), help="folder for clones and runs at work"
    )
    asked = parser.parse_args()
    if asked.do == "run":
        wanted = [(task, name, seed) for seed in asked.seeds for task in asked.tasks for name in asked.algorithms]
        run_missing(wanted, asked.runs, asked.work, lambda text: print(text, flush=True))
        return
    if asked.do == "states":
        write_states((measure_states(task, seed, asked.work) for seed in asked.seeds for task in asked.tasks), STATES)
        return
    print(write_page(read(asked.runs), states=read_states(STATES)))


if __name__ == "__main__":
    main()
