"""Snapshots of a dataclass hold everything, and branches share nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from arena.core.env import Env, Snapshots, ability
from arena.core.errors import ResetNeeded
from arena.core.snapshots import StateSnapshots


@dataclass
class Bag:
    items: list[str] = field(default_factory=list)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)


class Collector(StateSnapshots, Env):
    state_type = Bag

    def _reset(self, task):
        self.instructions = f"Collect. {self.np_random.integers(100)}"
        self.state = Bag()
        return "", {}

    def _step(self, action):
        self.state.items.append(action)
        self.state.places[action] = (len(self.state.items), int(self.np_random.integers(1000)))
        return repr(self.state), 0.0, action == "end", False, {}


def test_what_follows_is_the_same_here_and_in_a_fresh_instance():
    """The generator is part of the state, or the branches would draw differently."""
    env = Collector()
    env.reset(seed=3)
    env.step("a")
    saved = env.snapshot()
    expected = [env.step(action) for action in ("é", "c", "end")]
    fresh = Collector()
    for other in (env, fresh, fresh):
        other.restore(saved)
        assert [other.step(action) for action in ("é", "c", "end")] == expected
    assert fresh.instructions == env.instructions


def test_an_ended_episode_stays_ended():
    env = Collector()
    env.reset(seed=3)
    env.step("end")
    other = Collector()
    other.restore(env.snapshot())
    with pytest.raises(ResetNeeded):
        other.step("a")


def test_there_is_nothing_to_save_before_a_reset():
    with pytest.raises(ResetNeeded, match="reset"):
        Collector().snapshot()


def test_the_mixin_is_the_ability():
    assert ability(Collector(), Snapshots) is not None
