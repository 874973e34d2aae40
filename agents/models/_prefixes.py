"""Keys and values kept after an answer, found again by the ids they belong to.

Keys and values are a function of the ids before them (and of the weights), so whatever prompt begins
with the same ids may use them: the next turn of the same conversation, a fork, or another episode
with the same instructions. Entries are never changed once they are kept; the least recently used go
first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

_BLOCK = 16
"""Prefixes are indexed every this many ids; shorter ones are not worth keeping."""

Ids = npt.NDArray[np.int64]


@dataclass(eq=False, slots=True)
class Entry:
    """Keys and values of n ids: for each layer the keys, then the values, [heads, n, width]."""

    ids: Ids
    tensors: list[torch.Tensor]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(tensor.nbytes for tensor in self.tensors)


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

    def add(self, ids: Sequence[int], tensors: list[torch.Tensor]) -> None:
        """Keep the keys and values of `ids`; an entry that is a prefix of them is replaced."""
        shorter, shared = self.find(ids)
        if shorter is not None and shared == len(ids):
            return
        if shorter is not None and shared == len(shorter.ids):
            self._remove(shorter)
        entry = Entry(np.asarray(ids, dtype=np.int64), tensors)
        if len(ids) < _BLOCK or entry.size > self._limit:
            return
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
