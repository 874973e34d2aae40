"""The page of the value benchmark: what critics are worth, with intervals over seeds.

Letters: S seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arena.trainers._curve import figure, save_figure
from benchmarks import _value_words
from benchmarks._learning_page import curve_of, with_interval
from benchmarks._report import describe_machine
from benchmarks._value_exact import MAZES, Ranked
from benchmarks._value_exact import NAMES as ASKED
from benchmarks._value_known import NAMES as CRITICS
from benchmarks._value_known import Known
from benchmarks._value_online import Trained
from benchmarks._value_runs import NAMES, Played
from benchmarks._value_tasks import (
    ARCHERS,
    BINS,
    CANDIDATES,
    OFFLINE,
    ON_POLICY,
    ONLINE_TASKS,
    SAMPLED,
    TASKS,
    archers_on,
)
from benchmarks._value_turns import median_of, ratio_of_medians, success_after, turns_to
from benchmarks._value_words import GOALS

PAGE = Path(__file__).parents[1] / "docs" / "results" / "value.md"
COMMAND = "python -m benchmarks.value run && python -m benchmarks.value page"

SEEDS = 5
"""Of the whole grid."""

COMPARED = (
    ("filtered_bc", "bc"),
    ("mc", "filtered_bc"),
    ("ilql", "filtered_bc"),
    ("ilql", "mc"),
    ("offline_archer", "filtered_bc"),
)
"""Of LMRL-Gym's order, and the one that it did not run."""

Values = NDArray[np.float64]


def write_page(
    offline: Sequence[Played],
    online: Sequence[Trained],
    exact: Sequence[Ranked] = (),
    known: Sequence[Known] = (),
    page: Path = PAGE,
) -> str:
    """Write the page and a plot for each online task; returns the page."""
    parts = [_value_words.HEAD, _offline(offline), _exact(exact), _known(known), _online(online, page.parent)]
    parts += [_losses(online), _candidates(offline)]
    text = "\n".join([*parts, _foot(offline, online)])
    page.write_text(text)
    return text


def _offline(runs: Sequence[Played]) -> str:
    found = {task: _by_name(runs, task) for task in TASKS}
    lines = ["## From recorded episodes of mixed quality\n", _value_words.NORMALISED]
    head = ["| | " + " | ".join(found) + " |", "|---|" + "---|" * len(found)]
    rows = []
    for name in OFFLINE:
        cells = [_scores(found[task].get(name, {})) for task in TASKS]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    lines += [*head, *rows, ""]
    lines += ["Success on held-out tasks:\n", *head]
    for name in OFFLINE:
        cells = [_shown([run.success for run in found[task].get(name, {}).values()], digits=3) for task in TASKS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "Does LMRL-Gym's order come out? Differences of normalised returns, paired by seed:\n"]
    lines += ["| | " + " | ".join(found) + " |", "|---|" + "---|" * len(found)]
    for better, worse in COMPARED:
        cells = [_difference(found[task].get(better, {}), found[task].get(worse, {})) for task in TASKS]
        lines.append(f"| {better} - {worse} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _exact(asked: Sequence[Ranked]) -> str:
    lines = [
        "### Do they know the mazes?\n",
        _value_words.EXACT,
        "| | | seeds | best move known | chance | slope | other words |",
    ]
    lines += ["|---|---|---|---|---|---|---|"]
    for task in MAZES:
        for name in ASKED:
            found = [one for one in asked if (one.task, one.name) == (task, name)]
            if not found:
                lines.append(f"| {task} | {name} | not run | | | | |")
                continue
            known, chance, slope, others = (
                with_interval(np.array([getattr(one, what) for one in found]))
                for what in ("nearer", "chance", "slope", "others")
            )
            lines.append(f"| {task} | {name} | {len(found)} | {known} | {chance} | {slope} | {others} |")
    return "\n".join([*lines, ""])


def _known(asked: Sequence[Known]) -> str:
    lines = ["### Do they know what is earned?\n", _value_words.KNOWN]
    lines += [
        "| | | seeds | of the data | of held-out episodes | by the turn's number alone |",
        "|---|---|---|---|---|---|",
    ]
    for task in TASKS:
        for name in CRITICS:
            found = [one for one in asked if (one.task, one.name) == (task, name)]
            if not found:
                lines.append(f"| {task} | {name} | not run | | | |")
                continue
            cells = [
                with_interval(np.array([getattr(one, what) for one in found]), digits=2)
                for what in ("data", "held_out", "by_turn")
            ]
            lines.append(f"| {task} | {name} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _scores(runs: Mapping[int, Played]) -> str:
    return _shown([run.normalised for run in runs.values()], digits=1)


def _shown(values: Sequence[float], *, digits: int, signed: bool = False) -> str:
    """A figure with its interval and the number of seeds, where there are any."""
    if not values:
        return "not run"
    return f"{with_interval(np.array(values), digits=digits, signed=signed)} ({len(values)})"


def _difference(better: Mapping[int, Played], worse: Mapping[int, Played]) -> str:
    both = sorted(better.keys() & worse.keys())
    return _shown([better[seed].normalised - worse[seed].normalised for seed in both], digits=1, signed=True)


def _by_name(runs: Iterable[Played], task: str) -> dict[str, dict[int, Played]]:
    found: dict[str, dict[int, Played]] = {}
    for run in runs:
        if run.task == task and run.name in NAMES:
            found.setdefault(run.name, {})[run.seed] = run
    return {name: dict(sorted(seeds.items())) for name, seeds in found.items()}


def _online(runs: Sequence[Trained], folder: Path) -> str:
    lines = ["## By playing: ArCHer beside on-policy algorithms\n", _value_words.ONLINE]
    for task in ONLINE_TASKS:
        found = {
            name: [run for run in runs if (run.task, run.algorithm) == (task, name)] for name in ("archer", *ON_POLICY)
        }
        found = {name: some for name, some in found.items() if some}
        if not found:
            lines += [f"### {task}\n", "Not run yet.\n"]
            continue
        drawn = figure(
            [curve_of(some) for some in found.values()],
            title=task,
            across="turns",
            measure=f"success {'of the episodes sampled' if task in SAMPLED else 'on held-out tasks'}, IQM over seeds",
        )
        plot, *_ = save_figure(drawn, folder / f"value-{task}")
        lines += [f"### {task}\n", f"![{task}]({plot.name})\n"]
        most = min(run.points[-1][0] for some in found.values() for run in some)
        goals = "".join(f"turns to {goal:.0%}, median | times ArCHer's | " for goal in GOALS)
        lines += [f"| | seeds | before | after {most:,.0f} turns | at the end | turns a run | {goals}CPU-s a run |"]
        lines += ["|---|---|---|---|---|---|---|" + "---|---|" * len(GOALS)]
        lines += [_reached(name, some, found.get("archer", []), most) for name, some in found.items()]
        lines += [] if "archer" in found else ["| archer | not run | | | | | |" + " | |" * len(GOALS)]
        lines.append("")
    return "\n".join([*lines, _value_words.FOUND])


def _reached(name: str, runs: Sequence[Trained], archer: Sequence[Trained], most: float) -> str:
    first, last = np.array([[run.points[0][1], run.points[-1][1]] for run in runs]).T
    turns, seconds = (np.mean(some) for some in ([r.points[-1][0] for r in runs], [r.cpu_seconds for r in runs]))
    equal = np.array([success_after(run, most) for run in runs])
    cells = [name, str(len(runs)), *map(with_interval, (first, equal, last)), f"{turns:,.0f}"]
    for goal in GOALS:
        took, archers = (np.array([turns_to(run, goal) for run in some]) for some in (runs, archer))
        cells += [_turns(took), "" if name == "archer" or not archer else _ratio(took, archers)]
    return f"| {' | '.join(cells)} | {seconds:.0f} |"


def _turns(took: Values) -> str:
    there = int(np.isfinite(took).sum())
    median = float(median_of(took[None])[0])
    return f"{median:,.0f} ({there} of {len(took)})" if np.isfinite(median) else f"never ({there} of {len(took)})"


def _ratio(took: Values, archers: Values) -> str:
    ratio, low, high = ratio_of_medians(took, archers)
    if np.isnan(ratio):
        return "neither got there"
    interval = "" if np.isnan(low) else f" [{_times(low)}, {_times(high)}]"
    return f"{_times(ratio)}{interval}"


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if np.isfinite(ratio) else "never"


def _losses(runs: Sequence[Trained]) -> str:
    lines = ["## Classification against squared errors\n", _value_words.CALIBRATION]
    lines += ["| | | seeds | calibration error | bias | success after |", "|---|---|---|---|---|---|"]
    for task in BINS:
        for name, loss in zip(ARCHERS, ("squared errors", "HL-Gauss"), strict=True):
            found = [run for run in runs if (run.task, run.algorithm) == (task, name) and run.predicted]
            if not found:
                lines.append(f"| {task} | {loss} | not run | | | |")
                continue
            error, bias, after = (
                with_interval(np.array(values), signed=signed)
                for values, signed in (
                    ([run.calibration_error for run in found], False),
                    ([run.bias for run in found], True),
                    ([run.points[-1][1] for run in found], False),
                )
            )
            lines.append(f"| {task} | {loss} | {len(found)} | {error} | {bias} | {after} |")
    return "\n".join([*lines, ""])


def _candidates(runs: Sequence[Played]) -> str:
    lines = ["## Best of n\n", _value_words.BEST, "| n | " + " | ".join(TASKS) + " |", "|---|" + "---|" * len(TASKS)]
    played = [_by_name(runs, task) for task in TASKS]
    for n, name in ((1, "bc"), *((n, f"best_of_{n}") for n in CANDIDATES)):
        lines.append(f"| {n} | {' | '.join(_success(found.get(name, {})) for found in played)} |")
    for n in CANDIDATES:
        pairs = [(found.get(f"best_of_{n}", {}), found.get("bc", {})) for found in played]
        cells = [
            _shown([a[seed].success - b[seed].success for seed in sorted(a.keys() & b.keys())], digits=3, signed=True)
            for a, b in pairs
        ]
        lines.append(f"| {n} - 1, paired | {' | '.join(cells)} |")
    return "\n".join([*lines, _value_words.CHOSEN])


def _success(runs: Mapping[int, Played]) -> str:
    return _shown([run.success for run in runs.values()], digits=3)


def _foot(offline: Sequence[Played], online: Sequence[Trained]) -> str:
    machine = describe_machine()
    where = f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}"
    archers = [run for run in online if run.algorithm in ARCHERS]
    seconds = sum(run.cpu_seconds for run in (*offline, *archers))
    whole = len(TASKS) * len(NAMES) * SEEDS, sum(len(archers_on(task)) for task in ONLINE_TASKS) * SEEDS
    dates = sorted(run.finished[:10] for run in (*offline, *online)) or ["not run yet"]
    counted = sum(run.name in NAMES for run in offline), len(archers)
    return f"""## How it was measured

- Command: `{COMMAND}`. Finished runs are lines of `benchmarks/results/value-offline.jsonl` and `value-online.jsonl`;
  on-policy runs of KeyDoor and Maze are those of `learning.jsonl` ([learning](learning.md)).
- Machine: {where}; one thread a run, beside other work; {dates[0]} to {dates[-1]}.
- {counted[0]} of the {whole[0]} offline runs of the grid and {counted[1]} of the {whole[1]} of ArCHer,
  {seconds / 3600:.1f} CPU-hours together. In brackets behind a figure: how many seeds it rests on. A figure without an
  interval is one seed's, and says nothing about which method is better.
- A seed draws the data, the student's weights, and all samples; the held-out tasks are the same for all runs, each
  played once at temperature 1. Students have 0.1 to 0.2 M parameters. What each algorithm is told:
  `benchmarks/_value_tasks.py`.
"""
