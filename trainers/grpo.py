"""GRPO, and its variants Dr.GRPO and DAPO as settings.

    A_i = (R_i - mean R) / (std R + eps)   over the group
    L   = mean over tokens of max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high))

GRPO: Shao et al. 2024 (arXiv 2402.03300). `DR_GRPO` (arXiv 2503.20783) leaves the division out and
divides each sequence by a fixed length. `DAPO` (arXiv 2503.14476) clips higher above, weighs tokens
alike, drops groups whose returns are all equal (`informative`) and samples others in their place, and
penalises replies that run into the limit (`overlong_penalty`).

Bias: without the division the expectation is (n - 1) / n times the policy gradient, since the mean
contains R_i. With it, it is no gradient of the expected return: groups of two climb the probability
of beating an independent opponent, at 1 / sqrt(2) of its slope and whatever the margin (up to eps).

Deviations: a group of one gives 0 (verl: about the raw return, `singleton="raw"`); statistics count
each trajectory once, however many turns it has (`statistics="rows"`: frameworks that train per-turn
rows); the mean runs over the batch's tokens rather than per sequence (the paper's:
`aggregation="seq-mean-token-mean"`). eps is 1e-6 as in verl (TRL: 1e-4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from arena.trainers._groups import has_spread
from arena.trainers._options import FixedAggregation, Options, Scale, Singleton, Statistics
from arena.trainers._relative import relative_returns
from arena.trainers._table import TurnTable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from arena.trainers._segments import Flags, Floats
    from arena.trainers._training import Training


@dataclass(frozen=True)
class Config(Options):
    """What GRPO can be told."""

    scale: Scale = "group"
    """Divide by the standard deviation of the group, of the batch (TRL's option), or not."""
    eps: float = 1e-6
    """Added to the standard deviation."""
    ddof: int = 1
    """1: unbiased standard deviation; 0: the population's (rLLM, ART)."""
    singleton: Singleton = "zero"
    """What a group of one gives."""
    statistics: Statistics = "trajectories"
    """Whether the group's statistics count trajectories or turns."""
    clip_low: float = 0.2
    """The ratio is clipped at 1 - clip_low …"""
    clip_high: float = 0.2
    """… and 1 + clip_high."""
    dual_clip: float | None = None
    """Where A < 0, the loss is at most this times -A."""
    aggregation: FixedAggregation = "token-mean"
    """How tokens become one loss."""
    horizon: int | None = None
    """The fixed length of `aggregation="seq-mean-token-sum-norm"`, in tokens; a training needs to be told."""
    dynamic_sampling: bool = False
    """Drop groups without spread and sample others in their place …"""
    sampling_rounds: int = 3
    """… in at most so many rounds; with the groups of all of them the step goes on."""
    overlong_limit: int | None = None
    """Penalise replies near this many tokens; None does not."""
    overlong_buffer: int = 256
    """The penalty begins this many tokens before the limit."""
    overlong_factor: float = 1.0
    """The penalty at the limit."""


DR_GRPO = Config(scale="none", aggregation="seq-mean-token-sum-norm")
DAPO = Config(clip_high=0.28, dynamic_sampling=True)


def advantages(table: TurnTable, config: Config) -> Floats:
    """Advantage of each turn, the same on all turns of a trajectory (T)."""
    if config.overlong_limit is not None:
        penalty = overlong_penalty(table.tokens, config.overlong_limit, config.overlong_buffer, config.overlong_factor)
        table = table.replace(reward=table.reward + penalty)
    return relative_returns(
        table,
        scale=config.scale,
        eps=config.eps,
        ddof=config.ddof,
        singleton=config.singleton,
        statistics=config.statistics,
    )


def informative(table: TurnTable) -> Flags:
    """The turns of groups whose scored returns differ: what dynamic sampling keeps (T)."""
    kept = has_spread(table.trajectory_return, table.trajectory_group, table.trajectory_scored)
    return table.trajectories.spread(kept) & table.scored


def overlong_penalty(lengths: ArrayLike, limit: int, buffer: int, factor: float = 1.0) -> Floats:
    """min(-(length - (limit - buffer)) / buffer * factor, 0) of each reply; lengths in tokens, any shape.

    As in verl it is not bounded below: a reply beyond the limit is fined more than `factor`.
    """
    excess = np.asarray(lengths, np.float64) - (limit - buffer)
    return np.minimum(-excess / buffer * factor, 0.0)


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
    per_token, metrics = clipped(ratio, advantage, 1 - config.clip_low, 1 + config.clip_high, config.dual_clip)
    total = aggregate(per_token, mask, config.aggregation, tokens=tokens, sequences=sequences, horizon=config.horizon)
    return total, shares(metrics, logprob, old_logprob, mask)


def train(training: Training, config: Config) -> None:
    """Collect groups, credit their turns, update, log, evaluate, save."""
    dropping = informative if config.dynamic_sampling else None
    for step in training.steps():
        episodes = training.collect(step, informative=dropping, rounds=config.sampling_rounds)
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
