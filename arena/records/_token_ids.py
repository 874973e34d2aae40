"""Token ids in short: "the first n ids of an earlier call, then these"."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from arena.core.episode import Ids

_RECENT = 4
"""How many calls are kept written out and compared with; more would only cost memory."""


class TokenIdTable:
    """The prompt ids of an episode's calls, each told by what it shares with an earlier call."""

    def __init__(self) -> None:
        self._calls: list[tuple[Ids | None, tuple[int, ...] | None]] = []
        self._recent: deque[tuple[int, tuple[int, ...]]] = deque(maxlen=_RECENT)

    def add(
        self, prompt_ids: tuple[int, ...] | None, token_ids: tuple[int, ...] | None, after: int | None
    ) -> Ids | None:
        """The prompt ids of the next call in short; None where the back end gave none."""
        if prompt_ids is None:
            self._calls.append((None, token_ids))
            return None
        best, shared = None, 0
        for index, sequence in self._candidates(after):
            n = common_prefix(prompt_ids, sequence)
            if n > shared:
                best, shared = index, n
        ids = Ids(call=best, n=shared, new=prompt_ids[shared:])
        if token_ids is not None:
            self._recent.append((len(self._calls), prompt_ids + token_ids))
        self._calls.append((ids, token_ids))
        return ids

    def _candidates(self, after: int | None) -> list[tuple[int, tuple[int, ...]]]:
        candidates = list(reversed(self._recent))
        if after is not None and all(index != after for index, _ in candidates):
            prompt, tokens = self._calls[after]
            if prompt is not None and tokens is not None:
                candidates.insert(0, (after, prompt.written_out(self._calls) + tokens))
        return candidates


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common prefix, by comparing slices: far faster than one by one."""
    low, high = 0, min(len(a), len(b))
    width = high
    while low < high:
        if a[low : low + width] == b[low : low + width]:
            low += width
        elif width == 1:
            return low
        else:
            high = low + width
        width = max((high - low + 1) // 2, 1)
    return low
