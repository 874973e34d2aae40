"""Policy and value losses in torch, per token, and how they become one number.

Shapes: B sequences (training rows), L tokens of the longest. `mask` is 1 on the tokens that train
and 0 on prompts, observations and padding. Log-probabilities are in nats.
"""

from __future__ import annotations

import torch
from torch import Tensor

from arena.trainers._options import FixedAggregation

Metrics = dict[str, Tensor]


def aggregate(
    per_token: Tensor,
    mask: Tensor,
    mode: FixedAggregation = "token-mean",
    *,
    tokens: float | None = None,
    sequences: float | None = None,
    horizon: int | None = None,
) -> Tensor:
    """One number from a loss per token (B, L).

    Sums over microbatches and ranks equal the loss of the whole batch only if they all divide by the
    same count, so give the whole batch's counts; alone, a batch divides by its own.

    Args:
        per_token: the loss of each token.
        mask: which tokens train.
        mode: `token-mean`: all tokens weigh the same. `seq-mean-token-mean`: all sequences do.
            `seq-mean-token-sum`: each sequence's sum. `seq-mean-token-sum-norm`: that over `horizon`.
        tokens: number of training tokens of the whole batch.
        sequences: number of sequences of the whole batch; by default those with a training token.
        horizon: a fixed length for `seq-mean-token-sum-norm`; L by default, which suits a batch that is whole:
            parts of one have lengths of their own.
    """
    mask = mask.to(per_token.dtype)
    masked = torch.where(mask > 0, per_token, torch.zeros_like(per_token)) * mask
    if mode == "token-mean":
        return masked.sum() / (tokens if tokens is not None else mask.sum().clamp(min=1))
    lengths = mask.sum(-1)
    sums = masked.sum(-1)
    if mode == "seq-mean-token-mean":
        sums = sums / lengths.clamp(min=1)
    elif mode == "seq-mean-token-sum-norm":
        sums = sums / (horizon if horizon is not None else mask.shape[-1])
    elif mode != "seq-mean-token-sum":
        raise ValueError(f"Unknown aggregation {mode!r}.")
    return sums.sum() / (sequences if sequences is not None else (lengths > 0).sum().clamp(min=1))


def log_ratio(logprob: Tensor, old_logprob: Tensor) -> Tensor:
    """log(pi / pi_old) per token, within +-20 so that its exponential is finite (B, L)."""
    return (logprob - old_logprob).clamp(-20.0, 20.0)


def sequence_log_ratio(logprob: Tensor, old_logprob: Tensor, mask: Tensor) -> Tensor:
    """The mean log-ratio of each sequence on each token, its gradient that of the token's own (B, L).

    GSPO's straight-through form: the value is the sequence's, and d/d logprob is 1 on each token.
    """
    masked = torch.where(mask > 0, logprob - old_logprob, torch.zeros_like(logprob))
    mean = masked.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    return (logprob - logprob.detach() + mean.detach()).clamp(max=10.0)


def summed_log_ratio(logprob: Tensor, old_logprob: Tensor, mask: Tensor) -> Tensor:
    """The log-ratio of each whole sequence, on each of its tokens (B, L)."""
    masked = torch.where(mask > 0, logprob - old_logprob, torch.zeros_like(logprob))
    return masked.sum(-1, keepdim=True).clamp(-20.0, 20.0).expand_as(logprob)


def clipped(
    log_ratio: Tensor,
    advantage: Tensor,
    low: float,
    high: float,
    dual: float | None = None,
) -> tuple[Tensor, Metrics]:
    """PPO's clipped loss per token (B, L): max(-A r, -A clip(r, low, high)).

    Args:
        log_ratio: log(pi / pi_old), of the token or of its sequence.
        advantage: of each token.
        low: the least ratio, such as 0.8.
        high: the largest, such as 1.28.
        dual: dual clip: where A < 0 the loss is at most -A times this (Ye et al. 2020).

    Returns:
        The loss, and per token whether the clip (`clip_share`) and the dual clip (`dual_clip_share`) bind.
    """
    ratio = log_ratio.exp()
    plain, bounded = -advantage * ratio, -advantage * ratio.clamp(low, high)
    loss = torch.maximum(plain, bounded)
    metrics = {"clip_share": bounded > plain}
    if dual is not None:
        ceiling = -advantage * dual
        metrics["dual_clip_share"] = (loss > ceiling) & (advantage < 0)
        loss = torch.where(advantage < 0, torch.minimum(loss, ceiling), loss)
    return loss, metrics


def shares(metrics: Metrics, logprob: Tensor, old_logprob: Tensor, mask: Tensor) -> dict[str, float]:
    """Means of the metrics over the tokens that train, and the mean of log(pi_old / pi) as `old_kl`."""
    with torch.no_grad():
        per_token = {**metrics, "old_kl": old_logprob - logprob}
        return {name: aggregate(value.to(logprob.dtype), mask).item() for name, value in per_token.items()}


def value_losses(value: Tensor, old_value: Tensor, returns: Tensor, clip: float | None) -> tuple[Tensor, Metrics]:
    """0.5 max((v - R)^2, (clip(v) - R)^2) per token, with v kept within `clip` of the old value (B, L)."""
    plain = (value - returns).square()
    if clip is None:
        return 0.5 * plain, {}
    near = torch.minimum(torch.maximum(value, old_value - clip), old_value + clip)
    bounded = (near - returns).square()
    return 0.5 * torch.maximum(plain, bounded), {"value_clip_share": bounded > plain}
