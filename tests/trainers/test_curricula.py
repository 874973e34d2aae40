"""Curricula choose as their papers say, and go on after a checkpoint as if nothing had happened."""

from __future__ import annotations

import json

import numpy as np
import pytest

from arena.core.errors import UnknownName, UsageError
from arena.trainers._curriculum import Bandit, TurnHorizon, Ucb, Uniform, curriculum, draw

KINDS = ["easy", "mid", "hard"]


def test_bandit_follows_its_recursion():
    """Q <- rate mean|A| + (1 - rate) Q for the kinds seen; the others stay."""
    bandit = Bandit(KINDS, rate=0.25, temperature=0.5)
    bandit.learn({"easy": [1.0, -3.0], "mid": []})
    bandit.learn({"easy": [1.0]})
    assert bandit.estimates == {"easy": 0.25 + 0.75 * 0.5, "mid": 0.0, "hard": 0.0}
    powers = np.exp(np.array([0.625, 0.0, 0.0]) / 0.5)
    np.testing.assert_allclose(bandit.probabilities(), powers / powers.sum())


def test_ucb_forgets_beyond_its_window():
    ucb = Ucb(["one"], window=2)
    ucb.learn({"one": [9.0, 1.0, 1.0]})
    assert ucb.state()["recent"] == {"one": [1.0, 1.0]}
    assert ucb.state()["counts"] == {"one": 3}


@pytest.mark.parametrize("made", [Uniform(KINDS), Ucb(KINDS, window=3), Bandit(KINDS)], ids=lambda c: type(c).__name__)
def test_a_checkpoint_continues_exactly(made):
    made.learn({"easy": [0.1, -0.7, 0.3, 0.9], "hard": [2.0]})
    restored = curriculum(json.loads(json.dumps(made.state())))
    for one in (made, restored):
        one.learn({"mid": [0.4]})
    assert type(restored) is type(made)
    assert restored.state() == made.state()
    draws = [draw(one, 20, np.random.default_rng(3)) for one in (made, restored)]
    assert draws[0] == draws[1]


def test_horizon_grows_by_stages():
    horizon = TurnHorizon([(0, 5), (100, 10), (200, 30)])
    assert [horizon.turns(step) for step in (0, 99, 100, 1000)] == [5, 5, 10, 30]
    assert TurnHorizon.from_state(json.loads(json.dumps(horizon.state()))).stages == horizon.stages


@pytest.mark.parametrize("stages", [[], [(1, 5)], [(0, 5), (0, 6)], [(0, 0)]])
def test_horizons_that_make_no_sense(stages):
    with pytest.raises(UsageError):
        TurnHorizon(stages)


def test_names_are_checked():
    with pytest.raises(UnknownName, match="Did you mean 'easy'"):
        Bandit(KINDS).learn({"eazy": [1.0]})
    with pytest.raises(UnknownName, match="curriculum"):
        curriculum({"name": "bandits"})
    with pytest.raises(UsageError, match="different names"):
        Uniform(["a", "a"])
