"""Statistics of groups: what an episode or a turn is compared with.

Shapes: N members, each with a value and the dense index of its group.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.trainers._codes import Codes, codes, paired
from arena.trainers._options import Singleton
from arena.trainers._segments import Flags, Floats, Integers, sum_by


def dense(keys: NDArray[Any]) -> Integers:
    """Numbers 0, 1, … for the distinct keys (N -> N)."""
    return np.unique(keys, return_inverse=True)[1].reshape(-1).astype(np.int64, copy=False)


def counts(groups: Integers, counted: Flags | None = None) -> Integers:
    """How many counted members the group of each member has (N)."""
    size = int(groups.max()) + 1 if len(groups) else 0
    members = groups if counted is None else groups[counted]
    return np.bincount(members, minlength=size)[groups]


def normalised(
    values: Floats,
    groups: Integers,
    counted: Flags | None = None,
    *,
    std: bool = False,
    eps: float = 1e-6,
    ddof: int = 1,
    singleton: Singleton = "zero",
) -> Floats:
    """Values compared with their group (N -> N).

    Sums run over differences to the group's first member: equal values give exactly 0, and a large
    common offset costs no digits.

    Args:
        values: the mean of the group is subtracted from each.
        groups: the dense index of each value's group.
        counted: the members that enter the statistics (all by default); the others are only compared.
        std: also divide by the group's standard deviation + `eps`.
        eps: keeps the division finite.
        ddof: 1 for the unbiased variance, 0 for the population's.
        singleton: what a group with fewer than two counted members gives.
    """
    if len(values) == 0:
        return np.zeros(0)
    size = int(groups.max()) + 1
    every = counted is None or bool(counted.all())
    members = groups if every else groups[counted]
    number = np.bincount(members, minlength=size)
    first = np.zeros(size)
    first[members[::-1]] = (values if every else values[counted])[::-1]
    result = values - first[groups]
    total = sum_by(members, result if every else result[counted], size)
    result -= (total / np.maximum(number, 1))[groups]
    if std:
        centred = result if every else result[counted]
        squares = sum_by(members, centred * centred, size)
        divisor = np.sqrt(squares / np.maximum(number - ddof, 1)) + eps
        result /= np.where(divisor == 0, 1.0, divisor)[groups]
    alone = (number < 2)[groups]
    result[alone] = 0.0 if singleton == "zero" else values[alone] / (1 + eps if std else 1)
    return result


def weighted_means(values: Floats, weights: Floats, groups: Integers) -> Floats:
    """The weighted mean of each member's group, 0 where the weights sum to 0 (N -> N)."""
    total = sum_by(groups, weights)
    mean = sum_by(groups, weights * values) / np.where(total == 0, 1, total)
    result: Floats = mean[groups]
    return result


def has_spread(values: Floats, groups: Integers, counted: Flags | None = None) -> Flags:
    """Whether the counted members of each member's group differ in value (N -> N)."""
    if len(values) == 0:
        return np.zeros(0, bool)
    different = normalised(values, groups, counted) != 0
    if counted is not None:
        different &= counted
    return sum_by(groups, different)[groups] > 0


def whitened(values: Floats, counted: Flags | None = None, *, ddof: int = 1, eps: float = 1e-8) -> Floats:
    """(x - mean) / sqrt(variance + eps), both taken over the counted members (N -> N)."""
    sample = values if counted is None else values[counted]
    if len(sample) < 2:
        return np.zeros(len(values))
    centred = values - sample.mean()
    variance = np.square(sample - sample.mean()).sum() / (len(sample) - ddof)
    result: Floats = centred / np.sqrt(variance + eps)
    return result


def similar(texts: Sequence[str], groups: Codes, threshold: float) -> Codes:
    """State codes that are equal where texts of one group are alike, greedily and in order.

    A text joins the first cluster of its group whose first member it resembles:
    `difflib.SequenceMatcher(None, text, first).ratio() >= threshold` (verl-agent's rule; it depends
    on the order of the rows). Equal texts are compared once, and a cheap upper bound first.

    Args:
        texts: one per row.
        groups: the rows' groups, as codes.
        threshold: in (0, 1].
    """
    _, first, inverse = np.unique(paired(groups, codes(texts)), return_index=True, return_inverse=True)
    clusters: dict[int, list[tuple[difflib.SequenceMatcher[str], int]]] = {}
    found = np.empty(len(first), np.int64)
    for distinct in np.argsort(first):
        row = int(first[distinct])
        known = clusters.setdefault(int(groups[row]), [])
        cluster = next((start for matcher, start in known if _alike(matcher, texts[row], threshold)), None)
        if cluster is None:
            cluster = row
            known.append((difflib.SequenceMatcher(None, "", texts[row]), row))
        found[distinct] = cluster
    return codes(found[inverse.reshape(-1)])


def _alike(matcher: difflib.SequenceMatcher[str], text: str, threshold: float) -> bool:
    matcher.set_seq1(text)
    bounds = (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio)
    return all(bound() >= threshold for bound in bounds)
