"""What a critic is worth: offline algorithms, ArCHer beside on-policy ones, HL-Gauss critics, best of n.

    python -m benchmarks.value run                                     # the full grid, a night
    python -m benchmarks.value run --parts offline --tasks maze        # a part of it
    python -m benchmarks.value page                                    # docs/results/value.md and its plots
    python -m benchmarks value                                         # the reduced run: one task, two algorithms

Offline runs share the data and the clone of their task and seed; ArCHer goes on from the same clones as the
runs of `benchmarks.learning`. Finished runs are lines of `results/value-offline.jsonl` and `value-online.jsonl`, what
their critics know of mazes and of returns lines of `value-exact.jsonl` and `value-known.jsonl`; a run that is there is
not done again, so the grid can be interrupted, and shared among processes by seed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks import _value_exact, _value_known, _value_online, _value_runs
from benchmarks._report import RESULTS, Figure, Report
from benchmarks._value_page import SEEDS, write_page
from benchmarks._value_runs import NAMES
from benchmarks._value_tasks import ARCHERS, ON_POLICY, ONLINE_TASKS, TASKS, archers_on

OFFLINE_RUNS, ONLINE_RUNS = RESULTS / "value-offline.jsonl", RESULTS / "value-online.jsonl"
LEARNING_RUNS, EXACT = RESULTS / "learning.jsonl", RESULTS / "value-exact.jsonl"
KNOWN = RESULTS / "value-known.jsonl"


def measure() -> Report:
    """The reduced run: cloning and offline ArCHer on the maze, one seed."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = [("maze", name, 0) for name in ("bc", "offline_archer")]
        runs = _value_runs.run_missing(wanted, Path(folder, "runs.jsonl"), Path(folder))
    figures = [
        Figure(
            f"maze, {run.name}: normalised return",
            run.normalised,
            "of 100",
            more_is_better=True,
            note=f"success {run.success:.3f} on {run.episodes} held-out mazes.",
        )
        for run in runs
    ]
    seconds = sum(run.cpu_seconds for run in runs)
    return Report(f"one seed, {seconds:.0f} CPU-s; the full grid: docs/results/value.md", figures)


def wanted_online(tasks: list[str], seeds: list[int]) -> list[tuple[str, str, int]]:
    """ArCHer's runs, and those on-policy ones that the learning benchmark does not make."""
    names = {task: (*archers_on(task), *(ON_POLICY if task == "questions" else ())) for task in tasks}
    return [(task, name, seed) for seed in seeds for task in tasks for name in names[task]]


def main() -> None:
    """Run a part of the grid, or write the page from what has been run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.value")
    parser.add_argument("do", choices=("run", "page"))
    parser.add_argument("--parts", nargs="+", default=["offline", "online"], choices=("offline", "online"))
    parser.add_argument("--tasks", nargs="+", default=list({**TASKS, **ONLINE_TASKS}))
    parser.add_argument("--names", nargs="+", default=[*NAMES, *ARCHERS, *ON_POLICY])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(SEEDS)))
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the files of finished runs")
    parser.add_argument("--work", type=Path, default=Path("runs", "value"), help="folder for what is made on the way")
    asked = parser.parse_args()
    files = [asked.results / file.name for file in (OFFLINE_RUNS, ONLINE_RUNS, LEARNING_RUNS, EXACT, KNOWN)]
    if asked.do == "page":
        online = {run.key: run for file in files[1:3] for run in _value_online.read(file)}
        played = [run for run in online.values() if run.task in ONLINE_TASKS]
        asked_critics = _value_exact.read(files[3]), _value_known.read(files[4])
        print(write_page(_value_runs.read(files[0]), played, *asked_critics))
        return
    for seed in asked.seeds:
        if "offline" in asked.parts:
            wanted = [(task, name, seed) for task in TASKS if task in asked.tasks for name in NAMES]
            wanted = [key for key in wanted if key[1] in asked.names]
            _value_runs.run_missing(wanted, files[0], asked.work, _say)
            _value_exact.ask_missing(wanted, files[3], asked.work)
            _value_known.ask_missing(wanted, files[4], asked.work)
        if "online" in asked.parts:
            played = wanted_online([task for task in ONLINE_TASKS if task in asked.tasks], [seed])
            _value_online.run_missing([key for key in played if key[1] in asked.names], files[1], asked.work, _say)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
