"""Seeds: derived from names, never from a clock or a global generator.

Training and evaluation never meet: evaluation seeds lie at or above `EVAL_SEEDS`, training seeds
below it, and `Env.draw` keeps the generated instances apart too (two seeds of a small game could
otherwise generate the same one).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

Split = Literal["train", "eval"]

EVAL_SEEDS = 2**31
"""The first evaluation seed; training seeds lie in [0, EVAL_SEEDS), evaluation seeds in [EVAL_SEEDS, 2 EVAL_SEEDS)."""

_EVAL_SHARE = 4
"""One instance in this many belongs to the evaluation split."""


def derive(*parts: object) -> int:
    """A seed in [0, 2**63) that depends on every part and on nothing else, in any process.

    Parts are joined by their `repr`, so use plain strings and numbers.
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def split_of_seed(seed: int) -> Split:
    """The split a task's seed belongs to; a seed beyond both (from entropy, where none was given) trains."""
    return "eval" if EVAL_SEEDS <= seed < 2 * EVAL_SEEDS else "train"


@lru_cache(maxsize=1 << 14)
def split_of_instance(digest: str) -> Split:
    """The split a generated instance belongs to, by its digest."""
    return "eval" if derive("instance", digest) % _EVAL_SHARE == 0 else "train"


def task_seeds(split: Split, seed: int = 0) -> Iterator[int]:
    """Distinct task seeds of a split, without end; the first n are the same for every n."""
    start = EVAL_SEEDS if split == "eval" else 0
    seen: set[int] = set()
    index = 0
    while True:
        candidate = start + derive("task", split, seed, index) % EVAL_SEEDS
        index += 1
        if candidate not in seen:
            seen.add(candidate)
            yield candidate
