"""RLOO: each trajectory is compared with the others of its group.

    A_i = R_i - mean_{k != i} R_k = n / (n - 1) (R_i - mean R)
    L   = -mean over tokens of min(r A, clip(r) A)

Ahmadian et al. 2024 (arXiv 2402.14740). Unbiased: the baseline does not depend on the trajectory.
R is the undiscounted sum of rewards, on every turn.

Deviations: a group of one gives 0 (verl's loop: the raw return, `singleton="raw"`). The paper's
update has no ratio; with fresh samples the clipped one has the same gradient. TRL has one ratio per
trajectory (`ratio="trajectory", aggregation="seq-mean-token-mean"`) and subtracts the sequence's KL
from the reward (`kl_in="reward"`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from arena.trainers._groups import counts
from arena.trainers._options import Aggregation, Options, Singleton
from arena.trainers._relative import leave_one_out
from arena.trainers._table import TurnTable

if TYPE_CHECKING:
    from torch import Tensor

    from arena.trainers._segments import Floats
    from arena.trainers._training import Training


@dataclass(frozen=True)
class Config(Options):
    """What RLOO can be told."""

    normalise: bool = False
    """Also subtract the batch's mean and divide by its standard deviation + `eps` (TRL's option); groups of one are
    left out of both."""
    eps: float = 1e-4
    """Added to that standard deviation."""
    singleton: Singleton = "zero"
    """What a group of one gives."""
    clip_low: float = 0.2
    """The ratio is clipped at 1 - clip_low …"""
    clip_high: float = 0.2
    """… and 1 + clip_high."""
    ratio: Literal["token", "trajectory"] = "token"
    """Whether each token has its own ratio, or a sequence has one."""
    aggregation: Aggregation = "token-mean"
    """How tokens become one loss."""


def advantages(table: TurnTable, config: Config) -> Floats:
    """Advantage of each turn, the same on all turns of a trajectory (T)."""
    result = leave_one_out(table, config.singleton)
    if config.normalise:
        compared = table.trajectory_scored
        if config.singleton == "zero":
            compared = compared & (counts(table.trajectory_group, compared) > 1)
        if compared.any():
            sample = result[compared]
            spread = sample.std(ddof=1) if len(sample) > 1 else 0.0
            result[compared] = (sample - sample.mean()) / (spread + config.eps)
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
    from arena.trainers._losses import aggregate, clipped, log_ratio, shares, summed_log_ratio

    by_token = config.ratio == "token"
    ratio = log_ratio(logprob, old_logprob) if by_token else summed_log_ratio(logprob, old_logprob, mask)
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
