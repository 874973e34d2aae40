"""GSPO: one importance ratio per sequence instead of one per token.

    s_i = exp(mean over tokens of log(pi / pi_old))
    A_i = (R_i - mean R) / (std R + eps)    over the group
    L   = mean over sequences of max(-A s, -A clip(s, 1 - clip_low, 1 + clip_high))

Zheng et al. 2025 (arXiv 2507.18071). A sequence is a row of the batch: a whole conversation, or one
turn's prompt and reply. Each token's ratio has the sequence's value and the token's own gradient
(the paper's GSPO-token with one advantage, and verl's form).

Bias: that of GRPO's advantage; and with fresh samples each sequence's gradient is divided by its
length, so long ones count less per token than in the policy gradient.

Deviations: as in GRPO: a group of one gives 0, statistics count each trajectory once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from arena.trainers._options import Aggregation, Options, Scale, Singleton, Statistics
from arena.trainers._relative import relative_returns
from arena.trainers._table import TurnTable

if TYPE_CHECKING:
    from torch import Tensor

    from arena.trainers._segments import Floats
    from arena.trainers._training import Training


@dataclass(frozen=True)
class Config(Options):
    """What GSPO can be told."""

    scale: Scale = "group"
    """Divide by the standard deviation of the group, of the batch, or not."""
    eps: float = 1e-6
    """Added to the standard deviation."""
    singleton: Singleton = "zero"
    """What a group of one gives."""
    statistics: Statistics = "trajectories"
    """Whether the group's statistics count trajectories or turns."""
    clip_low: float = 3e-4
    """The sequence's ratio is clipped at 1 - clip_low …"""
    clip_high: float = 4e-4
    """… and 1 + clip_high: both are small because the ratio is a geometric mean."""
    aggregation: Aggregation = "seq-mean-token-mean"
    """How tokens become one loss."""


def advantages(table: TurnTable, config: Config) -> Floats:
    """Advantage of each turn, the same on all turns of a trajectory (T)."""
    return relative_returns(
        table, scale=config.scale, eps=config.eps, singleton=config.singleton, statistics=config.statistics
    )


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
    from arena.trainers._losses import aggregate, clipped, sequence_log_ratio, shares

    ratio = sequence_log_ratio(logprob, old_logprob, mask)
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
