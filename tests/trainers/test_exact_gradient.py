"""Each estimator's expectation, by enumeration of all groups of trajectories, against the exact policy gradient.

The MDP: two states, at most three turns, actions `go` and `stop`; stopping ends the episode, so the
policy controls its length. `go` moves at random. What a docstring calls unbiased is equal here to
1e-12, and what it calls biased is so in the way it says.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from arena.trainers import TurnTable, gigpo, grpo, loop, opo, ppo, reinforce, reinforce_pp, rloo

TURNS = 3
LOGIT = np.array([0.4, -0.3])
"""The policy: logit of `go` in each state."""
GO = 1 / (1 + np.exp(-LOGIT))
MOVE = np.array([0.3, 0.6])
"""Probability that `go` leaves the state."""
STOP_REWARD = np.array([0.25, 1.0])
GO_REWARD = np.array([0.375, -0.125])
# Sums of these are exact, so that equal returns are equal.


@dataclass(frozen=True)
class Trajectory:
    probability: float
    states: tuple[int, ...]
    rewards: tuple[float, ...]
    scores: np.ndarray
    """Gradient of log pi of each action by the two logits (turns, 2)."""


def play(state=0, turn=0):
    """All trajectories from a state on."""
    stop, go = -GO[state] * np.eye(2)[state], (1 - GO[state]) * np.eye(2)[state]
    yield Trajectory(1 - GO[state], (state,), (STOP_REWARD[state],), stop[None])
    if turn == TURNS - 1:
        yield Trajectory(GO[state], (state,), (GO_REWARD[state],), go[None])
        return
    for following in (0, 1):
        chance = GO[state] * (MOVE[state] if following != state else 1 - MOVE[state])
        for rest in play(following, turn + 1):
            yield Trajectory(
                chance * rest.probability,
                (state, *rest.states),
                (GO_REWARD[state], *rest.rewards),
                np.vstack([go[None], rest.scores]),
            )


ALL = list(play())


def gradient(gamma=1.0):
    """sum_t E[G_t grad log pi_t]; with gamma = 1 the exact gradient of E[R]."""
    total = np.zeros(2)
    for one in ALL:
        after = [sum(gamma**k * r for k, r in enumerate(one.rewards[t:])) for t in range(len(one.rewards))]
        total += one.probability * (np.array(after)[:, None] * one.scores).sum(0)
    return total


def value(state, turn):
    """The exact value of a state at a turn."""
    go = GO_REWARD[state]
    if turn < TURNS - 1:
        stay = (1 - MOVE[state]) * value(state, turn + 1)
        go += stay + MOVE[state] * value(1 - state, turn + 1)
    return (1 - GO[state]) * STOP_REWARD[state] + GO[state] * go


def table_of(groups):
    """All groups (lists of trajectories) in one table."""
    rows = [(g, e, one) for e, (g, one) in enumerate((g, one) for g, group in enumerate(groups) for one in group)]
    return TurnTable.of(
        group=np.concatenate([np.full(len(one.states), g) for g, _, one in rows]),
        episode=np.concatenate([np.full(len(one.states), e) for _, e, one in rows]),
        reward=np.concatenate([one.rewards for _, _, one in rows]),
        state=np.concatenate([one.states for _, _, one in rows]),
        value=np.concatenate([[value(s, t) for t, s in enumerate(one.states)] for _, _, one in rows]),
    )


def expectation(advantages, n, separately=False):
    """E of (1 / n) sum over the group's turns of A grad log pi, over all groups of n trajectories.

    `separately`: each group is a batch of its own, for estimators that look at the whole batch.
    """
    groups = list(itertools.combinations_with_replacement(range(len(ALL)), n))
    orders = [math.factorial(n) / math.prod(map(math.factorial, Counter(g).values())) for g in groups]
    chances = np.array([math.prod(ALL[i].probability for i in g) for g in groups]) * orders
    batches = [[ALL[i] for i in g] for g in groups]
    if separately:
        credit = np.concatenate([advantages(table_of([batch])) for batch in batches])
    else:
        credit = advantages(table_of(batches))
    scores = np.concatenate([one.scores for batch in batches for one in batch])
    weights = np.repeat(chances, [sum(len(one.states) for one in batch) for batch in batches])
    return (weights[:, None] * credit[:, None] * scores).sum(0) / n


EXACT = gradient()


def test_the_enumeration_is_right():
    """Probabilities sum to 1, and the gradient is that of finite differences."""
    assert sum(one.probability for one in ALL) == pytest.approx(1.0)
    assert sum(one.probability * sum(one.rewards) for one in ALL) == pytest.approx(value(0, 0))
    for index in (0, 1):
        nudged = []
        for step in (1e-6, -1e-6):
            saved = GO[index]
            GO[index] = 1 / (1 + np.exp(-(LOGIT[index] + step)))
            nudged.append(value(0, 0))
            GO[index] = saved
        assert (nudged[0] - nudged[1]) / 2e-6 == pytest.approx(EXACT[index], rel=1e-6)


def ppo_with(value, lam):
    """Turn-level PPO with values made from the table's exact ones."""
    config = ppo.Config(lam=lam, whiten=False)
    return lambda table: ppo.advantages(table.with_values(value(table)), config)[0]


def of(algorithm, **options):
    return lambda table: algorithm.advantages(table, algorithm.Config(**options))


UNBIASED = {
    "reinforce": (of(reinforce, baseline="none"), False),
    "reinforce, baseline of others": (of(reinforce), True),
    "rloo": (of(rloo), False),
    "loop": (of(loop, least_advantage=0.0), False),
    "reinforce++ before whitening": (of(reinforce_pp, whiten=False), False),
    "ppo, lam 1, a wrong value": (ppo_with(lambda table: table.value + table.turn, 1.0), False),
    "ppo, lam 0.3, the exact value": (ppo_with(lambda table: table.value, 0.3), False),
}


@pytest.mark.parametrize("name", UNBIASED)
def test_unbiased(name):
    advantages, separately = UNBIASED[name]
    for n in (2, 3):
        np.testing.assert_allclose(expectation(advantages, n, separately), EXACT, atol=1e-12)


SHRUNK = {
    "dr. grpo": of(grpo, scale="none"),
    "gigpo without steps": of(gigpo, step_weight=0.0),
    "reinforce++-baseline before whitening": of(reinforce_pp, baseline="group", whiten=False),
}


@pytest.mark.parametrize("name", SHRUNK)
def test_the_own_return_in_the_mean_shrinks_the_gradient(name):
    for n in (2, 3):
        np.testing.assert_allclose(expectation(SHRUNK[name], n), (n - 1) / n * EXACT, atol=1e-12)


def test_grpo_with_std_climbs_the_probability_of_beating_an_opponent():
    """In groups of two a win counts 1 / sqrt(2), whatever its margin; the opponent is not differentiated."""
    returns = np.array([sum(one.rewards) for one in ALL])
    chances = np.array([one.probability for one in ALL])
    wins = np.sign(returns[:, None] - returns) @ chances
    slope = sum(one.probability * win * one.scores.sum(0) for one, win in zip(ALL, wins, strict=True))
    found = expectation(of(grpo, eps=0.0), 2)
    np.testing.assert_allclose(found, slope / np.sqrt(2), atol=1e-12)
    assert np.abs(found - EXACT).max() > 0.01


def test_ppo_cut_off_with_the_exact_value_after_it_loses_nothing():
    """A turn limit that bootstraps gives the turns before it their exact gradient; one that ends there does not."""
    exact = np.zeros(2)
    for one in ALL:
        after = np.cumsum(one.rewards[::-1])[::-1][:2]
        exact += one.probability * (after[:, None] * one.scores[:2]).sum(0)
    found = {"bootstrap": np.zeros(2), "end": np.zeros(2)}
    for one in ALL:
        turns = min(len(one.states), 2)
        cut = len(one.states) > 2
        table = TurnTable.of(episode=[0] * turns, reward=one.rewards[:turns], truncated=[False] * (turns - 1) + [cut])
        values = np.array([value(state, turn) for turn, state in enumerate(one.states[:turns])])
        for name, final in (("bootstrap", value(one.states[2], 2) if cut else np.nan), ("end", np.nan)):
            config = ppo.Config(lam=0.7, whiten=False)
            credit, _ = ppo.advantages(table.with_values(values, np.array([final])), config)
            found[name] += one.probability * (credit[:, None] * one.scores[:turns]).sum(0)
    np.testing.assert_allclose(found["bootstrap"], exact, atol=1e-12)
    assert np.abs(found["end"] - exact).max() > 0.01


def test_a_wrong_value_biases_ppo_the_more_the_smaller_lam():
    found = [ppo_with(lambda table: table.value + table.turn, lam) for lam in (0.0, 0.5, 1.0)]
    found = [np.abs(expectation(estimate, 1) - EXACT).max() for estimate in found]
    assert found[0] > found[1] > 1e-3
    assert found[2] < 1e-12


def test_opo_is_biased_by_one_over_n():
    """Beyond the factor (n - 1) / n: the own length is in the baseline's weights."""
    sizes = np.array([2, 3, 4])
    found = [np.abs(n / (n - 1) * expectation(of(opo), n) - EXACT).max() for n in sizes]
    assert found[0] > found[1] > found[2] > 1e-3
    assert_about_equal(sizes * found)


def test_opo_with_equal_lengths_is_only_shrunk():
    """Equal weights make it the plain mean."""

    def equal(table):
        turns = table.trajectories.spread(table.trajectories.lengths)
        return opo.advantages(table.replace(tokens=6 // turns), opo.Config())

    np.testing.assert_allclose(expectation(equal, 3), 2 / 3 * EXACT, atol=1e-12)


def test_gigpo_tends_to_the_sum_of_both_gradients():
    """Own and repeated visits in the step groups' means cost O(1 / n) and vanish."""
    sizes = np.array([2, 3, 4])
    limit = EXACT + gradient(gamma=0.95)
    found = [np.abs(expectation(of(gigpo), n) - limit).max() for n in sizes]
    assert found[0] > found[1] > found[2]
    assert_about_equal(sizes * found)


def test_whitened_reinforce_pp_tends_to_the_direction_of_the_gradient():
    """Whitening divides the whole batch by one number, so only the direction can be wrong."""
    angles = []
    for n in (2, 3, 4):
        found = expectation(of(reinforce_pp), n, separately=True)
        angles.append(1 - found @ EXACT / np.linalg.norm(found) / np.linalg.norm(EXACT))
    assert angles[0] > angles[1] > angles[2] >= 0


def assert_about_equal(values):
    """A bias of c / n times n is about the same for every n."""
    assert values.max() < 1.5 * values.min()
