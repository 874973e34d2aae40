"""Reading a run of 10,000 episodes: listed, summarised, one opened; in fresh processes, with and without the index."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks._report import Figure, Report
from benchmarks._timing import best
from benchmarks.harness import play

EPISODES = 10_000
ROUNDS = 5

SUMMARISE = """
from arena.core.task import Suite, Task
from arena.evaluation.summary import summarise
from arena.records import open_run
def work():
    with open_run(folder) as run:
        rows, attempts = run.rows(), run.rows(latest=False)
    tasks = tuple(Task(row.env, int(row.task.partition("@")[2])) for row in rows)
    return summarise(Suite("all", tasks), 1, rows, attempts, {}).to_json()
"""
OPEN = """
from arena.records import open_run
def work():
    with open_run(folder) as run:
        return len(run.episode(7000).turns)
"""
CALL = """
import sys, time
folder = sys.argv[1]
{work}
begun = time.process_time()
work()
print(time.process_time() - begun)
"""


def seconds(folder: Path, work: str, without_index: bool = False) -> float:
    """CPU time of `work()` in a fresh process, imports not counted."""
    if without_index:
        (folder / "index.sqlite").unlink(missing_ok=True)
    command = [sys.executable, "-c", CALL.format(work=work), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure() -> Report:
    """Each way of reading, with the index there and after it was deleted."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "run")
        play(folder, EPISODES, 32)
        shards = sum(path.stat().st_size for path in (folder / "episodes").iterdir())
        listed, opened = best(partial(seconds, folder, SUMMARISE), partial(seconds, folder, OPEN), rounds=ROUNDS)
        relisted, reopened = best(
            partial(seconds, folder, SUMMARISE, without_index=True),
            partial(seconds, folder, OPEN, without_index=True),
            rounds=ROUNDS,
        )
    what = f"{EPISODES:,} episodes"
    again = "this first opening makes the index anew; every later one takes as long as the line above"
    figures = [
        Figure(f"{what} listed and summarised", listed, "s CPU", target=2.0),
        Figure(f"{what} listed and summarised, index deleted", relisted, "s CPU", target=2.0),
        Figure("one episode opened", opened * 1000, "ms CPU", target=50.0),
        Figure(
            "one episode opened, index deleted",
            reopened * 1000,
            "ms CPU",
            note=again,
        ),
    ]
    method = (
        f"CPU time in a fresh process after its imports, best of {ROUNDS} rounds; 10-turn episodes, "
        f"{shards / 1e6:.1f} MB compressed."
    )
    return Report(method, figures)
