"""`python -m benchmarks [NAME…]`: run some benchmarks, or all but those that must be asked for by name."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from benchmarks._report import CannotMeasure, Report

BENCHMARKS = {
    "harness": "CPU time that a model turn costs beside the model, against inspect-ai",
    "memory": "whether memory stays flat over 20,000 episodes",
    "steps": "bare steps per second, against gem-llm, textarena and textworld",
    "reading": "listing, summarising and opening 10,000 recorded episodes",
    "buffer": "batches drawn from a replay buffer of 1,000,000 turns on disk",
    "sandbox": "until a sandbox is ready, and a command in it beside the bare command and a fresh `docker exec`",
    "swe": "a graded software-engineering episode without a model, and what it leaves behind",
    "web": "an episode in a browser, alone and eight at a time, beside BrowserGym; memory over 1,000 episodes",
    "multiturn_vs_trl": "tokens sampled over eight turns, against encoding anew each turn and against TRL",
    "update": "tokens of an optimiser step on ragged rows, against TRL, and how much is padding",
    "gpu": "tokens per second, memory and share of the peak of a model of half a billion parameters on a GPU",
    "learning": "held-out success of a tiny model before and after training, in minutes",
    "value": "what offline ArCHer makes of recorded episodes beside cloning them, in minutes",
    "imports": "what `import arena` costs above `import gymnasium`",
    "baselines": "no time: returns of the random agent and the oracle, written to arena/evaluation/baselines.toml",
}
ONLY_BY_NAME = {"baselines", "gpu", "learning", "value"}


def main() -> int:
    """Run the benchmarks named; returns 1 if a target was missed."""
    # The arithmetic libraries must not use more cores than the one that is measured.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    names = "\n".join(f"  {name:<16} {what}" for name, what in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", epilog=names, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which; all but {', '.join(sorted(ONLY_BY_NAME))} unless told"
    )
    parser.add_argument("--memory", action="store_true", help="as the name `memory`")
    options = parser.parse_args()
    names = ["memory" if options.memory and name == "harness" else name for name in options.names]
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"no benchmark is called {unknown[0]!r}")
    met = [run(name) for name in names or BENCHMARKS if names or name not in ONLY_BY_NAME]
    return 0 if all(met) else 1


def run(name: str) -> bool:
    """Run one, print its table and write its JSON; whether every target was met."""
    print(f"\n{name}: {BENCHMARKS[name]}\n", flush=True)
    try:
        report: Report = importlib.import_module(f"benchmarks.{name}").measure()
    except CannotMeasure as missing:
        print(missing, flush=True)
        return True
    report.write(name)
    print(report.table(), flush=True)
    return report.met


if __name__ == "__main__":
    sys.exit(main())
