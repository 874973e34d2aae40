"""REINFORCE: each turn is credited with what came after it.

    A_t = G_t - b        G_t = sum_{k >= t} gamma^(k - t) r_k
    L   = -mean over tokens of A_t log pi(token)

Williams 1992. With gamma = 1 the sum over a trajectory's turns is an unbiased estimate of the policy
gradient, with either baseline: `others` is the mean return of the other trajectories of the batch,
which does not depend on this one. With gamma < 1 turns are weighed as if each began its episode,
the usual practice; that is not the gradient of the discounted return.

Deviations: a step may make several updates (`minibatches`, `epochs`), all but the first of them from
episodes of a slightly older policy, uncorrected; with `minibatches=1` there are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from arena.trainers._options import Aggregation, Options
from arena.trainers._returns import turn_returns
from arena.trainers._table import TurnTable

if TYPE_CHECKING:
    from torch import Tensor

    from arena.trainers._segments import Floats
    from arena.trainers._training import Training


@dataclass(frozen=True)
class Config(Options):
    """What REINFORCE can be told."""

    gamma: float = 1.0
    """Discount per turn."""
    baseline: Literal["others", "none"] = "others"
    """What is subtracted from each return; a batch of one trajectory has no others and gives 0."""
    aggregation: Aggregation = "token-mean"
    """How tokens become one loss."""


def advantages(table: TurnTable, config: Config) -> Floats:
    """Advantage of each turn (T)."""
    returns = turn_returns(table, config.gamma)
    if config.baseline == "others":
        scored = table.trajectory_scored
        whole = returns[table.trajectories.starts]
        number = int(scored.sum())
        if number < 2:
            return np.zeros(len(table))
        others = (whole[scored].sum() - whole) / (number - 1)
        returns = returns - table.trajectories.spread(others)
    return np.where(table.scored, returns, 0.0)


def loss(
    logprob: Tensor,
    advantage: Tensor,
    mask: Tensor,
    config: Config,
    *,
    tokens: float | None = None,
    sequences: float | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The loss and its metrics; tensors are (B, L), counts are the whole batch's (see `_losses.aggregate`)."""
    from arena.trainers._losses import aggregate

    total = aggregate(-advantage * logprob, mask, config.aggregation, tokens=tokens, sequences=sequences)
    return total, {}


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
                    batch.advantage,
                    batch.mask,
                    config,
                    tokens=batch.tokens,
                    sequences=batch.sequences,
                )
                update.backward(batch, logprob, total, metrics)
        training.finish(step)
