"""What holds for every table: the vectorised functions against plain loops, and the rules at the edges."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import arena.trainers
from arena.core.errors import UnknownName
from arena.trainers import TurnTable, gigpo, grpo, gspo, loop, opo, ppo, reinforce, reinforce_pp, rloo
from arena.trainers._returns import discounted_returns, optimal_token_baseline, turn_gae
from arena.trainers._segments import Segments

RELATIVE = {
    "rloo": lambda t: rloo.advantages(t, rloo.Config()),
    "grpo": lambda t: grpo.advantages(t, grpo.Config()),
    "dr. grpo": lambda t: grpo.advantages(t, grpo.Config(scale="none")),
    "grpo, batch": lambda t: grpo.advantages(t, grpo.Config(scale="batch")),
    "opo": lambda t: opo.advantages(t, opo.Config()),
    "loop": lambda t: loop.advantages(t, loop.Config()),
    "gspo": lambda t: gspo.advantages(t, gspo.Config()),
    "gigpo": lambda t: gigpo.advantages(t, gigpo.Config()),
    "gigpo, std": lambda t: gigpo.advantages(t, gigpo.Config(mode="mean_std_norm")),
    "reinforce++-baseline": lambda t: reinforce_pp.advantages(t, reinforce_pp.Config(baseline="group")),
}
ALL = RELATIVE | {
    "reinforce": lambda t: reinforce.advantages(t, reinforce.Config()),
    "reinforce++": lambda t: reinforce_pp.advantages(t, reinforce_pp.Config()),
    "ppo, turn": lambda t: ppo.advantages(t, ppo.Config())[0],
    "ppo, token": lambda t: ppo.advantages(t, ppo.Config(unit="token"))[0],
    "ppo, bilevel": lambda t: ppo.advantages(t, ppo.Config(unit="bilevel"))[0],
}


@st.composite
def tables(draw, all_scored=False):
    """Small ragged tables with recurring states, unequal lengths and unscored episodes."""
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=7))
    numbers = st.integers(-3, 3).map(float)

    def column(values):
        return draw(st.lists(values, min_size=sum(lengths), max_size=sum(lengths)))

    def per_episode(values):
        return np.repeat(draw(st.lists(values, min_size=len(lengths), max_size=len(lengths))), lengths)

    return TurnTable.of(
        group=per_episode(st.integers(0, 2)),
        episode=np.repeat(np.arange(len(lengths)), lengths),
        reward=column(numbers),
        state=column(st.sampled_from("abc")),
        scored=all_scored or per_episode(st.booleans()),
        valid=column(st.booleans()),
        value=column(numbers),
        token_value=column(numbers),
    )


@given(tables(), st.sampled_from([0.0, 0.5, 0.95, 1.0]), st.sampled_from([0.0, 0.7, 1.0]))
def test_scans_equal_loops(table, gamma, lam):
    found, targets = turn_gae(table, gamma, lam)
    expected = np.zeros(len(table))
    for start, last in zip(table.trajectories.starts, table.trajectories.lasts, strict=True):
        advantage, following = 0.0, 0.0
        for row in range(last, start - 1, -1):
            advantage = table.reward[row] + gamma * following - table.value[row] + gamma * lam * advantage
            expected[row], following = advantage, table.value[row]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_allclose(targets, expected + table.value, atol=1e-9)


def test_returns_of_a_very_long_episode_stay_exact():
    """Dividing by powers of gamma would underflow long before 100,000 turns."""
    rows = 100_000
    reward = np.random.default_rng(0).normal(size=rows)
    found = discounted_returns(reward, Segments(np.array([0]), rows), 0.95)
    expected, after = np.empty(rows), 0.0
    for row in range(rows - 1, -1, -1):
        expected[row] = after = reward[row] + 0.95 * after
    np.testing.assert_allclose(found, expected, atol=1e-11)


@given(tables(all_scored=True))
def test_gigpo_equals_its_definition(table):
    gamma = 0.9
    config = gigpo.Config(gamma=gamma)
    returns, totals = np.zeros(len(table)), np.zeros(len(table))
    for row in range(len(table)):
        later = [k for k in range(row, len(table)) if table.episode[k] == table.episode[row]]
        returns[row] = sum(gamma**i * table.reward[k] for i, k in enumerate(later))
        totals[row] = table.reward[table.episode == table.episode[row]].sum()
    for row in range(len(table)):
        group = table.group == table.group[row]
        episodes = set(table.episode[group].tolist())
        means = [totals[table.episode == e][0] for e in episodes]
        first = totals[row] - np.mean(means) if len(episodes) > 1 else 0.0
        same = group & (table.state == table.state[row])
        expected = first + returns[row] - returns[same].mean()
        assert gigpo.advantages(table, config)[row] == pytest.approx(expected, abs=1e-9)


@settings(max_examples=30)
@given(tables())
def test_unscored_episodes_change_nothing_and_get_nothing(table):
    """Without their rows every other advantage is the same."""
    kept = table.scored
    columns = {name: getattr(table, name)[kept] for name in ("episode", "reward", "group", "state", "value", "valid")}
    rest = TurnTable.of(**columns, token_value=table.token_value[kept])
    for name, advantages in ALL.items():
        found = advantages(table)
        assert not found[~kept].any(), name
        np.testing.assert_allclose(found[kept], advantages(rest), atol=1e-9, err_msg=name)


@settings(max_examples=30)
@given(tables(all_scored=True), st.integers(-5, 5))
def test_zero_spread_gives_exactly_zero(table, shift):
    """Equal returns teach nothing; rounding must not be blown up by a division."""
    reward = np.zeros(len(table))
    reward[table.trajectories.lasts] = 0.1 + 1e6 * shift
    same = table.replace(reward=reward, token_reward=reward)
    for name in RELATIVE.keys() - {"gigpo", "gigpo, std"}:
        assert not RELATIVE[name](same).any(), name
    assert not gigpo.episode_advantages(same, gigpo.Config(mode="mean_std_norm")).any()


@pytest.mark.parametrize("name", RELATIVE)
def test_a_group_of_one_gives_zero(name):
    """There is nothing to compare with; passing the raw reward on would reinforce whatever happened."""
    table = TurnTable.of(group=["alone", "g", "g"], episode=[0, 1, 2], reward=[1.0, 1.0, 0.0])
    found = RELATIVE[name](table)
    assert found[0] == pytest.approx(0.0, abs=1e-12)
    assert found[1] > 0 > found[2]


@pytest.mark.parametrize("name", RELATIVE)
def test_a_group_left_with_one_scored_episode_gives_zero(name):
    table = TurnTable.of(episode=[0, 1, 2], reward=[1.0, np.nan, np.nan])
    assert RELATIVE[name](table).tolist() == [0.0, 0.0, 0.0]


@settings(max_examples=30)
@given(tables(all_scored=True), st.randoms(use_true_random=False))
def test_the_order_of_episodes_does_not_matter(table, random):
    order = list(range(len(table.trajectories)))
    random.shuffle(order)
    rows = np.concatenate([np.flatnonzero(table.episode == e) for e in order])
    columns = {name: getattr(table, name)[rows] for name in ("reward", "group", "state", "value", "valid")}
    renamed = np.repeat(np.arange(len(order)), table.trajectories.lengths[order])
    moved = TurnTable.of(episode=renamed, token_value=table.token_value[rows], **columns)
    for name, advantages in ALL.items():
        np.testing.assert_allclose(advantages(moved), advantages(table)[rows], atol=1e-9, err_msg=name)


def test_a_common_offset_of_rewards_costs_no_digits():
    rewards = np.array([0.0, 1e-3, 3e-3])
    small = TurnTable.of(episode=[0, 1, 2], reward=rewards)
    large = TurnTable.of(episode=[0, 1, 2], reward=1e9 + rewards)
    config = grpo.Config(scale="none")
    np.testing.assert_allclose(grpo.advantages(large, config), grpo.advantages(small, config), atol=3e-7)


def test_dynamic_sampling_keeps_the_groups_that_teach():
    """A constant group, a group whose spread is one unscored episode's, and one that differs."""
    table = TurnTable.of(group=list("aabbbcc"), episode=range(7), reward=[1, 1, 0, 0, np.nan, 0, 1])
    assert grpo.informative(table).tolist() == [False] * 5 + [True] * 2


def test_overlong_replies_are_penalised():
    config = grpo.Config(scale="none", overlong_limit=100, overlong_buffer=20)
    table = TurnTable.of(episode=[0, 1], reward=[1.0, 1.0], tokens=[50, 100])
    assert grpo.advantages(table, config).tolist() == [0.5, -0.5]


def test_rewards_of_the_environments_tokens_go_to_the_action_before():
    table = TurnTable.of(
        episode=[0, 1],
        reward=[1.0, 1.0],
        token_offsets=[0, 3, 6],
        token_producer=["policy", "environment", "template", "environment", "policy", "environment"],
        token_reward=[0.0, 0.0, 1.0, 7.0, 0.0, 1.0],
    )
    assert table.sampled.reward.tolist() == [1.0, 1.0], "what precedes every action is nobody's"


def test_optimal_token_baseline_by_hand():
    """Positions of a group are compared as far as two trajectories reach; beyond, the baseline is 0."""
    table = TurnTable.of(
        group=["g", "g", "h"],
        episode=[0, 1, 2],
        reward=[1.0, 0.0, 2.0],
        tokens=[3, 1, 1],
        token_logprob=np.log([0.5, 0.5, 0.5, 0.2, 0.5]),
    )
    squared = np.array([0.5, 0.5, 0.5, 0.4, 0.5])
    baseline = 1.0 * 0.5 / (0.5 + 1.0)
    expected = [1 - baseline, 1.0, 1.0, -baseline, 0.0]
    np.testing.assert_allclose(optimal_token_baseline(table, squared), expected, atol=1e-7)
    assert optimal_token_baseline(table, squared, singleton="raw")[-1] == 2.0


@given(tables(all_scored=True), st.integers(0, 2**32 - 1))
def test_optimal_token_baseline_equals_its_definition(table, seed):
    generator = np.random.default_rng(seed)
    table = table.replace(token_logprob=np.log(generator.uniform(0.1, 0.9, len(table))))
    squared = generator.uniform(0.1, 0.9, len(table))
    paths = {}
    for episode in np.unique(table.episode):
        rows = np.flatnonzero(table.episode == episode)
        returns = np.cumsum(table.reward[rows][::-1])[::-1]
        weights = np.cumsum(1 - 2 * np.exp(table.token_logprob[rows]) + squared[rows])
        paths.setdefault(table.group[rows[0]], []).append((rows, returns, weights))
    expected = np.zeros(len(table))
    for group in paths.values():
        lengths = sorted(len(rows) for rows, _, _ in group)
        for rows, returns, _ in group if len(group) > 1 else ():
            for t, row in enumerate(rows):
                reach = [(g[t], w[t]) for r, g, w in group if len(r) > t]
                baseline = sum(g * w for g, w in reach) / (sum(w for _, w in reach) + 1e-8)
                expected[row] = returns[t] - (0.0 if t >= lengths[-2] else baseline)
    np.testing.assert_allclose(optimal_token_baseline(table, squared), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("option", [{"mode": "mean_std"}, {"statistics": "row"}, {"aggregation": "token_mean"}])
def test_unknown_choices_are_refused(option):
    """`mean_std` would otherwise quietly be `mean_norm`."""
    with pytest.raises(UnknownName, match="Did you mean"):
        gigpo.Config(**option)


CREDIT = ("gigpo", "grpo", "gspo", "loop", "opo", "ppo", "reinforce", "reinforce_pp", "rloo")
CREDIT += tuple(
    f"_{name}" for name in ("by_hand", "codes", "groups", "relative", "returns", "segments", "shaping", "table")
)
"""Where turns are credited; everything else goes through episodes, rows, minibatches and parameters."""

LOOPS = {
    "_codes.codes",
    "_groups.similar",
    "_groups._alike",
    "_segments.where_changing",
    "_segments.scan_back",
    "_by_hand._numbered",
    "_by_hand._producers",
    "_table.__post_init__",
    "_table._check_order",
    "_table.of",
    "ppo.value_loss",
}
"""Where a loop runs over columns, metrics, doublings, distinct texts, or what is no array yet."""


def test_no_loop_over_turns():
    """A loop in Python would take a million turns from a second to minutes."""
    loops = (ast.For, ast.While, ast.ListComp, ast.DictComp, ast.GeneratorExp, ast.SetComp)
    found = set()
    for path in (Path(arena.trainers.__file__).parent / f"{name}.py" for name in CREDIT):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any(isinstance(inner, loops) for inner in ast.walk(node)):
                found.add(f"{path.stem}.{node.name}")
    assert {name for name in found if not name.endswith(".train")} - LOOPS == set()
