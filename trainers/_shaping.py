"""Rewards and groups reshaped before credit is assigned; each function gives a new table or a choice of turns.

Shapes: T turns, N tokens, E trajectories. Entropy is in `_entropy`, the KL as a loss in `_kl`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from arena.trainers._episodes import malformed_replies
from arena.trainers._groups import normalised
from arena.trainers._segments import Flags, Floats, sum_by
from arena.trainers._table import POLICY, TurnTable, on_last_tokens

if TYPE_CHECKING:
    from arena.core.episode import Episode
    from arena.trainers._loop_options import ShapingOptions


def shaped(table: TurnTable, episodes: Sequence[Episode], options: ShapingOptions) -> TurnTable:
    """The table after all that the options ask for, in their order; groups that are left out are not `scored`."""
    if options.gate is not None:
        last = np.zeros(len(table), bool)
        last[table.trajectories.lasts] = True
        immediate = np.where(last, 0.0, table.reward)
        table = gated_accumulation(with_reward_added(table, -immediate), immediate, options.gate)
    if options.invalid_penalty:
        table = invalid_action_penalty(table, options.invalid_penalty)
    if options.format_penalty:
        table = format_penalty(table, np.array(malformed_replies(episodes), bool), options.format_penalty)
    if options.keep_groups < 1:
        table = table.replace(scored=widest_groups(table, options.keep_groups))
    return normalised_rewards(table, options.normalise, options.normalise_by)


def with_reward_added(table: TurnTable, extra: Floats) -> TurnTable:
    """The table with `extra` (T) added to the turns' rewards and to those of their last tokens."""
    tokens = table.token_reward + on_last_tokens(extra, table.token_offsets, table.trajectories)
    return table.replace(reward=table.reward + extra, token_reward=tokens)


def gated_accumulation(table: TurnTable, immediate: Floats, threshold: float) -> TurnTable:
    """G-RA: rewards of single turns count only where the episode's outcome reaches `threshold`.

    R_i = outcome_i + [outcome_i >= threshold] sum_t immediate_t, so that nothing is won by collecting
    intermediate rewards and failing. Derived from the paper's definition; no code of it was found.

    Args:
        table: its `reward` sums to each trajectory's outcome.
        immediate: intermediate rewards that are not in the table's `reward` (T).
        threshold: the least outcome at which they count.
    """
    passed = table.trajectories.spread(table.trajectory_return >= threshold)
    return with_reward_added(table, np.where(passed, immediate, 0.0))


def invalid_action_penalty(table: TurnTable, penalty: float = 0.1) -> TurnTable:
    """Subtract `penalty` from the reward of each turn with an invalid action: earlier turns feel it too."""
    return with_reward_added(table, np.where(table.valid, 0.0, -penalty))


def format_penalty(table: TurnTable, malformed: Flags, penalty: float = 0.1) -> TurnTable:
    """Subtract `penalty` from the reward of each turn whose reply is `malformed` (T)."""
    return with_reward_added(table, np.where(malformed, -penalty, 0.0))


def kl_in_reward(table: TurnTable, reference_logprob: Floats, coefficient: float) -> TurnTable:
    """Subtract coefficient * (log pi - log pi_ref), the k1 estimate, from the reward of each sampled token.

    A turn's reward loses the sum over its tokens: what TRL's RLOO and PPO with KL in the reward do.

    Args:
        table: with the sampler's `token_logprob`.
        reference_logprob: of each token under the reference policy; only the sampled ones are read (N).
        coefficient: how much the KL counts.
    """
    sampled = table.token_producer == POLICY
    difference = np.where(sampled, table.token_logprob - reference_logprob, 0.0)
    turn = np.repeat(np.arange(len(table)), np.diff(table.token_offsets))
    per_turn = sum_by(turn, difference, len(table))
    return table.replace(
        reward=table.reward - coefficient * per_turn,
        token_reward=table.token_reward - coefficient * difference,
    )


def widest_groups(table: TurnTable, share: float = 0.25) -> Flags:
    """StarPO-S: the turns of the `share` of groups whose returns spread most, at least one group (T).

    The spread is the unbiased standard deviation over scored trajectories; where groups are equal, the
    earlier code stays.
    """
    groups, scored = table.trajectory_group, table.trajectory_scored
    centred = normalised(table.trajectory_return, groups, scored)
    size = int(groups.max(initial=-1)) + 1
    number = np.bincount(groups[scored], minlength=size)
    squares = sum_by(groups[scored], centred[scored] ** 2, size)
    spread = np.sqrt(squares / np.maximum(number - 1, 1))
    kept = np.zeros(size, bool)
    kept[np.argsort(-spread, kind="stable")[: max(int(share * size), 1)]] = True
    return table.trajectories.spread(kept[groups]) & table.scored


def normalised_rewards(
    table: TurnTable,
    method: Literal["identity", "mean", "mean_std", "asym_clip"] = "mean_std",
    by: Literal["group", "batch"] = "group",
    eps: float = 1e-6,
) -> TurnTable:
    """Each scored trajectory's return normalised and placed on its last turn (RAGEN's reward normalisation).

    Args:
        table: unscored trajectories are left out and get 0.
        method: `mean` subtracts the mean, `mean_std` also divides by the standard deviation + `eps`,
            `asym_clip` then keeps the result within [-1, 3], so that a rare success counts more.
        by: what mean and deviation run over.
        eps: added to the standard deviation.
    """
    if method == "identity":
        return table
    groups = table.trajectory_group if by == "group" else np.zeros_like(table.trajectory_group)
    scored = table.trajectory_scored
    result = normalised(table.trajectory_return, groups, scored, std=method != "mean", eps=eps)
    if method == "asym_clip":
        result = result.clip(-1.0, 3.0)
    reward = np.zeros(len(table))
    reward[table.trajectories.lasts] = np.where(scored, result, 0.0)
    return table.replace(reward=reward, token_reward=on_last_tokens(reward, table.token_offsets, table.trajectories))
