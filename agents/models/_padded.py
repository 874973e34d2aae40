"""A batch that is filled once, padded on the left, and decoded until it is empty: for any architecture.

It uses the cache that the model brings along (sliding windows, linear attention, …), so nothing is
kept between turns and every prompt is encoded whole. With `max_rows=1` each sequence is computed
alone, and its numbers are a function of its ids and the weights only: that is what `deterministic`
means.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache


class PaddedBatch:
    """Sequences that enter together; a sequence may leave at any time."""

    def __init__(self, network: Any, *, max_rows: int) -> None:
        self._network, self._max_rows = network, max_rows
        self._device = next(network.parameters()).device
        # An adapter's own signature says nothing; that of the network underneath does.
        inner = network.get_base_model() if hasattr(network, "get_base_model") else network
        takes = inspect.signature(inner.forward).parameters
        self._takes_positions = "position_ids" in takes
        self._takes_logits_to_keep = "logits_to_keep" in takes
        self._cache_name = "past_key_values" if "past_key_values" in takes else "cache_params"
        self._rows = 0
        self._cache: Any = None
        self._mask = torch.zeros(0, 0)

    def __len__(self) -> int:
        return self._rows

    def room(self, lengths: Sequence[int]) -> int:
        """How many of these prompts may enter now."""
        return 0 if self._rows else min(self._max_rows, len(lengths))

    def crowded(self) -> bool:
        """Never: a sequence cannot leave and come back."""
        return False

    def admit(self, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, list[int]]:
        """Fill the empty batch; the logits after each prompt, and zeros: nothing was kept."""
        width = max(map(len, prompts))
        ids = torch.zeros(len(prompts), width, dtype=torch.long)
        mask = torch.zeros(len(prompts), width, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        self._rows, self._mask = len(prompts), mask.to(self._device)
        self._cache = DynamicCache(config=self._network.config)
        positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        return self._forward(ids.to(self._device), positions), [0] * len(prompts)

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """Append one id to each sequence; the logits [B, V] after it."""
        self._mask = torch.cat([self._mask, self._mask.new_ones(self._rows, 1)], dim=-1)
        positions = self._mask.sum(-1, keepdim=True) - 1
        return self._forward(torch.tensor(tokens, device=self._device)[:, None], positions)

    def drop(self, row: int, *, keep: bool = True) -> None:
        """Take a sequence out; the last one takes its row. Nothing is kept, whatever `keep` says."""
        last = self._rows - 1
        if last == 0:
            self.clear()
            return
        order = list(range(last))
        if row != last:
            order[row] = last
        index = torch.tensor(order, device=self._device)
        self._cache.reorder_cache(index)
        self._mask = self._mask[index]
        self._rows = last

    def clear(self) -> None:
        """Forget the sequences."""
        self._rows, self._cache = 0, None

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        options: dict[str, Any] = {self._cache_name: self._cache}
        if self._takes_positions:
            options["position_ids"] = positions
        if self._takes_logits_to_keep:
            options["logits_to_keep"] = 1
        # Purely recurrent networks read the mask of the ids that are fed, not of all that came before.
        mask = self._mask if self._cache_name == "past_key_values" or ids.shape[1] > 1 else None
        output = self._network(input_ids=ids, attention_mask=mask, use_cache=True, **options)
        logits: torch.Tensor = output.logits[:, -1]
        return logits
