"""Keys and values kept after an answer, found again by the ids they belong to.

Keys and values are a function of the ids before them (and of the weights), so whatever prompt begins
with the same ids may use them: the next turn of the same conversation, a fork, or another episode
with the same instructions. Entries only ever grow; the least recently used go first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

_BLOCK = 16
"""Prefixes are indexed every this many ids; shorter ones are not worth keeping."""

Ids = npt.NDArray[np.int64]


_SLACK = 1.25
"""An entry has room for this many times its ids, so that the next turn is written behind it."""


@dataclass(eq=False, slots=True)
class Entry:
    """Keys and values of n ids: for each layer the keys, then the values, [heads, n or more, width]."""

    ids: Ids
    tensors: list[torch.Tensor]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(tensor.nbytes for tensor in self.tensors)

    def extend(self, ids: Ids, tensors: Sequence[torch.Tensor]) -> None:
        """Go on to `ids`, which begin with the entry's own."""
        begin, end = len(self.ids), len(ids)
        room = self.tensors[0].shape[1] if self.tensors else 0
        if end > room:
            begin, room = 0, int(_SLACK * end)
            self.tensors = [tensor.new_empty(tensor.shape[0], room, tensor.shape[2]) for tensor in tensors]
        for own, tensor in zip(self.tensors, tensors, strict=True):
            own[:, begin:end] = tensor[:, begin:end]
        self.ids = ids


class PrefixStore:
    """A bounded store of entries, by their ids."""

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` bytes."""
        self._limit = limit
        self._bytes = 0
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._index: dict[int, dict[int, Entry]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, ids: Sequence[int]) -> tuple[Entry | None, int]:
        """The entry that shares the longest prefix with `ids`, and how many ids that is."""
        wanted = np.asarray(ids, dtype=np.int64)
        candidates: dict[int, Entry] = {}
        for key in _blocks(wanted):
            if key not in self._index:
                break
            candidates = self._index[key]
        best, longest = None, 0
        for entry in candidates.values():
            shared = _shared(entry.ids, wanted)
            if shared > longest:
                best, longest = entry, shared
        if best is not None:
            self._entries.move_to_end(id(best))
        return best, longest

    def add(self, ids: Sequence[int], tensors: Sequence[torch.Tensor]) -> None:
        """Keep a copy of the keys and values of `ids`; an entry that is a prefix of them goes on to them."""
        if len(ids) < _BLOCK or sum(tensor.nbytes for tensor in tensors) > self._limit:
            return
        entry, shared = self.find(ids)
        if entry is not None and shared == len(ids):
            return
        if entry is not None and shared == len(entry.ids):
            self._remove(entry)
        else:
            entry = Entry(np.empty(0, np.int64), [])
        entry.extend(np.asarray(ids, dtype=np.int64), tensors)
        self._entries[id(entry)] = entry
        self._bytes += entry.size
        for key in _blocks(entry.ids):
            self._index.setdefault(key, {})[id(entry)] = entry
        while self._bytes > self._limit:
            self._remove(next(iter(self._entries.values())))

    def clear(self) -> None:
        """Forget everything: the weights have changed."""
        self._entries.clear()
        self._index.clear()
        self._bytes = 0

    def _remove(self, entry: Entry) -> None:
        del self._entries[id(entry)]
        self._bytes -= entry.size
        for key in _blocks(entry.ids):
            holders = self._index[key]
            del holders[id(entry)]
            if not holders:
                del self._index[key]


def shared_among(prompts: Sequence[Sequence[int]], kept: Sequence[int]) -> list[tuple[int, int]]:
    """For each prompt the number of an earlier one to take a prefix from, and how many ids that is.

    Where no earlier one has a block more than the `kept` ids, it is the prompt's own number and `kept`. The last id
    of a prompt is never taken.
    """
    seen: dict[int, int] = {}
    result = []
    for number, prompt in enumerate(prompts):
        ids = np.asarray(prompt, dtype=np.int64)
        source, shared = number, kept[number]
        for key in _blocks(ids):
            earlier = seen.setdefault(key, number)
            if earlier != number:
                source = earlier
        if source != number:
            most = min(_shared(np.asarray(prompts[source], dtype=np.int64), ids), len(ids) - 1)
            source, shared = (source, most) if most >= shared + _BLOCK else (number, shared)
        result.append((source, shared))
    return result


def _blocks(ids: Ids) -> Iterator[int]:
    """A running hash of the ids after each whole block; equal prefixes have equal hashes."""
    key = 0
    for end in range(_BLOCK, len(ids) + 1, _BLOCK):
        key = hash((key, ids[end - _BLOCK : end].tobytes()))
        yield key


def _shared(first: Ids, second: Ids) -> int:
    """The length of the common prefix."""
    length = min(len(first), len(second))
    differs = first[:length] != second[:length]
    return int(differs.argmax()) if differs.any() else length
