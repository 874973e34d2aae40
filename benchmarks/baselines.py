"""Measures what the random agent and the oracle earn on every shipped suite, and writes it where summaries read it."""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path

import tomli_w

import arena.evaluation
from arena.core.errors import ArenaError, InfrastructureError
from arena.core.registry import registration, suite, suites
from arena.evaluation import evaluate
from benchmarks._report import Figure, Report

SHIPPED = Path(arena.evaluation.__file__).with_name("baselines.toml")
REPEATS = {"random": 5, "oracle": 1}
"""Episodes of each task. The oracle repeats itself, but for the moves of a random opponent."""

SEED = 0
HEAD = """\
# Mean returns of the random agent and of the oracle, measured by `python -m benchmarks baselines` on the very tasks
# whose suite hash stands beside them; a normalised return is shown only where the hash is the same.
# Run seed {seed}; {random} episodes of each task by the random agent, {oracle} by the oracle; other players at random.

"""


def returns(name: str, agent: str) -> dict[str, float]:
    """Environment -> mean return over all its tasks and repeats.

    Raises:
        InfrastructureError: an episode could not be scored, so the mean would be of others than the suite's tasks.
    """
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(temporary, "run")
        summary = evaluate(name, agent, repeats=REPEATS[agent], seed=SEED, out=run).summary
    if summary.overall.coverage < 1:
        scored = f"{summary.overall.scored} of {summary.overall.asked}"
        raise InfrastructureError(f"of the {agent} agent's episodes only {scored} could be scored")
    return {section.name: round(section.reward.mean, 6) for section in summary.sections}


def measurable(env: str) -> bool:
    """Whether returns are shipped for it: not for a plug-in's environments, and not where episodes need a browser or a
    sandbox, in which a random agent would take hours or has no list of actions to draw from.
    """
    known = registration(env)
    return known.entry_point.startswith("arena.") and known.execution != "async"


def measure() -> Report:
    """Every shipped suite that can be run here; the others keep what was measured before."""
    tables = tomllib.loads(SHIPPED.read_text())
    figures = []
    for name in suites():
        try:
            tasks = suite(name)
            if not all(measurable(env) for env in tasks.envs):
                continue
            measured = {agent: returns(name, agent) for agent in REPEATS}
        except ArenaError as error:
            print(f"{name}: left as it was; {error}", flush=True)
            continue
        tables[name] = {"hash": tasks.hash}
        for env in tasks.envs:
            tables[name][env] = {agent: measured[agent][env] for agent in REPEATS}
            figures += [Figure(f"{name}, {env}: {agent}", measured[agent][env], "return") for agent in REPEATS]
        kept = {known: tables[known] for known in suites() if known in tables}
        SHIPPED.write_text(HEAD.format(seed=SEED, **REPEATS) + tomli_w.dumps(kept))
    return Report(f"Mean returns; run seed {SEED}, episodes of each task: {REPEATS}.", figures)
