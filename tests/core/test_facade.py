"""An asynchronous environment behind its synchronous face, in scripts, notebooks and threads."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

from arena.core import registry
from arena.core.env import AsyncEnv, LegalActions, Oracle, Snapshots, ability
from arena.core.errors import ResetNeeded


class Echo(AsyncEnv):
    """Remembers on which thread and loop it ran."""

    instructions = "Talk."
    oracle_from = "start"

    def __init__(self, prefix: str = "") -> None:
        self.prefix, self.places, self.closes = prefix, set(), 0

    async def _reset(self, task):
        self._note()
        return f"{self.prefix}{self.np_random.integers(1000)}", {}

    async def _step(self, action):
        await asyncio.sleep(0)
        self._note()
        if action == "break":
            raise ValueError("broken inside")
        return self.prefix + action, 0.0, action == "end", False, {"success": True} if action == "end" else {}

    async def _close(self):
        self.closes += 1

    def _note(self):
        self.places.add((threading.get_ident(), id(asyncio.get_running_loop())))

    def legal_actions(self):
        return ["plain"]

    async def oracle_action(self):
        return "end"


@pytest.fixture
def env():
    registry.register("facade/Echo-v0", f"{__name__}:Echo", execution="async")
    made = registry.make("facade/Echo-v0", prefix="> ")
    yield made
    made.close()
    registry._environments.pop("facade/Echo-v0")
    gymnasium.registry.pop("facade/Echo-v0")


def inner(env):
    return env.unwrapped.inner


def test_an_episode_from_a_script(env):
    first, info = env.reset(seed=1)
    assert info["brief"]["instructions"] == "Talk."
    assert env.step("hello")[0] == "> hello"
    assert env.step("end")[4] == {"success": True, "score": 1.0}
    with pytest.raises(ResetNeeded):
        env.step("more")
    assert env.reset(seed=1)[0] == first
    assert env.unwrapped.conclude("turns") == (0.0, {"success": False, "score": 0.0})


def test_gymnasium_s_checker_accepts_it(env):
    check_env(env.unwrapped, skip_render_check=True, skip_close_check=True)


def test_inside_a_running_event_loop(env):
    """A notebook always has one, where `asyncio.run` would raise."""

    async def cell():
        env.reset(seed=1)
        return env.step("hello")[0]

    assert asyncio.run(cell()) == "> hello"


def test_from_several_threads_it_still_runs_on_one(env):
    """Libraries bound to a thread (browsers) fail when they are called from another one."""
    env.reset(seed=1)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: env.step(str(number))[0], range(50)))
    assert answers == [f"> {number}" for number in range(50)]
    ((thread, _),) = inner(env).places
    assert thread != threading.get_ident()


def test_errors_come_through(env):
    env.reset(seed=1)
    with pytest.raises(ValueError, match="broken inside"):
        env.step("break")


def test_abilities_are_synchronous_and_found_through_wrappers(env):
    wrapped = gymnasium.wrappers.OrderEnforcing(env)
    assert ability(wrapped, LegalActions).legal_actions() == ["plain"]
    oracle = ability(wrapped, Oracle)
    assert (oracle.oracle_from, oracle.oracle_action()) == ("start", "end")
    assert ability(wrapped, Snapshots) is None


def test_closing_ends_the_thread_and_a_second_close_does_nothing(env):
    before = threading.active_count()
    env.close()
    env.close()
    assert inner(env).closes == 1
    assert threading.active_count() == before - 1
    for call in (env.reset, lambda: env.step("x"), lambda: env.unwrapped.conclude("turns")):
        with pytest.raises(ResetNeeded, match="closed"):
            call()


def test_a_forgotten_one_takes_its_thread_along():
    """A sweep that makes thousands would otherwise run out of threads."""
    registry.register("facade/Forgotten-v0", f"{__name__}:Echo", execution="async")
    forgotten = registry.make("facade/Forgotten-v0")
    forgotten.reset(seed=1)
    thread = forgotten.unwrapped._thread
    del forgotten
    registry._environments.pop("facade/Forgotten-v0")
    gymnasium.registry.pop("facade/Forgotten-v0")
    gc.collect()
    thread.join(timeout=10)
    assert not thread.is_alive()
