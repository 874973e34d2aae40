"""What an evaluation came to: per environment and over all, with intervals and coverage."""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from arena.core.agent import Agent
from arena.core.task import Suite, Task
from arena.evaluation.statistics import FEW_TASKS, Estimate, estimate_mean, estimate_pass
from arena.records import Row


@dataclass(frozen=True, slots=True)
class Section:
    """Figures of one environment, or of all together.

    Attributes:
        name: environment id, or "all".
        asked, scored: episodes; their ratio is the coverage.
        score, success: means over scored episodes.
        passes: "pass@k" and "pass^k" for several k, where tasks were repeated.
        outcomes: counts by outcome; `limits` by the limit that truncated.
        turns, tokens: means per scored episode.
        cost: US dollars of the scored episodes; None where a price is not known.
        reward: mean return (undiscounted sum of rewards).
        normalised: the return between the random agent's (0) and the oracle's (1), as measured and
            shipped for this suite; None where they were not measured or are equal.
    """

    name: str
    asked: int
    scored: int
    score: Estimate
    success: Estimate
    passes: Mapping[str, Estimate]
    outcomes: Mapping[str, int]
    limits: Mapping[str, int]
    turns: float
    tokens: float
    cost: float | None
    reward: Estimate
    normalised: float | None

    @property
    def coverage(self) -> float:
        """Scored / asked."""
        return self.scored / self.asked if self.asked else 0.0

    def to_json(self) -> dict[str, Any]:
        """As `summary.json` holds it."""
        return {
            "asked": self.asked,
            "scored": self.scored,
            "coverage": round(self.coverage, 6),
            "score": self.score.to_json(),
            "success": self.success.to_json(),
            "passes": {name: estimate.to_json() for name, estimate in self.passes.items()},
            "outcomes": dict(sorted(self.outcomes.items())),
            "limits": dict(sorted(self.limits.items())),
            "turns": _rounded(self.turns),
            "tokens": _rounded(self.tokens),
            "cost": None if self.cost is None else round(self.cost, 6),
            "return": self.reward.to_json(),
            "normalised": None if self.normalised is None else round(self.normalised, 6),
        }


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of a whole evaluation; `run` holds what differs between two equal ones (times, attempts)."""

    suite: str
    suite_hash: str
    proved: bool
    agents: Mapping[str, str]
    repeats: int
    sections: tuple[Section, ...]
    overall: Section
    warnings: tuple[str, ...]
    run: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As `summary.json` holds it."""
        return {
            "suite": {"name": self.suite, "hash": self.suite_hash, "proved": self.proved},
            "agents": dict(self.agents),
            "repeats": self.repeats,
            "overall": self.overall.to_json(),
            "environments": {section.name: section.to_json() for section in self.sections},
            "warnings": list(self.warnings),
            "run": dict(self.run),
        }

    def text(self) -> str:
        """The table as plain text (what a notebook shows)."""
        from arena.evaluation.report import table_text

        return table_text(self)


def summarise(
    suite: Suite, repeats: int, rows: Sequence[Row], attempts: Sequence[Row], agents: Mapping[str, Agent | str]
) -> Summary:
    """Summarise a run.

    Args:
        suite: the tasks that were asked for.
        repeats: episodes asked for of each.
        rows: the newest attempt of each episode.
        attempts: every attempt; what was spent counts them all.
        agents: player -> agent or its spec.
    """
    by_env: dict[str, list[Task]] = {env: [] for env in suite.envs}
    for task in suite.tasks:
        by_env[task.env].append(task)
    found = {(row.key.task, row.key.repeat): row for row in rows}
    sections, every = [], []
    for env, tasks in by_env.items():
        own = [row for task in tasks for repeat in range(repeats) if (row := found.get((task.key, repeat)))]
        every += own
        sections.append(_section(env, len(tasks) * repeats, repeats, own, _baseline(suite, env)))
    overall = _section("all", len(suite.tasks) * repeats, repeats, every, None)
    return Summary(
        suite.name,
        suite.hash,
        suite.proved,
        {player: agent if isinstance(agent, str) else agent.spec for player, agent in agents.items()},
        repeats,
        tuple(sections),
        overall,
        tuple(_warnings(suite, sections, overall)),
        {
            "attempts": len(attempts),
            "seconds": round(sum(row.seconds for row in attempts), 3),
            "spent": _sum_or_none(row.cost for row in attempts),
        },
    )


def _section(name: str, asked: int, repeats: int, rows: Sequence[Row], baseline: tuple[float, float] | None) -> Section:
    scored = [row for row in rows if row.outcome.scored]
    reward = estimate_mean(_by_task(scored, "reward"), bounds=None)
    successes = _by_task(scored, "success")
    normalised = None
    if baseline is not None and scored and baseline[0] != baseline[1]:
        normalised = (reward.mean - baseline[0]) / (baseline[1] - baseline[0])
    passes = {}
    for k in _ks(repeats):
        passes[f"pass@{k}"] = estimate_pass(successes, k)
        passes[f"pass^{k}"] = estimate_pass(successes, k, every=True)
    return Section(
        name=name,
        asked=asked,
        scored=len(scored),
        score=estimate_mean(_by_task(scored, "score")),
        success=estimate_mean(successes),
        passes=passes,
        outcomes=Counter(row.outcome.value for row in rows),
        limits=Counter(row.limit for row in scored if row.limit),
        turns=_mean([row.turns for row in scored]),
        tokens=_mean([row.tokens for row in scored]),
        cost=_sum_or_none(row.cost for row in scored),
        reward=reward,
        normalised=normalised,
    )


def _warnings(suite: Suite, sections: Sequence[Section], overall: Section) -> Iterable[str]:
    lost = overall.asked - overall.scored
    if lost == overall.asked:
        yield "No episode is scored." if lost > 1 else "The episode is not scored."
    elif lost:
        are, them = ("is", "it") if lost == 1 else ("are", "them")
        yield f"{lost} of {overall.asked} episodes {are} not scored and not in the means; --resume plays {them}."
    every = [*sections, overall] if len(sections) > 1 else sections
    rough = [each for each in every if each.score.method == "clustered" and each.score.n < FEW_TASKS]
    if rough:
        named = ", ".join(f"{each.name} ({each.score.n})" for each in rough)
        yield f"Clustered intervals are rough where there are fewer than {FEW_TASKS} tasks: {named}."
    # Tasks drawn from an environment, or one played by hand, are no suite that anyone could have proved.
    if not suite.proved and suite.name not in suite.envs:
        yield f"The suite {suite.name} is unproved: nobody has shown that each task can be solved."


def _by_task(rows: Iterable[Row], name: str) -> dict[str, list[Any]]:
    values: dict[str, list[Any]] = {}
    for row in rows:
        values.setdefault(row.key.task, []).append(getattr(row, name))
    return values


def _ks(repeats: int) -> list[int]:
    """1, 2, 4, … and the number of repeats itself; none where each task ran once."""
    return sorted({k for k in (1, 2, 4, 8, 16, 32, 64, repeats) if k <= repeats}) if repeats > 1 else []


@cache
def _baselines() -> dict[str, Any]:
    return tomllib.loads(resources.files("arena.evaluation").joinpath("baselines.toml").read_text())


def _baseline(suite: Suite, env: str) -> tuple[float, float] | None:
    """(random agent's, oracle's) mean return on these very tasks, as measured and shipped."""
    measured = _baselines().get(suite.name, {})
    if measured.get("hash") != suite.hash or env not in measured:
        return None
    return measured[env]["random"], measured[env]["oracle"]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _sum_or_none(costs: Iterable[float | None]) -> float | None:
    total = 0.0
    for cost in costs:
        if cost is None:
            return None
        total += cost
    return round(total, 6)


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)
