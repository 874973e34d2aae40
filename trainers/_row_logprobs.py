"""Log-probabilities of the tokens that train, of rows rather than of batches. N: tokens of the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.trainers._batch import Batch, batch_of
from arena.trainers._rows import Row
from arena.trainers._shares import passes
from arena.trainers._table import DEMONSTRATOR, POLICY

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from arena.trainers._policy import Policy
    from arena.trainers._segments import Floats
    from arena.trainers._training import Training


def row_logprobs(
    rows: Sequence[Row],
    ask: Callable[[Batch], Tensor],
    policy: Policy,
    pass_tokens: int,
    producers: Sequence[int] = (POLICY,),
) -> list[NDArray[np.float64]]:
    """The log-probabilities of the tokens that train in each row, without gradients; ranks compute a share each.

    Args:
        rows: training rows.
        ask: gives them for a batch (B, L).
        policy: whose ids and ranks.
        pass_tokens: padded tokens of one forward pass.
        producers: whose tokens train.
    """
    import torch

    own: dict[int, NDArray[np.float64]] = {}
    pad: Any = policy.tokenizer.pad_token_id or 0
    training = np.array([number for number, row in enumerate(rows) if row.trains(producers).any()], np.int64)
    lengths = np.array([len(row) for row in rows], np.int64)
    for part, _ in passes(training, lengths, pass_tokens, policy.ranks):
        some = [rows[int(number)] for number in part]
        batch = batch_of(some, None, pad=pad, device=policy.device, producers=producers)
        with torch.no_grad(), policy.ranks.guarded():
            values = ask(batch)
        plain, mask = values.cpu().numpy().astype(np.float64), batch.mask.cpu().numpy().astype(bool)
        own |= {int(number): plain[place][mask[place]] for place, number in enumerate(part)}
    found = {number: values for share in policy.ranks.exchange(own) for number, values in share.items()}
    return [found.get(number, np.zeros(0)) for number in range(len(rows))]


def demonstrated_logprobs(training: Training, rows: Sequence[Row], tokens: int, *, began: bool = False) -> Floats:
    """Of the demonstrators' tokens in these rows, under the policy as it is or as the run began; else NaN (N).

    Args:
        training: the run.
        rows: of recorded episodes.
        tokens: of the table, N.
        began: ask the policy that the run began with.
    """
    policy = training.policy

    def now(batch: Batch) -> Tensor:
        return policy.logprobs(batch.ids, batch.attention, batch.mask, training.temperature)[0]

    ask = training.reference.logprobs if began else now
    values = row_logprobs(rows, ask, policy, training.config.pass_tokens, (DEMONSTRATOR,))
    found = np.full(tokens, np.nan)
    for row, some in zip(rows, values, strict=True):
        found[row.source[row.trains((DEMONSTRATOR,))]] = some
    return found


__all__ = ["demonstrated_logprobs", "row_logprobs"]
