"""The shipped returns of the random agent and the oracle are those of the suites as they are now."""

from __future__ import annotations

import tomllib
from importlib import resources

import pytest

import arena.environments  # noqa: F401  (makes the suites known)
from arena.core.registry import registration, suite, suites
from arena.evaluation.summary import _baseline

AGAIN = "measure them again: python -m benchmarks baselines"


def shipped() -> list[str]:
    """The suites that returns are measured for, by name: Arena's own, without a browser or a sandbox."""
    own = (name for name in suites() if all(measured(env) for env in suite(name).envs))
    return [name for name in own if suite(name).proved]


def measured(env: str) -> bool:
    known = registration(env)
    return known.entry_point.startswith("arena.") and known.execution != "async"


@pytest.mark.parametrize("name", shipped())
def test_every_proved_suite_has_returns_of_its_tasks(name):
    """A suite that was changed would be normalised by the returns of other tasks, or by none."""
    tasks = suite(name)
    for env in tasks.envs:
        found = _baseline(tasks, env)
        assert found is not None, f"{name} has no returns of {env} for the hash {tasks.hash}; {AGAIN}"
        random, oracle = found
        assert oracle >= random, f"on {name} the random agent earns {random} of {env} and the oracle {oracle}; {AGAIN}"


def test_nothing_is_kept_of_suites_that_are_gone():
    """A suite renamed would leave figures behind that nobody can check."""
    file = resources.files("arena.evaluation").joinpath("baselines.toml")
    measured = tomllib.loads(file.read_text())
    assert set(measured) <= set(suites()), AGAIN
    for name, table in measured.items():
        assert set(table) - {"hash"} == set(suite(name).envs), f"{name}: {AGAIN}"
