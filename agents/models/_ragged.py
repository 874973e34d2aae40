"""A batch whose sequences come and go between steps, for models with plain full attention.

B: sequences in the batch, Q: ids fed at once, C: columns of the cache in use.

The keys and values of all sequences lie in one buffer per layer, [rows, heads, columns, width]: row i
holds sequence i from column 0, so there is no padding on the left, positions are columns, and a
sequence's numbers do not depend on its neighbours' lengths but through the shape of the kernels. The
rows in use stay together: when one leaves, the last one takes its place. A row that leaves is kept in
a `PrefixStore`, and a row that enters starts from the longest prefix found there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from arena.agents.models._prefixes import PrefixStore, shared_among

_CHUNK = 2048
"""Most ids (padding included) that one forward pass takes in: bounds the memory of prompts."""

_ROUND = 16
"""Columns are used in multiples of this: few shapes, and aligned masks for the GPU's kernels."""


class _Slots:
    """Where the current forward pass writes, and what it reads: shared by all layers."""

    rows: torch.Tensor
    columns: torch.Tensor
    first: int
    last: int
    width: int
    capacity: tuple[int, int] = (0, 0)

    def aim(self, first: int, columns: torch.Tensor, width: int) -> None:
        """Write rows first, first + 1, … at the columns [B, Q]; read `width` columns."""
        self.first, self.last, self.width = first, first + columns.shape[0], width
        self.rows = torch.arange(self.first, self.last, device=columns.device)[:, None].expand_as(columns)
        self.columns = columns


class _Layer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values, written in place."""

    keys: Any
    values: Any

    def __init__(self, slots: _Slots) -> None:
        super().__init__()
        self._slots = slots

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        slots = self._slots
        if self.keys is None:
            self.keys, self.values = _zeros(key_states, slots.capacity), _zeros(value_states, slots.capacity)
            self.is_initialized = True
        self.keys[slots.rows, :, slots.columns] = key_states.transpose(1, 2)
        self.values[slots.rows, :, slots.columns] = value_states.transpose(1, 2)
        rows = slice(slots.first, slots.last)
        return self.keys[rows, :, : slots.width], self.values[rows, :, : slots.width]

    def get_seq_length(self) -> int:
        return self._slots.width

    def resize(self, rows: int) -> None:
        """Move the first rows into a buffer of the slots' capacity."""
        if self.is_initialized:
            self.keys, self.values = (_moved(buffer, rows, self._slots.capacity) for buffer in (self.keys, self.values))


def _zeros(like: torch.Tensor, capacity: tuple[int, int]) -> torch.Tensor:
    # Zeros and not empty memory: what a mask hides must still be finite.
    return like.new_zeros((capacity[0], like.shape[1], capacity[1], like.shape[3]))


def _moved(buffer: torch.Tensor, rows: int, capacity: tuple[int, int]) -> torch.Tensor:
    larger = _zeros(buffer, capacity)
    larger[:rows, :, : buffer.shape[2]] = buffer[:rows]
    return larger


def plain_attention(network: Any) -> bool:
    """Whether every layer keeps all keys and values: no sliding window, no linear or sparse attention."""
    try:
        layers = DynamicCache(config=network.config).layers
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


class RaggedBatch:
    """Sequences of different lengths that are decoded together."""

    def __init__(self, network: Any, store: PrefixStore | None, *, max_rows: int, context: int, limit: int) -> None:
        """At most `max_rows` sequences at once, of at most `context` ids, in about `limit` bytes; no store: anew."""
        self._network, self._store = network, store
        self._max_rows, self._context, self._limit = max_rows, context, limit
        self._device = next(network.parameters()).device
        self.dtype = next(network.parameters()).dtype
        self._slots = _Slots()
        self._cache = Cache(layers=[_Layer(self._slots) for _ in DynamicCache(config=network.config).layers])
        self._rows: list[list[int]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def room(self, lengths: Sequence[int]) -> int:
        """How many of these further prompts may enter now, in their order; the first always may when alone."""
        admitted, longest = 0, max(map(len, self._rows), default=0)
        for length in lengths:
            longest = max(longest, length + 1)
            rows = len(self._rows) + admitted + 1
            if rows > self._max_rows or (rows > 1 and self._too_large(rows, longest)):
                break
            admitted += 1
        return admitted

    def crowded(self) -> bool:
        """Whether another step of all sequences together would take more memory than there is."""
        return len(self._rows) > 1 and self._too_large(len(self._rows), max(map(len, self._rows)) + 1)

    def admit(self, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, list[int]]:
        """Add sequences at the end of the batch.

        Returns:
            The logits [len(prompts), V] after each prompt, and how many of its ids were not computed again.
        """
        first = len(self._rows)
        # The last id is always fed: its logits are wanted.
        found = [(None, 0) if self._store is None else self._store.find(prompt[:-1]) for prompt in prompts]
        self._reserve(first + len(prompts), max(map(len, prompts)))
        for row, (entry, kept) in enumerate(found, first):
            if entry is not None:
                for buffer, tensor in zip(self._buffers(), entry.tensors, strict=True):
                    buffer[row, :, :kept] = tensor[:, :kept]
        self._rows += [list(prompt) for prompt in prompts]
        known = [kept for _, kept in found]
        sources = list(enumerate(known)) if self._store is None else shared_among(prompts, known)
        kept_ids = [kept for _, kept in sources]
        lengths = [len(prompt) - kept for prompt, kept in zip(prompts, kept_ids, strict=True)]
        logits: dict[int, torch.Tensor] = {}
        for wave in _waves([source for source, _ in sources]):
            for index in wave:
                source, kept = sources[index]
                for buffer in self._buffers() if source != index else ():
                    buffer[first + index, :, :kept] = buffer[first + source, :, :kept]
            for start, end in _groups(wave, lengths):
                logits[start] = self._prefill(first + start, kept_ids[start:end], lengths[start:end])
        return torch.cat([logits[start] for start in sorted(logits)]), kept_ids

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """Append one id to each sequence; the logits [B, V] after it."""
        for row, token in zip(self._rows, tokens, strict=True):
            row.append(token)
        starts = [len(row) - 1 for row in self._rows]
        self._reserve(len(self._rows), max(starts) + 1)
        return self._forward(0, torch.tensor(tokens, device=self._device)[:, None], starts, 1)[:, -1]

    def drop(self, row: int, *, keep: bool = True) -> None:
        """Take a sequence out; the last one takes its row. With `keep` its keys and values stay for its next turn."""
        last = len(self._rows) - 1
        ids = self._rows[row]
        if keep and self._store is not None:
            self._store.add(ids, [buffer[row, :, : len(ids)] for buffer in self._buffers()])
        if row != last:
            for buffer in self._buffers():
                length = len(self._rows[last])
                buffer[row, :, :length] = buffer[last, :, :length]
            self._rows[row] = self._rows[last]
        self._rows.pop()

    def clear(self) -> None:
        """Forget everything that was computed, and give the memory back."""
        if self._store is not None:
            self._store.clear()
        self._rows.clear()
        self._slots.capacity = (0, 0)
        for layer in self._cache.layers:
            layer.keys = layer.values = None
            layer.is_initialized = False

    def _buffers(self) -> list[torch.Tensor]:
        return [buffer for layer in self._cache.layers for buffer in (layer.keys, layer.values)]

    def _too_large(self, rows: int, longest: int) -> bool:
        if not self._cache.layers[0].is_initialized:
            return False
        per_id = sum(buffer[0, :, 0].nbytes for buffer in self._buffers())
        return bool(rows * _rounded(longest) * per_id > self._limit)

    def _prefill(self, first: int, starts: Sequence[int], lengths: Sequence[int]) -> torch.Tensor:
        """Feed what is not cached of the rows from `first`, padded on the right; the logits [B, V] at their ends."""
        width = max(lengths)
        chunk = max(1, _CHUNK // len(starts))
        padded = torch.zeros(len(starts), width, dtype=torch.long)
        for index, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            padded[index, :length] = torch.tensor(self._rows[first + index][start:])
        padded = padded.to(self._device)
        ends = torch.tensor(lengths, device=self._device) - 1
        result: torch.Tensor | None = None
        self._reserve(len(self._rows), max(starts) + width)
        for begin in range(0, width, chunk):
            ids = padded[:, begin : begin + chunk]
            here = (ends >= begin) & (ends < begin + ids.shape[1])
            wanted = (ends - begin).clamp(0, ids.shape[1] - 1)
            columns, place = wanted.unique(return_inverse=True)
            logits = self._forward(first, ids, [start + begin for start in starts], columns)
            logits = logits[torch.arange(len(starts), device=self._device), place]
            result = logits if result is None else torch.where(here[:, None], logits, result)
        assert result is not None
        return result

    def _forward(
        self, first: int, ids: torch.Tensor, starts: Sequence[int], wanted: torch.Tensor | int
    ) -> torch.Tensor:
        """Feed ids [B, Q] to the rows from `first`, beginning at columns [B]; logits at the wanted places of Q."""
        offsets = torch.arange(ids.shape[1], device=self._device)
        positions = torch.tensor(starts, device=self._device)[:, None] + offsets
        width = min(_rounded(max(starts) + ids.shape[1]), self._slots.capacity[1])
        self._slots.aim(first, positions, width)
        hidden = torch.arange(width, device=self._device) > positions[:, None, :, None]
        mask = torch.zeros(hidden.shape, dtype=self.dtype, device=self._device)
        mask.masked_fill_(hidden, torch.finfo(self.dtype).min)
        logits: torch.Tensor = self._network(
            input_ids=ids,
            # Padding on the right may reach beyond the last position there is.
            position_ids=positions.clamp(max=self._context - 1),
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=wanted,
        ).logits
        return logits

    def _reserve(self, rows: int, columns: int) -> None:
        """Make room for rows and columns."""
        have = self._slots.capacity
        if rows <= have[0] and columns <= have[1]:
            return
        wanted_rows = have[0] if rows <= have[0] else min(self._max_rows, max(rows, 2 * have[0]))
        wanted_columns = have[1] if columns <= have[1] else _rounded(columns + columns // 2 + 64)
        self._slots.capacity = (wanted_rows, wanted_columns)
        for layer in self._cache.layers:
            layer.resize(min(have[0], len(self._rows)))


def _rounded(columns: int) -> int:
    return -(-columns // _ROUND) * _ROUND


def _waves(sources: Sequence[int]) -> list[list[int]]:
    """Numbers of prompts such that each comes in a later wave than its source; one is its own source if it has none."""
    depths: list[int] = []
    for number, source in enumerate(sources):
        depths.append(0 if source == number else depths[source] + 1)
    return [[number for number, own in enumerate(depths) if own == depth] for depth in range(max(depths) + 1)]


def _groups(wave: Sequence[int], lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Split a wave into ranges of neighbours that are fed together: few ids each, and little of it padding."""
    groups: list[tuple[int, int]] = []
    start = wave[0]
    for here, after in pairwise([*wave, -1]):
        nexts = lengths[start : here + 2]
        padded = len(nexts) * max(nexts)
        if after != here + 1 or padded > _CHUNK or padded > 1.25 * sum(nexts) + 64:
            groups.append((start, here + 1))
            start = after
    return groups


def agrees(network: Any) -> bool:
    """Whether two ragged sequences, decoded one step, give what the network gives for them alone.

    Tried once per model, so that an architecture that reads masks or positions in its own way is
    never sampled wrongly.
    """
    prompts, more = [[5, 2, 7, 3, 1, 6, 4], [3, 6, 2]], [4, 5]
    batch = RaggedBatch(network, None, max_rows=2, context=64, limit=2**30)
    tolerance = 1e-3 if batch.dtype == torch.float32 else 5e-2
    try:
        with torch.inference_mode():
            batch.admit(prompts)
            stepped = batch.step(more).float()
            for prompt, token, found in zip(prompts, more, stepped, strict=True):
                ids = torch.tensor([[*prompt, token]], device=found.device)
                alone = network(input_ids=ids, use_cache=False).logits[0, -1].float()
                if not (found - alone).abs().max() <= tolerance * alone.abs().max():
                    return False
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError):
        return False
    return True
