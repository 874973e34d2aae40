"""Truncated importance sampling between the server that sampled and the trainer that learns.

The server's probabilities mu differ from the trainer's: other kernels and batches, and in asynchronous runs
older weights. What was sampled from mu is learned from as if the policy pi_old (the weights at the beginning of
the step) had sampled it:

    w_j  = min(pi_old(a_j) / mu(a_j), c)          for each sampled token
    loss = sum_j w_j L(pi(a_j) / pi_old(a_j), A_j)

So the algorithm's ratio compares the policy with itself before the step, and the weight multiplies each
token's advantage: every loss here is proportional to it. The weights are constants, of mean 1 where nothing is
capped; the cap c bounds the variance and costs a bias (Ionides 2008; Espeholt et al. 2018, section 4; for
separate samplers Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training").

The price is one more forward pass over all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from arena.trainers._row_logprobs import row_logprobs

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from arena.trainers._batch import Batch
    from arena.trainers._policy import Policy
    from arena.trainers._rows import Row

_MOST = 20.0
"""Log-ratios are kept within +-20, so that their exponentials are finite."""


def importance(
    trainer: NDArray[np.float64], sampler: NDArray[np.float64], cap: float
) -> tuple[NDArray[np.float64], dict[str, float]]:
    """The weight of each token, and what it came to (n log-probabilities each, in nats).

    The metrics: `importance` is the mean weight, `importance_capped` the share of tokens at the cap,
    `sampler_kl` an estimate of KL(sampler || trainer) in nats a token (k3 of Schulman 2020: no single
    value is negative), `sampler_gap` the largest difference of two log-probabilities.
    """
    difference = np.clip(trainer - sampler, -_MOST, _MOST)
    ratio = np.exp(difference)
    weight = np.minimum(ratio, cap)
    if not len(difference):
        return weight, {"importance": 1.0, "importance_capped": 0.0, "sampler_kl": 0.0, "sampler_gap": 0.0}
    return weight, {
        "importance": float(weight.mean()),
        "importance_capped": float((ratio > cap).mean()),
        "sampler_kl": float((ratio - difference - 1).mean()),
        "sampler_gap": float(np.abs(trainer - sampler).max()),
    }


def corrected(
    rows: Sequence[Row],
    credit: NDArray[np.float64],
    policy: Policy,
    temperature: float,
    *,
    cap: float,
    pass_tokens: int,
) -> tuple[list[Row], NDArray[np.float64], dict[str, float]]:
    """Rows whose log-probabilities are the trainer's, and the credit of their tokens weighted.

    Args:
        rows: as they were sampled.
        credit: of each token of the table (N).
        policy: the trainer's, before the step.
        temperature: of the sampling.
        cap: the largest weight.
        pass_tokens: padded tokens of one forward pass.
    """
    found = trainer_logprobs(rows, policy, temperature, pass_tokens)
    chosen = [row.trains() for row in rows]
    sampler = np.concatenate([row.logprob[mask] for row, mask in zip(rows, chosen, strict=True)])
    places = np.concatenate([row.source[mask] for row, mask in zip(rows, chosen, strict=True)])
    weight, metrics = importance(np.concatenate(found), sampler, cap)
    weighted = credit.copy()
    weighted[places] *= weight
    own = []
    for row, mask, values in zip(rows, chosen, found, strict=True):
        logprob = row.logprob.copy()
        logprob[mask] = values
        own.append(replace(row, logprob=logprob))
    return own, weighted, metrics


def trainer_logprobs(
    rows: Sequence[Row], policy: Policy, temperature: float, pass_tokens: int
) -> list[NDArray[np.float64]]:
    """The policy's log-probabilities of the tokens that train in each row, by a full forward pass.

    Ranks compute a share of the rows each.
    """

    def ask(batch: Batch) -> Tensor:
        return policy.logprobs(batch.ids, batch.attention, batch.mask, temperature)[0]

    return row_logprobs(rows, ask, policy, pass_tokens)


__all__ = ["corrected", "importance", "trainer_logprobs"]
