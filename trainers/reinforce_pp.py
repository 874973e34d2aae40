"""REINFORCE++: returns per token, normalised over the whole batch instead of per group.

    G_j = r_j + gamma G_{j+1}      over the policy's tokens of a trajectory
    A_j = (G_j - mean G) / sqrt(var G + 1e-8)      over all of the batch's
    L   = mean over tokens of max(-A r, -A clip(r))

Hu 2025 (arXiv 2501.03262). `baseline="group"` is the paper's REINFORCE++-baseline: R_i minus the
group's mean on every token, then normalised the same way.

Bias: before normalisation the sum over tokens is the policy gradient (gamma = 1). The mean runs over
tokens and contains the trajectory's own, so trajectories that the policy makes longer weigh more;
that error is O(1 / batch), and the division only scales the whole batch.

Deviations: the return is carried across tokens of the environment, neither reset nor discounted
there (verl reset it until PR 6376, which lost every reward before a tool call). A truncated
trajectory bootstraps from its value where it has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from arena.trainers._groups import whitened
from arena.trainers._options import Aggregation, Options, Singleton
from arena.trainers._relative import relative_returns
from arena.trainers._returns import token_returns
from arena.trainers._table import TurnTable

if TYPE_CHECKING:
    from torch import Tensor

    from arena.trainers._segments import Floats
    from arena.trainers._training import Training


@dataclass(frozen=True)
class Config(Options):
    """What REINFORCE++ can be told."""

    gamma: float = 1.0
    """Discount per sampled token."""
    baseline: Literal["none", "group"] = "none"
    """`group`: REINFORCE++-baseline."""
    whiten: bool = True
    """Normalise over the batch's tokens."""
    singleton: Singleton = "zero"
    """What a group of one gives, with the group baseline."""
    clip_low: float = 0.2
    """The ratio is clipped at 1 - clip_low …"""
    clip_high: float = 0.2
    """… and 1 + clip_high."""
    aggregation: Aggregation = "token-mean"
    """How tokens become one loss."""


def returns(table: TurnTable, config: Config) -> Floats:
    """What each token is credited with before normalisation, 0 on the tokens of others (N)."""
    tokens = table.sampled
    if config.baseline == "group":
        credit = relative_returns(table, singleton=config.singleton)[tokens.turn]
    else:
        credit = token_returns(table, config.gamma)
    return tokens.among_all(credit, len(table.token_producer))


def advantages(table: TurnTable, config: Config) -> Floats:
    """Advantage of each token, 0 on the tokens of others (N)."""
    tokens = table.sampled
    credit = returns(table, config)[tokens.where]
    if config.whiten:
        credit = whitened(credit, tokens.scored)
    return tokens.among_all(np.where(tokens.scored, credit, 0.0), len(table.token_producer))


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
        credit = advantages(table, config)
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
