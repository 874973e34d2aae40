"""OPO: on-policy, with the baseline of least variance when a trajectory's gradient grows with its length.

    A_i = R_i - sum_k l_k R_k / sum_k l_k      l: the trajectory's sampled tokens
    L   = -mean over tokens of min(r A, clip(r) A)

Hao et al. 2025 (arXiv 2505.23585).

Bias: the baseline contains the trajectory's own return and length. Where all lengths are equal the
expectation is (n - 1) / n times the policy gradient; where the policy controls the length the own
term is correlated with the action, an error of O(1 / n).

Deviations: a group of one gives 0 (verl: the raw return, `singleton="raw"`). The paper's update has
no ratio; with fresh samples the clipped one has the same gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from arena.trainers._groups import counts, has_spread, weighted_means
from arena.trainers._options import Aggregation, Options, Singleton
from arena.trainers._table import TurnTable

if TYPE_CHECKING:
    from torch import Tensor

    from arena.trainers._segments import Floats
    from arena.trainers._training import Training


@dataclass(frozen=True)
class Config(Options):
    """What OPO can be told."""

    singleton: Singleton = "zero"
    """What a group of one gives."""
    clip_low: float = 0.2
    """The ratio is clipped at 1 - clip_low …"""
    clip_high: float = 0.2
    """… and 1 + clip_high."""
    aggregation: Aggregation = "token-mean"
    """How tokens become one loss."""


def advantages(table: TurnTable, config: Config) -> Floats:
    """Advantage of each turn, the same on all turns of a trajectory (T)."""
    scored, groups, returns = table.trajectory_scored, table.trajectory_group, table.trajectory_return
    length = np.where(scored, table.trajectories.sum(table.tokens), 0.0)
    result = returns - weighted_means(returns, length, groups)
    result[~has_spread(returns, groups, scored)] = 0.0
    alone = counts(groups, scored) < 2
    result[alone] = returns[alone] if config.singleton == "raw" else 0.0
    return table.credited(result)


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
        credit = table.on_tokens(advantages(table, config))
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
