"""Estimates of KL(policy || reference) per token, from log-probabilities of sampled tokens.

Source: Schulman 2020, "Approximating KL divergence". With d = log pi - log pi_ref:

    k1  = d                    unbiased, high variance
    k2  = d^2 / 2              biased value; its gradient is the KL's
    k3  = exp(-d) + d - 1      unbiased, low variance; its gradient is that of KL(ref || policy)
    k3+ = value of k3, gradient of k2 (straight-through): both right
    abs = |d|

As a loss term use `k3+` or `k2`: the gradient of k1 has mean 0, that of k3 is another divergence's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["k1", "k2", "k3", "k3+", "abs"]


def kl(logprob: Tensor, reference: Tensor, kind: Kind = "k3+") -> Tensor:
    """The estimate for each token; shapes as given.

    The exponent of k3 is kept within +-20 and its value within +-10, as in verl.
    """
    difference = logprob - reference
    if kind == "k1":
        return difference
    if kind == "abs":
        return difference.abs()
    half_square = 0.5 * difference.square()
    if kind == "k2":
        return half_square
    if kind not in ("k3", "k3+"):
        raise ValueError(f"Unknown KL estimate {kind!r}; there are k1, k2, k3, k3+ and abs.")
    negative = (-difference).clamp(-20.0, 20.0)
    k3 = (negative.exp() - negative - 1).clamp(-10.0, 10.0)
    return k3 if kind == "k3" else half_square - half_square.detach() + k3.detach()
