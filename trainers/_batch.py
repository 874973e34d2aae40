"""From training rows to padded batches.

Shapes: N tokens of the table, n tokens of a row, B rows of a batch, L tokens of its longest row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from arena.core.errors import UsageError
from arena.trainers._rows import NOWHERE, Row
from arena.trainers._table import POLICY

if TYPE_CHECKING:
    from torch import Tensor

_PASS = 512
"""Padded tokens that take as long as beginning another pass: some 200 on a CPU with a tiny model, more on a GPU."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows padded on the right, as tensors (B, L).

    Attributes:
        rows: the rows themselves.
        ids, attention: token ids, and 1 where there is a token (pad may equal the end of sequence).
        mask: 1 on the tokens that train.
        old_logprob, advantage: of the tokens that train, 0 elsewhere.
        tokens, sequences: how many train in the whole minibatch that this is a part of.
        completes: whether it is the last part of its minibatch.
        spare: whether another rank trains on these rows: they are computed to stay in step with it, times 0.
        columns: further numbers of the table's tokens, NaN where there are none (B, L each).
        counts: how many numbers each of them has in the whole minibatch.
    """

    rows: Sequence[Row]
    ids: Tensor
    attention: Tensor
    mask: Tensor
    old_logprob: Tensor
    advantage: Tensor
    tokens: float
    sequences: float
    completes: bool
    spare: bool = False
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    counts: Mapping[str, float] = field(default_factory=dict)

    @property
    def weight(self) -> float:
        """Turns its share of a mean over the minibatch into a metric, which is averaged over parts by their tokens."""
        return self.tokens / max(float(self.mask.sum()), 1.0)


def batch_of(
    rows: Sequence[Row],
    credit: NDArray[np.float64] | None,
    *,
    pad: int,
    device: Any = "cpu",
    producers: Sequence[int] = (POLICY,),
    tokens: float = 1.0,
    sequences: float = 1.0,
    completes: bool = True,
    spare: bool = False,
    columns: Mapping[str, NDArray[np.float64]] | None = None,
    counts: Mapping[str, float] | None = None,
) -> Batch:
    """Rows as one padded batch.

    Args:
        rows: B of them.
        credit: a number for each token of the table (N); None for 1 everywhere.
        pad: the id on padding; what it is does not matter.
        device: where the tensors go.
        producers: whose tokens train.
        tokens: training tokens of the whole minibatch.
        sequences: its rows with such tokens.
        completes: whether this is its last part.
        spare: whether another rank trains on these rows.
        columns: further numbers for each token of the table (N each).
        counts: how many of them, other than NaN, the whole minibatch has.

    Raises:
        UsageError: a token of the policy has no log-probability.
    """
    import torch

    shape = (len(rows), max(map(len, rows)))
    ids, attention, mask = np.full(shape, pad, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    old, advantage = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for number, row in enumerate(rows):
        chosen, n = row.trains(producers), len(row)
        if np.isnan(row.logprob[chosen & (row.producer == POLICY)]).any():
            raise UsageError(
                "Sampled tokens were recorded without log-probabilities, so no ratio can be taken: train on episodes "
                "of a local model, or imitate them (arena train bc)."
            )
        ids[number, :n], attention[number, :n], mask[number, :n] = row.ids, 1, chosen
        old[number, :n] = np.where(chosen, np.nan_to_num(row.logprob), 0.0)
        values = 1.0 if credit is None else credit[np.maximum(row.source, 0)]
        advantage[number, :n] = np.where(chosen, values, 0.0)
    arrays = {"ids": ids, "attention": attention, "mask": mask, "old_logprob": old, "advantage": advantage}
    tensors = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
    more = {name: torch.from_numpy(on_rows(rows, column)).to(device) for name, column in (columns or {}).items()}
    return Batch(
        rows=rows,
        tokens=tokens,
        sequences=sequences,
        completes=completes,
        spare=spare,
        columns=more,
        counts=counts or {},
        **tensors,
    )


def on_rows(rows: Sequence[Row], column: NDArray[np.float64]) -> NDArray[np.float32]:
    """A number of each token of the table (N) where the padded rows have that token, NaN elsewhere (B, L)."""
    found = np.full((len(rows), max(map(len, rows))), np.nan, np.float32)
    for number, row in enumerate(rows):
        here = row.source != NOWHERE
        found[number, : len(row)][here] = column[row.source[here]]
    return found


def shuffled(rows: int, minibatches: int, generator: np.random.Generator) -> list[NDArray[np.int64]]:
    """Rows 0 … rows - 1 in a random order, cut into minibatches as even as it goes; no empty ones."""
    order = generator.permutation(rows)
    return [group for group in np.array_split(order, max(min(minibatches, rows), 1)) if len(group)]


def parts(chosen: NDArray[np.int64], lengths: NDArray[np.int64], budget: int) -> list[NDArray[np.int64]]:
    """Rows sorted by length, cut into parts of at most `budget` padded tokens; a single row may have more.

    Of all ways to cut them it is the one that computes the least, where a further part costs as much as 512 tokens of
    padding: a few long rows among many short ones are a part of their own.

    Args:
        chosen: indices of the rows.
        lengths: of all rows.
        budget: padded tokens of one forward pass.
    """
    order = chosen[np.argsort(lengths[chosen], kind="stable")]
    cost, begins = np.zeros(len(order) + 1, np.int64), [0]
    first = 0
    for stop, width in enumerate(lengths[order].tolist(), 1):
        first = max(first, min(stop - budget // max(width, 1), stop - 1))
        costs = cost[first:stop] + np.arange(stop - first, 0, -1) * width
        begins.append(first + int(costs.argmin()))
        cost[stop] = costs.min() + _PASS
    result: list[NDArray[np.int64]] = []
    stop = len(order)
    while stop:
        result.append(order[begins[stop] : stop])
        stop = begins[stop]
    return result[::-1]


__all__ = ["Batch", "batch_of", "on_rows", "parts", "shuffled"]
