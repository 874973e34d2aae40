"""GiGPO: compare whole episodes within the group, and turns that acted in the same state.

    A   = A_E + step_weight A_S
    A_E = (R_i - mean R) / F                over the group's trajectories
    A_S = (G_t - mean G) / F                over the group's turns in the same state
    G_t = sum_{k >= t} gamma^(k - t) r_k    F = std + eps (`mean_std_norm`) or 1 (`mean_norm`)
    L   = mean over tokens of max(-A r, -A clip(r))

Feng et al. 2025 (arXiv 2505.10978). States are equal by the table's `state` column, or by similarity
of the observations' texts (`similarity`, which needs them). A state met once gives A_S = 0.

Bias (`mean_norm`): with `step_weight = 0` the expectation is (n - 1) / n times the policy gradient. The
means of the step groups contain the turn's own return and those of later visits of the same
trajectory, and a state's value may depend on the turns that are left; the first two vanish as
O(1 / n), and the third is no bias, as a baseline may be any function of the state. The limit is
grad J + step_weight sum_t E[G_t grad log pi].

Deviations: statistics of A_E count each trajectory once, as the paper's equation 3 and Dr.MAS do;
`statistics="rows"` is verl-agent's default (`compute_mean_std_cross_steps`), where long trajectories
weigh more. The invalid-action penalty is subtracted from R and G of the invalid turn alone, after
discounting, and the trajectory's R in the statistics is that of its first turn: as in both
references. To let a penalty count for the turns before it, put it in the reward
(`_shaping.invalid_action_penalty`). A group of one trajectory gives A_E = 0 (references: the raw
return, `singleton="raw"`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from arena.core.errors import UsageError
from arena.trainers._codes import paired
from arena.trainers._episodes import observation_texts
from arena.trainers._groups import dense, normalised, similar
from arena.trainers._options import Aggregation, Options, Singleton, Statistics
from arena.trainers._relative import relative_returns
from arena.trainers._returns import turn_returns
from arena.trainers._table import TurnTable

if TYPE_CHECKING:
    from torch import Tensor

    from arena.trainers._segments import Floats, Integers
    from arena.trainers._training import Training


@dataclass(frozen=True)
class Config(Options):
    """What GiGPO can be told."""

    gamma: float = 0.95
    """Discount per turn of the step returns; episode returns are not discounted."""
    step_weight: float = 1.0
    """How much A_S counts; 0 leaves the group-relative advantage of the episode."""
    mode: Literal["mean_norm", "mean_std_norm"] = "mean_norm"
    """Whether both parts are divided by a standard deviation."""
    eps: float = 1e-6
    """Added to the standard deviations."""
    statistics: Statistics = "trajectories"
    """Whether the episodes' statistics count trajectories or turns."""
    similarity: float | None = None
    """Group states whose texts are at least this alike, in (0, 1]; None: states that are equal."""
    invalid_penalty: float = 0.0
    """Subtracted on turns whose action was invalid (verl-agent: 0.1)."""
    singleton: Singleton = "zero"
    """What a group of one trajectory gives."""
    clip_low: float = 0.2
    """The ratio is clipped at 1 - clip_low …"""
    clip_high: float = 0.2
    """… and 1 + clip_high."""
    aggregation: Aggregation = "token-mean"
    """How tokens become one loss."""


def advantages(table: TurnTable, config: Config, texts: Sequence[str] | None = None) -> Floats:
    """Advantage of each turn (T); `similarity` alone needs the rows' `texts` (`observation_texts(episodes)`)."""
    episode = episode_advantages(table, config)
    if config.step_weight == 0:
        return episode
    return episode + config.step_weight * step_advantages(table, config, texts)


def episode_advantages(table: TurnTable, config: Config) -> Floats:
    """A_E of each turn (T)."""
    return relative_returns(
        table,
        scale="group" if config.mode == "mean_std_norm" else "none",
        eps=config.eps,
        singleton=config.singleton,
        statistics=config.statistics,
        penalty=config.invalid_penalty,
    )


def step_advantages(table: TurnTable, config: Config, texts: Sequence[str] | None = None) -> Floats:
    """A_S of each turn (T)."""
    returns = turn_returns(table, config.gamma) - config.invalid_penalty * ~table.valid
    groups = step_groups(table, config, texts)
    result = normalised(returns, groups, table.scored, std=config.mode == "mean_std_norm", eps=config.eps)
    return np.where(table.scored, result, 0.0)


def step_groups(table: TurnTable, config: Config, texts: Sequence[str] | None = None) -> Integers:
    """The dense index of each turn's group: same task and seed, same or similar state (T).

    Raises:
        UsageError: `similarity` without texts.
    """
    if config.similarity is None:
        return dense(paired(table.group, table.state))
    if texts is None or len(texts) != len(table):
        raise UsageError("similarity compares texts: give the observation of each row, observation_texts(episodes).")
    return dense(similar(texts, table.group, config.similarity))


def loss(
    logprob: Tensor,
    old_logprob: Tensor,
    advantage: Tensor,
    mask: Tensor,
    config: Config,
    *,
    tokens: float | None = None,
    sequences: float | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The loss and its metrics; tensors are (B, L), counts are the whole batch's (see `_losses.aggregate`)."""
    from arena.trainers._losses import aggregate, clipped, log_ratio, shares

    ratio = log_ratio(logprob, old_logprob)
    per_token, metrics = clipped(ratio, advantage, 1 - config.clip_low, 1 + config.clip_high)
    total = aggregate(per_token, mask, config.aggregation, tokens=tokens, sequences=sequences)
    return total, shares(metrics, logprob, old_logprob, mask)


def train(training: Training, config: Config) -> None:
    """Collect groups, credit their turns, update, log, evaluate, save."""
    for step in training.steps():
        episodes = training.collect(step)
        table = training.table(episodes)
        texts = observation_texts(episodes) if config.similarity is not None else None
        credit = table.on_tokens(advantages(table, config, texts))
        with training.updating(step, episodes, credit, table=table) as update:
            for batch in update.batches():
                logprob = update.logprobs(batch)
                total, metrics = loss(
                    logprob,
                    batch.old_logprob,
                    batch.advantage,
                    batch.mask,
                    config,
                    tokens=batch.tokens,
                    sequences=batch.sequences,
                )
                update.backward(batch, logprob, total, metrics)
        training.finish(step)
