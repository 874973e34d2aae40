"""The estimators agree with the references to the digit, or differ where their docstrings say so."""

from __future__ import annotations

import numpy as np
import pytest
from reference_cases import CLOSE, case, gigpo_table, masked_table

from arena.trainers import TurnTable, bc, gigpo, grpo, loop, opo, ppo, reinforce, reinforce_pp, rloo
from arena.trainers._groups import dense, normalised, similar
from arena.trainers._returns import discounted_returns


def scores_table(name):
    inputs = case(name).inputs
    scores = inputs.scores
    return TurnTable.of(
        group=inputs.group_index, episode=range(len(scores)), reward=scores, tokens=inputs.response_lengths
    )


GROUP_RELATIVE = [
    ("grpo_mean_std", lambda table, one: grpo.advantages(table, grpo.Config(singleton=one))),
    ("dr_grpo_mean_only", lambda table, one: grpo.advantages(table, grpo.Config(scale="none", singleton=one))),
    ("rloo", lambda table, one: rloo.advantages(table, rloo.Config(singleton=one))),
    ("opo", lambda table, one: opo.advantages(table, opo.Config(singleton=one))),
]


@pytest.mark.parametrize(
    ("name", "estimate"), GROUP_RELATIVE, ids=lambda value: value if isinstance(value, str) else ""
)
def test_group_relative(name, estimate):
    """As verl, which passes a group of one through; ours is 0 unless asked."""
    table, expected = scores_table(name), np.array(case(name).expected)
    np.testing.assert_allclose(estimate(table, "raw"), expected, **CLOSE)
    alone = np.array([index == "c" for index in case(name).inputs.group_index])
    np.testing.assert_allclose(estimate(table, "zero"), np.where(alone, 0.0, expected), **CLOSE)


def test_unscorable_rewards():
    """TRL leaves NaN rewards out of the baseline and gives them 0."""
    one = case("trl_grpo_unscorable")
    rewards = [np.nan if reward is None else reward for reward in one.inputs.rewards]
    table = TurnTable.of(episode=range(4), reward=rewards)
    np.testing.assert_allclose(grpo.advantages(table, grpo.Config(eps=1e-4)), one.expected, **CLOSE)


def test_statistics_of_rows_and_of_trajectories():
    """Rows as samples would favour long episodes; trajectories are the default."""
    one = case("turn_bias_grpo_rows_vs_trajectories")
    rows = one.inputs.rows
    last = [row not in rows[i + 1 :] for i, row in enumerate(rows)]
    table = TurnTable.of(episode=rows, reward=[one.inputs.reward[r] * end for r, end in zip(rows, last, strict=True)])
    for statistics, level in (("trajectories", "trajectory_level"), ("rows", "row_level")):
        found = grpo.advantages(table, grpo.Config(statistics=statistics))
        want = one.expected[level]
        expected = [want["adv_success" if one.inputs.reward[r] else "adv_fail"] for r in rows]
        np.testing.assert_allclose(found, expected, **CLOSE)


def test_reinforce_pp_carries_returns_across_observation_tokens():
    one = case("reinforce_pp_multiturn_gamma")
    mask = np.array(one.inputs.response_mask)
    table = masked_table(one.inputs.token_level_rewards, mask)
    config = reinforce_pp.Config(gamma=one.inputs.gamma)
    found = reinforce_pp.returns(table, config).reshape(mask.shape)
    np.testing.assert_allclose(found * mask, np.array(one.expected["returns"]) * mask, **CLOSE)
    found = reinforce_pp.advantages(table, config).reshape(mask.shape)
    np.testing.assert_allclose(found, one.expected["advantages"], **CLOSE)


def test_token_gae_skips_observation_tokens():
    """verl's values on masked tokens are carried leftovers; ours are 0 there."""
    one = case("gae_masked_g1.0_l1.0")
    mask = np.array(one.inputs.response_mask)
    table = masked_table(one.inputs.token_level_rewards, mask, one.inputs.values)
    for whiten, name in ((False, "raw_advantages"), (True, "whitened_advantages")):
        config = ppo.Config(unit="token", gamma=one.inputs.gamma, lam=one.inputs.lam, whiten=whiten)
        advantage, returns = ppo.advantages(table, config)
        np.testing.assert_allclose(advantage.reshape(mask.shape), one.expected[name] * mask, **CLOSE)
        np.testing.assert_allclose(returns.reshape(mask.shape), one.expected["returns"] * mask, **CLOSE)


def test_bilevel_gae():
    one = case("bilevel_gae_repo_selftest")
    rewards = np.array(one.inputs.token_level_rewards[0])
    ends = np.flatnonzero(rewards) + 1
    table = TurnTable.of(
        episode=[0, 0],
        reward=rewards[ends - 1],
        token_offsets=[0, *ends],
        token_producer=np.zeros(10, int),
        token_value=one.inputs.values[0],
    )
    for whiten, name in ((False, "raw_advantages"), (True, "whitened_advantages")):
        config = ppo.Config(
            unit="bilevel", gamma=1, lam=one.inputs.lam, turn_gamma=one.inputs.high_level_gamma, whiten=whiten
        )
        advantage, returns = ppo.advantages(table, config)
        np.testing.assert_allclose(advantage, one.expected[name][0], **CLOSE)
        np.testing.assert_allclose(returns, one.expected["returns"][0], **CLOSE)


@pytest.mark.parametrize("rewards", [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
def test_bilevel_gae_of_turns_without_reward(rewards):
    """RAGEN merges such a turn into the next, and fails where there is no reward at all."""
    gamma, value = 0.9, np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    table = TurnTable.of(episode=[0, 0, 0], reward=rewards, tokens=2, token_value=value)
    config = ppo.Config(unit="bilevel", gamma=1.0, lam=1.0, turn_gamma=gamma, whiten=False)
    returns = ppo.advantages(table, config)[1]
    by_hand = [rewards[0] + gamma * rewards[1] + gamma**2 * rewards[2], rewards[1] + gamma * rewards[2], rewards[2]]
    np.testing.assert_allclose(returns, np.repeat(by_hand, 2), atol=1e-12)


@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_turn_gae_tells_truncation_from_termination(end):
    one = case("gae_truncation_vs_termination")
    cut = end == "truncated"
    table = TurnTable.of(
        episode=[0, 0, 0],
        reward=one.inputs.turn_rewards,
        value=one.inputs.values,
        next_value=[*one.inputs.values[1:], one.inputs.next_value_if_truncated],
        truncated=[False, False, cut],
    )
    config = ppo.Config(gamma=one.inputs.gamma, lam=one.inputs.lam, whiten=False)
    np.testing.assert_allclose(ppo.advantages(table, config)[0], one.expected[end], **CLOSE)


@pytest.mark.parametrize(
    ("name", "statistics"), [("gigpo_crosstraj_pen0.0", "trajectories"), ("gigpo_crosssteps_pen0.0", "rows")]
)
@pytest.mark.parametrize("mode", ["mean_norm", "mean_std_norm"])
def test_gigpo(name, statistics, mode):
    one = case(name)
    table = gigpo_table(one.inputs)

    def config(weight):
        return gigpo.Config(
            gamma=one.inputs.gamma,
            eps=one.inputs.eps,
            invalid_penalty=one.inputs.invalid_action_penalty_coef,
            mode=mode,
            statistics=statistics,
            step_weight=weight,
        )

    found = {
        "w1.0": gigpo.advantages(table, config(1.0)),
        "w0.5": gigpo.advantages(table, config(0.5)),
        "episode": gigpo.episode_advantages(table, config(1.0)),
        "step": gigpo.step_advantages(table, config(1.0)),
    }
    for part, values in found.items():
        np.testing.assert_allclose(values, one.expected[f"{mode}_{part}"], err_msg=part, **CLOSE)
    assert same_partition(gigpo.step_groups(table, config(1.0)), one.expected["step_group_ids"])


@pytest.mark.parametrize("statistics", ["trajectories", "rows"])
def test_gigpo_penalty_by_hand(statistics):
    """The penalty reaches its own row only; over trajectories the mean sees the first row's score."""
    table = TurnTable.of(episode=[0, 0, 1], reward=[0.0, 1.0, 0.0], valid=[True, False, False], state=["a", "b", "a"])
    config = gigpo.Config(gamma=1.0, invalid_penalty=0.1, statistics=statistics)
    score = np.array([1.0, 0.9, -0.1])
    mean = np.mean(score[[0, 2]]) if statistics == "trajectories" else score.mean()
    np.testing.assert_allclose(gigpo.episode_advantages(table, config), score - mean, atol=1e-12)
    np.testing.assert_allclose(gigpo.step_advantages(table, config), [0.55, 0.0, -0.55], atol=1e-12)


@pytest.mark.parametrize("threshold", [0.95, 0.85, 0.5])
def test_similarity_grouping(threshold):
    one = case("gigpo_similarity_grouping")
    texts = one.inputs.observations
    table = TurnTable.of(episode=range(len(texts)), reward=np.zeros(len(texts)), state=texts)
    groups = gigpo.step_groups(table, gigpo.Config(similarity=threshold), texts)
    assert same_partition(groups, one.expected[str(threshold)])
    assert same_partition(gigpo.step_groups(table, gigpo.Config()), one.expected["exact"])


def test_similar_texts_of_different_groups_stay_apart():
    assert len(set(similar(["same", "same"], np.array([1, 2], np.uint64), 0.5).tolist())) == 2


def test_loop():
    one = case("loop")
    for returns, expected in zip(one.inputs.returns_per_scenario, one.expected["loo_advantages"], strict=True):
        table = TurnTable.of(episode=range(len(returns)), reward=returns)
        np.testing.assert_allclose(loop.advantages(table, loop.Config()), expected, **CLOSE)


def test_overlong_penalty():
    one = case("dapo_overlong_penalty")
    found = grpo.overlong_penalty(
        one.inputs.lengths, one.inputs.max_resp_len, one.inputs.buffer, one.inputs.penalty_factor
    )
    np.testing.assert_allclose(found, one.expected, **CLOSE)


def test_monte_carlo_return():
    one = case("mc_return")
    table = TurnTable.of(episode=[0] * 4, reward=one.inputs.rewards)
    config = reinforce.Config(gamma=one.inputs.gamma, baseline="none")
    np.testing.assert_allclose(reinforce.advantages(table, config), one.expected["mc_return"], **CLOSE)
    assert table.trajectory_return.tolist() == [one.expected["trajectory_reward"]]


def test_each_turn_is_credited_on_its_own_tokens():
    """Using the last turn's mask for all turns would credit one turn only."""
    one = case("stepwise_advantage_broadcast")
    masks = np.array(one.inputs.step_masks)
    table = TurnTable.of(
        episode=[0, 0],
        reward=[0.0, 0.0],
        token_offsets=[0, 6, 12],
        token_producer=np.where(masks.ravel(), 0, 2),
    )
    found = table.on_tokens(table.credited(np.array([one.inputs.traj_scalar_advantage])))
    assert found.reshape(2, 6).tolist() == one.expected


def test_semi_online_returns_are_cut_where_the_expert_was_not_matched():
    """UI-S1: composed of the same parts; its step groups are the step's number."""
    one = case("ui_s1_semi_online")
    group, trajectory, step, reward, matches = map(list, zip(*one.inputs.rows, strict=True))
    table = TurnTable.of(group=group, episode=trajectory, turn=step, reward=reward, state=step)
    along = table.trajectories.isolating(~np.array(matches))
    returns = discounted_returns(table.reward, along, one.inputs.gamma)
    np.testing.assert_allclose(returns, one.expected["step_returns"], **CLOSE)
    scores = np.array([one.inputs.episode_score_per_traj[name] for name in trajectory])
    steps = gigpo.step_groups(table, gigpo.Config())
    for mode in ("mean_norm", "mean_std_norm"):
        std = mode == "mean_std_norm"
        found = normalised(scores, dense(table.group), std=std) + normalised(returns, steps, std=std)
        np.testing.assert_allclose(found, one.expected[mode], **CLOSE)


def same_partition(groups, expected):
    pairs = set(zip(np.asarray(groups).tolist(), expected, strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def test_filtered_bc():
    """The references keep all ties at the quantile; ours, unless asked, exactly the share that was told."""
    one = case("filtered_bc")
    returns, share = np.array(one.inputs.returns), one.inputs.fraction
    assert bc.highest(returns, bc.Config(keep=share, ties="keep")).tolist() == one.expected["kept"]
    assert bc.highest(returns, bc.Config(keep=share)).tolist() == one.expected["kept"][:1]
    assert bc.highest(np.zeros(10), bc.Config(keep=share, ties="keep")).tolist() == list(range(10))
    assert bc.highest(np.zeros(10), bc.Config(keep=share)).tolist() == [0]
