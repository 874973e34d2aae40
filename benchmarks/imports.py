"""What `import arena` costs above `import gymnasium`: CPU time of fresh processes."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from benchmarks._report import Figure, Report
from benchmarks._timing import best

ROUNDS = 15
TARGET_SECONDS = 0.05


def cpu_of(statement: str) -> float:
    """CPU time that a statement takes in a fresh interpreter, start-up not counted."""
    code = f"import time; t = time.process_time(); {statement}; print(time.process_time() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    return float(done.stdout)


def measure() -> Report:
    """Both imports, and the difference."""
    gymnasium, arena = best(partial(cpu_of, "import gymnasium"), partial(cpu_of, "import arena"), rounds=ROUNDS)
    figures = [
        Figure("import arena", arena, "s CPU", peer="import gymnasium", theirs=gymnasium),
        Figure("above import gymnasium", arena - gymnasium, "s CPU", target=TARGET_SECONDS),
    ]
    return Report(f"CPU time in a fresh process, bytecode cached, best of {ROUNDS} alternating rounds.", figures)
