"""LOOP: leave-one-out advantages with PPO's clip on a multiplicative interval.

    A_i = R_i - mean_{k != i} R_k
    L   = mean over rollouts of the mean over tokens of max(-A r, -A clip(r, 1 / (1 + clip), 1 + clip))

Chen et al. 2025 (arXiv 2502.01600). Rollouts with |A| below `least_advantage` are dropped: they cost
a forward pass and teach next to nothing.

Bias: with `least_advantage = 0` none, as RLOO; what is dropped is at most that much per rollout.

Deviations: a group of one gives 0. A sequence of `loss` is a training row. With the whole conversation in
context (no `window`, and a template that keeps its prefix) a rollout is one row, and the means are the paper's;
with a window each turn is a row, so `seq-mean-token-mean` weighs turns alike and long rollouts more, and
`ratio="trajectory"`, the paper's variant with one ratio per rollout, has one per turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from arena.trainers._options import Aggregation, Options, Singleton
from arena.trainers._relative import leave_one_out
from arena.trainers._table import TurnTable

if TYPE_CHECKING:
    from torch import Tensor

    from arena.trainers._segments import Floats
    from arena.trainers._training import Training


@dataclass(frozen=True)
class Config(Options):
    """What LOOP can be told."""

    least_advantage: float = 0.01
    """Rollouts whose advantage is smaller get 0 and need not be trained on."""
    singleton: Singleton = "zero"
    """What a group of one gives."""
    clip: float = 0.1
    """The ratio is clipped to [1 / (1 + clip), 1 + clip]."""
    ratio: Literal["token", "trajectory"] = "token"
    """Whether each token has its own ratio, or a sequence (a training row) has one."""
    aggregation: Aggregation = "seq-mean-token-mean"
    """How tokens become one loss."""


def advantages(table: TurnTable, config: Config) -> Floats:
    """Advantage of each turn, the same on all turns of a trajectory (T)."""
    result = leave_one_out(table, config.singleton)
    return table.credited(np.where(np.abs(result) < config.least_advantage, 0.0, result))


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
    from arena.trainers._losses import aggregate, clipped, log_ratio, shares, summed_log_ratio

    by_token = config.ratio == "token"
    ratio = log_ratio(logprob, old_logprob) if by_token else summed_log_ratio(logprob, old_logprob, mask)
    per_token, metrics = clipped(ratio, advantage, 1 / (1 + config.clip), 1 + config.clip)
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
