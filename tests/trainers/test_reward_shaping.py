"""Shaping changes rewards as its definition says, on turns and on tokens alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.trainers import TurnTable, reinforce, rloo
from arena.trainers._shaping import (
    format_penalty,
    gated_accumulation,
    invalid_action_penalty,
    kl_in_reward,
    normalised_rewards,
    widest_groups,
)

TABLE = TurnTable.of(
    episode=[0, 0, 1, 1],
    reward=[0.0, 1.0, 0.0, 0.2],
    valid=[True, False, True, True],
    tokens=2,
    token_logprob=-1.0,
)


def per_token(table):
    return table.token_reward.reshape(-1, 2)


def test_immediate_rewards_count_only_behind_the_gate():
    """Collecting them and failing must not pay."""
    shaped = gated_accumulation(TABLE, np.array([0.5, 0.25, 0.5, 0.25]), threshold=1.0)
    assert shaped.reward.tolist() == [0.5, 1.25, 0.0, 0.2]
    assert per_token(shaped)[:, 1].tolist() == shaped.reward.tolist()


def test_penalties_are_felt_by_earlier_turns():
    shaped = invalid_action_penalty(TABLE, 0.1)
    assert shaped.reward.tolist() == [0.0, 0.9, 0.0, 0.2]
    returns = reinforce.advantages(shaped, reinforce.Config(baseline="none"))
    assert returns.tolist() == [0.9, 0.9, 0.2, 0.2]
    assert format_penalty(TABLE, ~TABLE.valid, 0.1).reward.tolist() == shaped.reward.tolist()


def test_kl_in_the_reward_falls_on_each_sampled_token():
    """TRL's RLOO: the sum over the tokens comes off the sequence's reward."""
    reference = np.array([-1.5, -1.0, -1.0, -1.0, -0.5, -1.0, -1.0, -1.0])
    shaped = kl_in_reward(TABLE, reference, 0.1)
    np.testing.assert_allclose(shaped.reward, [-0.05, 1.0, 0.05, 0.2])
    np.testing.assert_allclose(per_token(shaped), [[-0.05, 0], [0, 1], [0.05, 0], [0, 0.2]])
    np.testing.assert_allclose(rloo.advantages(shaped, rloo.Config())[::2], [0.7, -0.7])


def test_kl_reads_no_token_of_the_environment():
    table = TurnTable.of(
        episode=[0],
        reward=[1.0],
        token_offsets=[0, 2],
        token_producer=["environment", "policy"],
        token_logprob=[np.nan, -1],
    )
    assert kl_in_reward(table, np.array([np.nan, -2.0]), 1.0).reward.tolist() == [0.0]


def test_the_widest_groups_stay():
    """StarPO-S keeps a quarter of the groups, and always one."""
    rewards = [0, 1, 0, 0, 0, 2, np.nan, 9, 1, 1]
    table = TurnTable.of(group=list("aabbccddee"), episode=range(10), reward=rewards)
    assert np.flatnonzero(widest_groups(table, 0.25)).tolist() == [4, 5]
    assert np.flatnonzero(widest_groups(table, 0.4)).tolist() == [0, 1, 4, 5]


@pytest.mark.parametrize("by", ["group", "batch"])
@given(rewards=st.lists(st.floats(-5, 5), min_size=4, max_size=8))
def test_normalised_rewards(by, rewards):
    table = TurnTable.of(group=[i % 2 for i in range(len(rewards))], episode=range(len(rewards)), reward=rewards)
    groups = [np.arange(len(rewards)) % 2 == g for g in (0, 1)] if by == "group" else [np.full(len(rewards), True)]
    for members in groups:
        sample = np.array(rewards)[members]
        expected = (sample - sample.mean()) / (sample.std(ddof=1) + 1e-6)
        found = normalised_rewards(table, "mean_std", by).reward[members]
        np.testing.assert_allclose(found, expected, atol=1e-6)
        clipped = normalised_rewards(table, "asym_clip", by).reward[members]
        np.testing.assert_allclose(clipped, expected.clip(-1, 3), atol=1e-6)
    assert normalised_rewards(table, "identity", by) is table


def test_normalised_rewards_stand_on_the_last_turn():
    shaped = normalised_rewards(TABLE, "mean", "batch")
    assert shaped.reward.tolist() == [0.0, 0.4, 0.0, -0.4]
    assert per_token(shaped)[:, 1].tolist() == shaped.reward.tolist()
