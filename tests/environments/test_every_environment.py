"""Every registered environment keeps the contract, is proved by its suite, and is a Gymnasium environment."""

from __future__ import annotations

import pytest
from gymnasium.utils.env_checker import check_env

import arena
from arena.core import registry
from arena.core.checks import check
from arena.core.env import LegalActions, Oracle, ability
from arena.core.errors import UsageError

BUILT_IN = [known for known in registry.environments().values() if known.id.startswith("arena/")]

every_environment = pytest.mark.parametrize("known", BUILT_IN, ids=[known.id.partition("/")[2] for known in BUILT_IN])


@pytest.fixture
def env(known, require, monkeypatch):
    """The environment, and whatever its extra brings."""
    if known.extra == "text":
        require("textworld")
    if known.extra == "web":
        require("playwright")
        require("chromium")
    if known.extra == "swe":
        require("bwrap")
        require("swe")
        monkeypatch.setenv("ARENA_SANDBOX", "bubblewrap")  # whatever engine other tests have started
    made = arena.make(known.id)
    yield made
    made.close()


@every_environment
def test_it_passes_the_deep_check(known, env):
    # A browser or a sandbox takes a second where a game takes a millisecond: their deep check would take many minutes.
    report = check(known.id, deep=known.extra not in ("swe", "web"))
    assert report.passed, report.text()


@every_environment
def test_gymnasium_accepts_it(known, env):
    check_env(env.unwrapped, skip_render_check=True)


@every_environment
def test_it_has_an_oracle_legal_actions_and_a_proved_suite(known, env):
    """The oracle, the random agent and the baselines would have nothing to play."""
    assert ability(env, Oracle) is not None
    if known.extra != "swe":  # what can be typed into a shell cannot be listed
        assert ability(env, LegalActions) is not None
    suite = registry.suite(known.suite)
    assert suite.proved
    assert known.id in suite.envs
    assert {task.split for task in suite.tasks} == {"eval"}


@every_environment
def test_a_task_name_it_does_not_know_is_refused(known, env):
    with pytest.raises(UsageError, match="task"):
        env.reset(seed=1, options={"task": "no such task"})


@pytest.mark.parametrize("name", list(registry.suites()))
def test_a_suite_expands_to_the_same_tasks_every_time(name):
    suite = registry.suite(name)
    assert suite.hash == registry.suite(name).hash
    assert len({task.key for task in suite.tasks}) == len(suite.tasks)
