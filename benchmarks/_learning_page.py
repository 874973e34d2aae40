"""The page of the learning benchmark: interquartile means over seeds with bootstrap intervals, tables and plots.

Letters: S seeds, P places along a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from arena.trainers._curve import Curve, figure, save_figure
from benchmarks._learning_runs import Learned
from benchmarks._learning_states import Recurring
from benchmarks._learning_tasks import ALGORITHMS, LEARNING, SETTINGS, TASKS
from benchmarks._report import describe_machine

PAGE = Path(__file__).parents[1] / "docs" / "results" / "learning.md"
COMMAND = "python -m benchmarks.learning run && python -m benchmarks.learning page"

SEEDS = 5
"""Of the whole grid."""

_DRAWS, _PLACES = 10_000, 49

Interval = tuple[float, float, float]


def interquartile_mean(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """The mean of the middle half of S seeds, and its 95 % bootstrap interval over them (Agarwal et al. 2021).

    Args:
        values: of each seed at each place (S, P).

    Returns:
        Mean, low and high (P each); NaN for the interval of a single seed.
    """
    mean = stats.trim_mean(values, 0.25, axis=0)
    if len(values) < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    drawn = np.random.default_rng(0).integers(len(values), size=(_DRAWS, len(values)))
    low, high = np.quantile(stats.trim_mean(values[drawn], 0.25, axis=1), [0.025, 0.975], axis=0)
    return mean, low, high


def along_turns(runs: Sequence[Learned]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places from 0 to the fewest turns that a run took (P), and each run's held-out success there (S, P)."""
    ends = min(run.points[-1][0] for run in runs)
    places = np.linspace(0, ends, _PLACES)
    values = [np.interp(places, [p[0] for p in run.points], [p[1] for p in run.points]) for run in runs]
    return places, np.array(values)


def curve_of(runs: Sequence[Learned]) -> Curve:
    """The curve of one algorithm on one task."""
    places, values = along_turns(runs)
    mean, low, high = (found.tolist() for found in interquartile_mean(values))
    return Curve(
        places.tolist(), mean, low, high, f"{runs[0].algorithm}, {len(runs)} seed{'s' if len(runs) > 1 else ''}"
    )


def write_page(runs: Sequence[Learned], page: Path = PAGE, states: Sequence[Recurring] = ()) -> str:
    """Write the page and a plot for each task; returns the page."""
    sections = [_section(task, runs, page.parent) for task in TASKS]
    parts = [_HEAD, *sections, _beside(runs, "gigpo", "grpo"), _recurring(states), _foot(runs)]
    text = "\n".join(part for part in parts if part)
    page.write_text(text)
    return text


def _section(task: str, all_runs: Sequence[Learned], folder: Path) -> str:
    runs = {name: _seeds(all_runs, task, name) for name in ALGORITHMS}
    runs = {name: found for name, found in runs.items() if found}
    if not runs:
        return f"## {task}\n\nNot run yet.\n"
    known = TASKS[task]
    measure = "success on held-out tasks, IQM over seeds"
    drawn = figure([curve_of(found) for found in runs.values()], title=task, across="turns", measure=measure)
    plots = save_figure(drawn, folder / f"learning-{task}")
    game = f"`{known.env}`, {_words(known.params)}, at most {known.max_turns} turns: {known.about}."
    student = (
        f"A student is cloned from {known.demonstrations} episodes of the oracle and trained for {known.steps} steps;"
    )
    lines = [
        f"## {task}\n",
        f"{game}\n{student} {known.held_out} held-out tasks.\n",
        f"![{task}]({plots[0].name})\n",
        "| algorithm | seeds | before | after | gain | turns a run | CPU-s a run |",
        "|---|---|---|---|---|---|---|",
        *(_row(name, found) for name, found in runs.items()),
        "",
    ]
    return "\n".join(lines)


def _row(name: str, runs: Sequence[Learned]) -> str:
    first, last = np.array([[run.points[0][1], run.points[-1][1]] for run in runs]).T
    turns = np.mean([run.points[-1][0] for run in runs])
    seconds = np.mean([run.cpu_seconds for run in runs])
    cells = [name, str(len(runs)), with_interval(first), with_interval(last), with_interval(last - first, signed=True)]
    return f"| {' | '.join(cells)} | {turns:,.0f} | {seconds:.0f} |"


def _beside(all_runs: Sequence[Learned], one: str, other: str) -> str:
    """How much further one algorithm comes than another on each task, paired by seed."""
    lines = [
        f"## {one} beside {other}\n",
        f"Held-out success of {one} minus that of {other}, paired by seed: after the last step, and on average over",
        "the turns that both took, which says who learns faster. An interval that holds 0 tells nothing apart.",
        "With the settings below the two differ in step advantages alone: where no state recurs they are the same",
        "algorithm, so the differences are what step advantages bring.\n",
        "| task | seeds | at the end | on average over the turns |",
        "|---|---|---|---|",
    ]
    for task in TASKS:
        runs = [{run.seed: run for run in _seeds(all_runs, task, name)} for name in (one, other)]
        pairs = [(runs[0][seed], runs[1][seed]) for seed in sorted(runs[0].keys() & runs[1].keys())]
        shown = "– | –"
        if len(pairs) > 1:
            ends = np.array([left.points[-1][1] - right.points[-1][1] for left, right in pairs])
            means = np.array([np.subtract(*along_turns(pair)[1].mean(axis=1)) for pair in pairs])
            shown = f"{with_interval(ends, signed=True)} | {with_interval(means, signed=True)}"
        lines.append(f"| {task} | {len(pairs)} | {shown} |")
    return "\n".join([*lines, ""])


def _recurring(states: Sequence[Recurring]) -> str:
    """What step advantages have to work with on each task; nothing where it was not measured."""
    if not states:
        return ""
    lines = [
        "## How often states recur\n",
        "Episodes of the clones on tasks that they were not shown, before anything is learned from them. GRPO learns",
        "nothing from a group whose episodes all had the same return; GiGPO's step advantages also compare the turns",
        "of a group that acted in the same state, by their discounted returns. States recur in all of these tasks, but",
        "a step advantage is 0 where all that passed through a state came to the same discounted return, as where all",
        "failed: the last two columns, not the recurrence, are what GiGPO has beyond GRPO. Means over clones, in",
        "brackets the least and the most.\n",
        "| task | clones | groups with equal returns | turns in a state that another episode of the group met too "
        "| turns with a step advantage | the same in groups with equal returns |",
        "|---|---|---|---|---|---|",
    ]
    for task in TASKS:
        found = [one for one in states if one.task == task]
        if found:
            names = ("silent", "recurring", "credited", "credited_silent")
            shares = (_range([getattr(one, name) for one in found]) for name in names)
            lines.append(f"| {task} | {len(found)} | {' | '.join(shares)} |")
    return "\n".join([*lines, ""])


def _range(shares: Sequence[float]) -> str:
    """The mean of shares, and between which they lie."""
    spread = f" [{min(shares):.0%}, {max(shares):.0%}]" if len(shares) > 1 else ""
    return f"{np.mean(shares):.0%}{spread}"


def with_interval(values: NDArray[np.float64], *, signed: bool = False, digits: int = 3) -> str:
    """The interquartile mean of S values and its interval, in words."""
    mean, low, high = (float(found[0]) for found in interquartile_mean(values[:, None]))
    form = f"{'+' if signed else ''}.{digits}f"
    interval = "" if np.isnan(low) else f" [{low:{form}}, {high:{form}}]"
    return f"{mean:{form}}{interval}"


def _seeds(runs: Sequence[Learned], task: str, name: str) -> list[Learned]:
    return sorted((run for run in runs if (run.task, run.algorithm) == (task, name)), key=lambda run: run.seed)


def _words(values: dict[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _foot(runs: Sequence[Learned]) -> str:
    machine = describe_machine()
    where = f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}"
    seconds = sum(run.cpu_seconds + run.cloned_in for run in runs)
    step = f"{LEARNING['tasks']} tasks x {LEARNING['group_size']} episodes a step"
    rate, share = (LEARNING["optimiser"][name] for name in ("learning_rate", "final_share"))
    own = "; ".join(f"{name}: {_words(SETTINGS[name])}" for name in ALGORITHMS if name in SETTINGS)
    whole = len(TASKS) * len(ALGORITHMS) * SEEDS
    dates = sorted(run.finished[:10] for run in runs)
    return f"""## How it was measured

- Command: `{COMMAND}`; each finished run is a line of `benchmarks/results/learning.jsonl`.
- Machine: {where}; one thread a run, beside other work; {dates[0]} to {dates[-1]}.
- {len(runs)} of the {whole} runs of the grid, {seconds / 3600:.1f} CPU-hours together, clones included; the CPU-s of
  a run that was interrupted count since it went on.
- The same for all algorithms: {step}, one pass over them in {LEARNING["minibatches"]} minibatches, AdamW at {rate:g}
  falling linearly to {share:.0%} of it, gradient norm 1, no entropy bonus, no KL. REINFORCE has no ratio and
  therefore makes one optimiser step a batch.
- An algorithm's own settings, where they are not its defaults: {own}.
- A seed draws the student's weights, its demonstrations, the training tasks and all samples. The held-out tasks are
  the same for all runs, and are played at temperature 1, each once. With a single seed there is no interval over
  seeds; the intervals over tasks are in the file.
"""


_HEAD = """# Learning

What tiny models learn from their own episodes: success on held-out tasks against environment turns. Each run begins
with a student of 0.1 to 0.2 M parameters that is built on the spot and cloned from a few episodes of an oracle (its
success then is the first point of a curve), and goes on with one algorithm. Figures are interquartile means over seeds
with 95 % bootstrap intervals over seeds, in brackets and shaded (Agarwal et al. 2021, arXiv 2108.13264).
"""
