"""Entropy as a bonus, and EPO's smoothing of it (arXiv 2509.22576), in torch.

Shapes: B sequences, L tokens; a sequence belongs to one turn of its episode.

EPO's loss is `policy - c (H - w P)`, with H the mean entropy and P the mean of a penalty on tokens
whose entropy leaves a corridor around the mean that earlier iterations had at the same turn.

The reference's P is the constant `weight` outside the corridor and 0 inside: it carries no gradient, so
what trains is an entropy bonus alone. `differentiable=True`, the default here, is a hinge of the
distance to the corridor, which pushes entropy back into it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from arena.trainers._loop_options import SmoothingOptions
    from arena.trainers._ranks import Ranks


def smoothing_penalty(
    entropy: Tensor,
    usual: Tensor,
    *,
    low: float = 0.8,
    high: float = 1.2,
    weight: float = 0.1,
    differentiable: bool = True,
    unit: Literal["token", "sequence"] = "token",
    mask: Tensor | None = None,
) -> Tensor:
    """The penalty of each token (B, L).

    Args:
        entropy: in nats (B, L).
        usual: mean entropy of earlier iterations at each sequence's turn (B), or at each token's (B, L).
        low: the corridor's floor, as a multiple of `usual`.
        high: its ceiling; on the bounds is outside.
        weight: the penalty, or with the hinge its slope.
        differentiable: the hinge, or the reference's constant without a gradient.
        unit: whether a token's own entropy is compared, or its sequence's mean.
        mask: tokens that enter a sequence's mean; all by default (as in the reference, which lets padding in).
    """
    if unit == "sequence":
        chosen = torch.ones_like(entropy) if mask is None else mask.to(entropy.dtype)
        entropy = ((entropy * chosen).sum(-1, keepdim=True) / chosen.sum(-1, keepdim=True)).expand_as(entropy)
    usual = usual if usual.dim() == entropy.dim() else usual.unsqueeze(-1)
    floor, ceiling = usual * low, usual * high
    if differentiable:
        return weight * ((floor - entropy).clamp(min=0) + (entropy - ceiling).clamp(min=0))
    inside = (entropy > floor) & (entropy < ceiling)
    return torch.where(inside, 0.0, weight).to(entropy.dtype)


def smoothing_weight(epoch: int, epochs: int) -> float:
    """How much the penalty counts at an epoch: the reference's schedule.

    With h = epochs // 2: 1 - 0.2 (1 - exp(-2 epoch / h)) up to h, then 0.8 exp(-3 (epoch - h) / (epochs - h)).
    """
    half = epochs // 2
    epoch = min(max(epoch, 0), max(epochs, 0))
    if half == 0 and epoch == 0:
        return 1.0
    if epoch <= half:
        return 1.0 - 0.2 * (1.0 - math.exp(-2.0 * epoch / half))
    return 0.8 * math.exp(-3.0 * (epoch - half) / (epochs - half))


@dataclass
class EntropyHistory:
    """Mean entropy at each turn of the episode over all iterations so far."""

    sums: dict[int, float] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, turn: int, entropy: float) -> None:
        """Remember the mean entropy that an iteration had at a turn."""
        self.sums[turn] = self.sums.get(turn, 0.0) + entropy
        self.counts[turn] = self.counts.get(turn, 0) + 1

    def usual(self, turn: int) -> float | None:
        """The mean at a turn; None where it was never reached, and then nothing is penalised."""
        return self.sums[turn] / self.counts[turn] if turn in self.counts else None

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON."""
        return {"turns": [[turn, self.sums[turn], self.counts[turn]] for turn in sorted(self.counts)]}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> EntropyHistory:
        """The history that `state` described."""
        return cls({t: s for t, s, _ in state["turns"]}, {t: n for t, _, n in state["turns"]})


class Smoothing:
    """EPO in the loop: a penalty for each pass, and the history of entropies that it is measured against.

    Args:
        options: the corridor and its weight.
        steps: of the whole run, which the weight's schedule spans.
    """

    def __init__(self, options: SmoothingOptions, steps: int) -> None:
        self.options, self.history = options, EntropyHistory()
        self._steps, self._step = steps, 0
        self._seen: dict[int, tuple[float, int]] = {}

    @property
    def active(self) -> bool:
        """Whether there is anything to do."""
        return self.options.weight > 0

    def begin(self, step: int) -> None:
        """A step (from 1) begins; what one that was broken off had seen is forgotten."""
        self._step, self._seen = step, {}

    def penalty(self, entropy: Tensor, turn: Tensor, mask: Tensor) -> Tensor:
        """The schedule's weight times the penalty, summed over the tokens that train.

        Args:
            entropy: of each token (B, L).
            turn: the turn of the episode that each token was sampled in (B, L).
            mask: 1 on the tokens that train (B, L).
        """
        usual, compared = torch.full_like(entropy, math.nan), entropy
        for number in turn[mask > 0].unique().tolist():
            chosen = (turn == number) & (mask > 0)
            total, count = self._seen.get(number, (0.0, 0))
            self._seen[number] = total + float(entropy.detach()[chosen].sum()), count + int(chosen.sum())
            if self.options.unit == "sequence":
                means = (entropy * chosen).sum(-1, keepdim=True) / chosen.sum(-1, keepdim=True).clamp(min=1)
                compared = torch.where(chosen, means, compared)
            if (before := self.history.usual(number)) is not None:
                usual[chosen] = before
        known = ~usual.isnan()
        options = self.options
        penalty = smoothing_penalty(
            compared,
            usual.nan_to_num(),
            low=options.low,
            high=options.high,
            weight=options.weight,
            differentiable=options.form == "hinge",
        )
        return smoothing_weight(self._step - 1, self._steps) * penalty[known].sum()

    def end(self, ranks: Ranks) -> None:
        """The step is done: what all ranks saw of each turn enters the history."""
        seen = ranks.exchange(self._seen)
        for turn in sorted(set().union(*seen)):
            totals, counts = zip(*(here[turn] for here in seen if turn in here), strict=True)
            self.history.add(turn, sum(totals) / sum(counts))
        self._seen = {}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON."""
        return self.history.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.history = EntropyHistory.from_state(state)
