"""Returns and generalised advantages along trajectories.

Shapes: T turns, N tokens, M sampled tokens. The same functions serve turns and tokens: what counts
is the `Segments` they run along. Source of GAE: Schulman et al. 2016 (arXiv 1506.02438).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from arena.trainers._groups import counts, dense
from arena.trainers._options import Singleton
from arena.trainers._segments import Flags, Floats, Integers, Segments, sum_by
from arena.trainers._table import TurnTable


def discounted_returns(reward: Floats, along: Segments, gamma: float, end: Floats | float = 0.0) -> Floats:
    """G_t = r_t + gamma G_{t+1}, and r_t + gamma `end` on the last row of each segment."""
    closed = np.array(reward, np.float64)
    closed[along.lasts] += gamma * end
    return along.scan_back(closed, gamma)


def advantages_and_returns(
    reward: Floats, value: Floats, along: Segments, *, gamma: float, lam: float, end: Floats | float = 0.0
) -> tuple[Floats, Floats]:
    """Generalised advantages, and the returns they stand for (advantage + value).

    A_t = d_t + gamma lam A_{t+1} with d_t = r_t + gamma V_{t+1} - V_t, along the segments; `end` is the
    value after the last row of each: 0 where it terminated.
    """
    surprise = reward + gamma * along.following(value, end) - value
    advantage = along.scan_back(surprise, gamma * lam)
    return advantage, advantage + value


def turn_returns(table: TurnTable, gamma: float) -> Floats:
    """Discounted return of each turn; a truncated trajectory with a value bootstraps from it (T)."""
    return discounted_returns(table.reward, table.trajectories, gamma, table.bootstrap)


def token_returns(table: TurnTable, gamma: float) -> Floats:
    """Discounted return of each sampled token: tokens of others in between neither reset nor discount it (M)."""
    tokens = table.sampled
    return discounted_returns(tokens.reward, tokens.trajectories, gamma, _token_ends(table))


def turn_gae(table: TurnTable, gamma: float, lam: float) -> tuple[Floats, Floats]:
    """Advantage and return of each turn from the `value` column (T)."""
    return advantages_and_returns(
        table.reward, table.value, table.trajectories, gamma=gamma, lam=lam, end=table.bootstrap
    )


def token_gae(table: TurnTable, gamma: float, lam: float) -> tuple[Floats, Floats]:
    """Advantage and return of each sampled token from the `token_value` column (M)."""
    tokens = table.sampled
    return advantages_and_returns(
        tokens.reward, tokens.value, tokens.trajectories, gamma=gamma, lam=lam, end=_token_ends(table)
    )


def bilevel_gae(table: TurnTable, gamma: float, lam: float, turn_gamma: float) -> tuple[Floats, Floats]:
    """Advantage and return of each sampled token: over turns first, then inside each turn (M).

    At the last token e_k of each turn, GAE with `turn_gamma` over these tokens alone; its return
    becomes the reward of e_k in a GAE with `gamma` that runs inside the turn and ends with it
    (RAGEN, arXiv 2504.20073). Turn ends are the table's, so a turn without reward is a turn.
    """
    tokens = table.sampled
    ends = tokens.turns.lasts
    along = Segments.where_changing(tokens.trajectories.index[ends])
    reward, value = tokens.reward.copy(), tokens.value
    _, reward[ends] = advantages_and_returns(
        reward[ends], value[ends], along, gamma=turn_gamma, lam=lam, end=_token_ends(table)
    )
    return advantages_and_returns(reward, value, tokens.turns, gamma=gamma, lam=lam)


def optimal_token_baseline(
    table: TurnTable,
    squared: Floats,
    *,
    position: Literal["sampled", "sequence"] = "sampled",
    singleton: Singleton = "zero",
) -> Floats:
    """A_t = G_t - B_t, with the baseline of least variance for each position in each group (N).

    B_t = sum_k G_t W_t / sum_k W_t over the group's trajectories k that reach position t, where
    W_t sums 1 - 2 pi + sum_v pi_v^2 over the trajectory's sampled tokens up to t: how far the path's
    gradient can have moved. Past the end of the second longest trajectory the longest has none to
    compare with, and its baseline is 0. As verl's `tir_optimal_token_baseline`; its own return is in
    the baseline, so it is biased by O(1 / group size).

    Args:
        table: with the sampler's `token_logprob`.
        squared: sum over the vocabulary of the squared probabilities at each token (N); the
            probability of the token itself is the column `token_logprob`.
        position: count sampled tokens only, or all tokens of the trajectory (verl's single-turn form).
        singleton: a group of one gives 0, or `raw` returns as in verl.
    """
    tokens = table.sampled
    along = tokens.trajectories
    returns = along.scan_back(tokens.reward, 1.0)
    step = 1 - 2 * np.exp(table.token_logprob[tokens.where]) + squared[tokens.where]
    path = np.cumsum(step)
    path -= along.spread(path[along.starts] - step[along.starts])
    rank = np.arange(along.rows) - along.spread(along.starts)
    first_turn = table.trajectories.starts[table.trajectories.index[tokens.turn]]
    at = rank if position == "sampled" else tokens.where - table.token_offsets[first_turn]
    group = table.trajectory_group[table.trajectories.index[tokens.turn]]
    cell = dense(group * (int(at.max(initial=0)) + 1) + at)
    weight = np.where(tokens.scored, path, 0.0)
    baseline = (sum_by(cell, weight * returns) / (sum_by(cell, weight) + 1e-8))[cell]
    groups, lengths = group[along.starts], along.lengths
    baseline[at >= along.spread(_second_longest(groups, lengths, tokens.scored[along.starts]))] = 0.0
    alone = along.spread(counts(groups, tokens.scored[along.starts]) < 2)
    baseline[alone] = 0.0 if singleton == "raw" else returns[alone]
    return tokens.among_all(np.where(tokens.scored, returns - baseline, 0.0), len(table.token_producer))


def _second_longest(groups: Integers, lengths: Integers, scored: Flags) -> Integers:
    """For each trajectory that alone is the longest of its group the second longest length, else no end."""
    order = np.lexsort((np.where(scored, lengths, -1), groups))
    last = np.append(groups[order][1:] != groups[order][:-1], True)
    second = np.zeros(len(groups), bool)
    second[:-1] = last[1:] & (groups[order][1:] == groups[order][:-1])
    longest, runner_up = order[np.flatnonzero(second) + 1], lengths[order[second]]
    ahead = lengths[longest] > runner_up
    result = np.full(len(groups), np.iinfo(np.int64).max)
    result[longest[ahead]] = runner_up[ahead]
    return result


def _token_ends(table: TurnTable) -> Floats:
    """`bootstrap` of the trajectories that have sampled tokens."""
    tokens = table.sampled
    first = tokens.turn[tokens.trajectories.starts]
    ends: Floats = table.bootstrap[table.trajectories.index[first]]
    return ends
