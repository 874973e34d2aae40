"""The base classes keep the contract for authors: order, valid Unicode, tool calls, grades, abilities."""

from __future__ import annotations

import asyncio
import json

import gymnasium
import pytest

from arena.core.env import AsyncEnv, Env, LegalActions, Oracle, Snapshots, ability
from arena.core.errors import EnvironmentFailure, ResetNeeded, UsageError
from arena.core.messages import Tool
from arena.core.seeds import EVAL_SEEDS, split_of_instance

PUSH = Tool(
    name="push",
    description="push a number of times",
    parameters={"type": "object", "properties": {"times": {"type": "integer"}}},
    template="push {times}",
)


class Counter(Env):
    """Counts pushes up to three."""

    instructions = "Push three times."
    tools = (PUSH,)

    def _reset(self, task):
        self.pushes, self.closes, self.heard = 0, 0, []
        return "0", {}

    def _step(self, action):
        self.heard.append(action)
        verb, _, times = action.partition(" ")
        if verb != "push":
            return "push!", 0.0, False, False, {"valid": False, "error": "push!"}
        self.pushes += int(times)
        return str(self.pushes), 1.0, self.pushes >= 3, False, {"valid": True, "success": self.pushes == 3}

    def _close(self):
        self.closes += 1

    def legal_actions(self):
        return ["push 1"]


@pytest.fixture
def counter():
    env = Counter()
    env.reset(seed=1)
    return env


def calls(*times):
    return json.dumps([{"tool": "push", "arguments": {"times": count}} for count in times])


def test_calls_out_of_order_are_refused():
    """An agent that goes on after the end would be scored for it."""
    env = Counter()
    for call in (lambda: env.step("push 1"), lambda: env.conclude("turns")):
        with pytest.raises(ResetNeeded, match="not begun"):
            call()
    env.reset(seed=1)
    env.step("push 3")
    for call in (lambda: env.step("push 1"), lambda: env.conclude("turns")):
        with pytest.raises(gymnasium.error.ResetNeeded, match="over"):
            call()
    env.close()
    env.close()
    assert env.closes == 1
    with pytest.raises(ResetNeeded, match="closed"):
        env.step("push 1")


def test_an_end_is_graded(counter):
    info = counter.step("push 3")[4]
    assert (info["success"], info["score"]) == (True, 1.0)
    counter.reset()
    info = counter.step("push 4")[4]
    assert (info["success"], info["score"]) == (False, 0.0)


def test_an_unfinished_episode_is_graded_once(counter):
    assert counter.conclude("turns") == (0.0, {"success": False, "score": 0.0})
    with pytest.raises(ResetNeeded):
        counter.conclude("turns")


def test_the_first_info_carries_the_brief(counter):
    brief = counter.reset()[1]["brief"]
    assert brief["instructions"] == "Push three times."
    assert Tool(**brief["tools"][0]) == PUSH
    json.dumps(brief)


def test_actions_arrive_as_valid_text(counter):
    counter.step("push\ud800")
    assert counter.heard == ["push\ufffd"]
    with pytest.raises(UsageError, match="not int"):
        counter.step(1)


def test_several_calls_are_one_action_and_stop_at_the_end(counter):
    """What runs after the end would happen in no episode."""
    text, reward, terminated, _, info = counter.step(calls(1, 2, 5))
    assert (text, reward, terminated, info["success"]) == ("1\n3", 2.0, True, True)
    assert info["results"] == ["1", "3"]
    assert info["executed"] == "push 1\npush 2"


def test_a_call_that_cannot_run_is_answered_and_the_others_run(counter):
    action = '[{"tool": "pull"}, {"tool": "push", "arguments": {"times": 1}}]'
    text, _, _, _, info = counter.step(action)
    assert "no tool called 'pull'" in text
    assert info["valid"] is False
    assert counter.pushes == 1


def test_a_call_that_was_refused_did_not_run():
    """A record would show an action that never happened; one that ran in another form is shown as it ran."""

    class Illegal(Counter):
        tools = (PUSH, Tool(name="pull", description="", parameters={"type": "object"}, template="pull"))

        def _step(self, action):
            observation, reward, terminated, truncated, info = super()._step(action)
            return observation, reward, terminated, truncated, info | ({"executed": "wait"} if self.pushes else {})

    env = Illegal()
    env.reset(seed=1)
    pull = '{"tool": "pull", "arguments": {}}'
    refused = env.step(f"[{pull}]")[4]
    assert (refused["valid"], refused["executed"]) == (False, "")
    env.pushes = 1
    assert env.step(f"[{pull}]")[4]["executed"] == "wait"


def test_the_short_form_of_a_call_is_the_same_action(counter):
    assert counter.step("push 2")[0] == "2"


def test_options_that_do_not_exist_are_refused():
    with pytest.raises(UsageError, match="'level'"):
        Counter().reset(options={"level": 3})


class Lottery(Env):
    instructions = "Guess."

    def __init__(self, numbers: int = 1000) -> None:
        self.numbers = numbers

    def _reset(self, task):
        number = self.draw(lambda generator: int(generator.integers(self.numbers)), str)
        return "?", {"instance": str(number)}


def test_instances_belong_to_the_split_of_their_seed():
    """Two seeds of a small game could otherwise generate the same instance in both splits."""
    env = Lottery()
    for seed in range(50):
        assert split_of_instance(env.reset(seed=seed)[1]["instance"]) == "train"
        assert split_of_instance(env.reset(seed=EVAL_SEEDS + seed)[1]["instance"]) == "eval"


def test_a_game_too_small_for_both_splits_says_so():
    env = Lottery(numbers=1)
    missing = EVAL_SEEDS if split_of_instance("0") == "train" else 0
    with pytest.raises(EnvironmentFailure, match="no instance"):
        env.reset(seed=missing)


def test_abilities_are_found_behind_wrappers():
    """Wrappers hide attributes, so an attribute lookup would find nothing."""
    wrapped = gymnasium.wrappers.TimeLimit(gymnasium.wrappers.OrderEnforcing(Counter()), 5)
    layer = ability(wrapped, LegalActions)
    assert layer is wrapped.unwrapped
    assert layer.legal_actions() == ["push 1"]
    assert ability(wrapped, Oracle) is None
    assert ability(wrapped, Snapshots) is None
    assert ability(None, Oracle) is None


class AsyncCounter(AsyncEnv):
    instructions = "Push."

    async def _reset(self, task):
        await asyncio.sleep(0)
        return str(self.np_random.integers(1000)), {}

    async def _step(self, action):
        return action, 0.0, action == "end", False, {}


def test_coroutines_keep_the_same_contract():
    async def play():
        env = AsyncCounter()
        with pytest.raises(ResetNeeded):
            await env.step("x")
        first = await env.reset(seed=5)
        assert "brief" in first[1]
        assert await env.reset(seed=5) == first
        assert (await env.step("end"))[4] == {"success": False, "score": 0.0}
        with pytest.raises(ResetNeeded):
            await env.conclude("turns")
        await env.close()
        await env.close()

    asyncio.run(play())
