"""64-bit codes for groups and states: equal things have equal codes, in any process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint64]

_ODD = np.uint64(0x9E3779B97F4A7C15)


def code(thing: object) -> int:
    """The code of one thing, from its text or its `repr`."""
    text = thing if isinstance(thing, str) else repr(thing)
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def codes(things: Iterable[Any] | NDArray[Any]) -> Codes:
    """The code of each thing; an array of integers is scrambled as it is, without a loop."""
    values = things if isinstance(things, np.ndarray) else list(things)
    if isinstance(values, np.ndarray) and np.issubdtype(values.dtype, np.integer):
        return scrambled(values.astype(np.uint64, copy=False))
    known: dict[Any, int] = {}
    return np.array([known[x] if x in known else known.setdefault(x, code(x)) for x in values], np.uint64)


def paired(first: Codes, second: Codes) -> Codes:
    """One code for each pair; the order matters."""
    mixed: Codes = scrambled(scrambled(first) ^ second)
    return mixed


def scrambled(values: Codes) -> Codes:
    """A bijection of the 64-bit integers that spreads neighbours (the finaliser of splitmix64)."""
    mixed = values + _ODD
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: Codes = mixed ^ (mixed >> np.uint64(31))
    return result
