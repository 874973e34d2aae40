"""PPO with a value head: generalised advantages over tokens, over turns, or over both.

    d_t = r_t + gamma V_{t+1} - V_t        A_t = d_t + gamma lam A_{t+1}
    L   = mean of max(-A r, -A clip(r)) + c mean of max((V - R)^2, (clip(V) - R)^2) / 2

PPO: Schulman et al. 2017 (arXiv 1707.06347). What t counts is the `unit`:
- `turn`: V of the observation a turn acts on; one advantage for all of the turn's tokens.
- `token`: V before each sampled token; tokens of the environment in between are skipped, neither
  discounted nor reset.
- `bilevel`: over the last tokens of the turns with `turn_gamma`, then inside each turn (RAGEN,
  arXiv 2504.20073).

Bias: none with lam = 1 and any V, or with V exact and any lam (gamma = 1, `whiten` off); otherwise
V's error, the more the smaller lam. Whitening adds O(1 / batch), like any mean over the own batch.

Deviations: a trajectory that was truncated bootstraps from the value after its last turn (verl
treats it as terminated). Turn ends are the table's; RAGEN infers them from rewards, which merges a
turn without reward into the next and fails on an episode without any. Advantages on tokens of the
environment are 0 (verl leaves a value there that its masks ignore).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from arena.core.errors import UsageError
from arena.trainers._groups import whitened
from arena.trainers._options import Aggregation, Options
from arena.trainers._returns import bilevel_gae, token_gae, turn_gae

if TYPE_CHECKING:
    from torch import Tensor

    from arena.trainers._segments import Flags, Floats
    from arena.trainers._table import TurnTable


@dataclass(frozen=True)
class Config(Options):
    """What PPO can be told."""

    unit: Literal["turn", "token", "bilevel"] = "turn"
    """What the advantages run over."""
    gamma: float = 1.0
    """Discount per turn, or per token."""
    lam: float = 0.95
    """0 trusts the critic, 1 the returns."""
    turn_gamma: float = 0.95
    """`bilevel`: discount per turn; `gamma` is per token."""
    whiten: bool = True
    """Normalise the advantages over the batch's scored turns or sampled tokens."""
    whiten_ddof: int = 1
    """1: unbiased variance (verl); 0: the population's (LMRL-Gym)."""
    clip_low: float = 0.2
    """The ratio is clipped at 1 - clip_low …"""
    clip_high: float = 0.2
    """… and 1 + clip_high."""
    dual_clip: float | None = None
    """Where A < 0, the loss is at most this times -A."""
    value_clip: float | None = 0.2
    """How far a value may move from the old one within the loss; None: any distance."""
    value_coefficient: float = 1.0
    """The value loss counts this much."""
    aggregation: Aggregation = "token-mean"
    """How tokens become one loss."""


def advantages(table: TurnTable, config: Config) -> tuple[Floats, Floats]:
    """Advantages and value targets: of each turn (T), or with tokens of each token, 0 on others' (N).

    Raises:
        UsageError: a turn or sampled token without a value.
    """
    if config.unit == "turn":
        _require(table.value, table.scored, "value")
        return _finished(*turn_gae(table, config.gamma, config.lam), table.scored, config)
    tokens, number = table.sampled, len(table.token_producer)
    _require(tokens.value, tokens.scored, "token_value")
    if config.unit == "token":
        found = token_gae(table, config.gamma, config.lam)
    else:
        found = bilevel_gae(table, config.gamma, config.lam, config.turn_gamma)
    advantage, targets = _finished(*found, tokens.scored, config)
    return tokens.among_all(advantage, number), tokens.among_all(targets, number)


def _finished(advantage: Floats, targets: Floats, scored: Flags, config: Config) -> tuple[Floats, Floats]:
    if config.whiten:
        advantage = whitened(advantage, scored, ddof=config.whiten_ddof)
    return np.where(scored, advantage, 0.0), np.where(scored, targets, 0.0)


def _require(values: Floats, scored: Flags, column: str) -> None:
    missing = int(np.isnan(values[scored]).sum())
    if missing:
        raise UsageError(
            f"PPO needs a critic's estimate everywhere, but {missing} of {int(scored.sum())} entries of the "
            f"column {column!r} have none: see table.with_values and table.replace."
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
    """The policy's loss and its metrics; tensors are (B, L), counts the whole batch's (see `_losses.aggregate`)."""
    from arena.trainers._losses import aggregate, clipped, log_ratio, shares

    ratio = log_ratio(logprob, old_logprob)
    per_token, metrics = clipped(ratio, advantage, 1 - config.clip_low, 1 + config.clip_high, config.dual_clip)
    total = aggregate(per_token, mask, config.aggregation, tokens=tokens, sequences=sequences)
    return total, shares(metrics, logprob, old_logprob, mask)


def value_loss(
    value: Tensor,
    old_value: Tensor,
    returns: Tensor,
    mask: Tensor,
    config: Config,
    *,
    tokens: float | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The critic's loss, to be multiplied by `value_coefficient`, and its metrics; tensors are (B, L)."""
    from arena.trainers._losses import aggregate, value_losses

    per_token, metrics = value_losses(value, old_value, returns, config.value_clip)
    shown = {name: aggregate(flag.to(value.dtype), mask).item() for name, flag in metrics.items()}
    return aggregate(per_token, mask, tokens=tokens), shown
