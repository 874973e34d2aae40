"""Training rows as ragged as episodes are: 1 to 8 turns, some of them long, none alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.trainers._rows import Row
from arena.trainers._table import ENVIRONMENT, POLICY

SYSTEM, OBSERVATION, ANSWER = (150, 220), (40, 140), (8, 48)
"""Least and most tokens."""


def ragged_rows(number: int, turns: int, vocabulary: int, seed: int = 0) -> tuple[list[Row], NDArray[np.float64]]:
    """Rows of 1 to `turns` turns and the advantage of each of their tokens; log-probabilities are those of a guess."""
    generator = np.random.default_rng(seed)
    rows, credit, place = [], [], 0
    for episode in range(number):
        parts = [(ENVIRONMENT, int(generator.integers(*SYSTEM)))]
        played = int(generator.integers(1, turns + 1))
        for _ in range(played):
            parts += [(ENVIRONMENT, int(generator.integers(*OBSERVATION))), (POLICY, int(generator.integers(*ANSWER)))]
        producer = np.repeat([who for who, _ in parts], [length for _, length in parts]).astype(np.uint8)
        n = len(producer)
        rows.append(
            Row(
                ids=generator.integers(5, vocabulary, n),
                producer=producer,
                logprob=np.where(producer == POLICY, -np.log(vocabulary), np.nan),
                source=np.arange(place, place + n),
                episode=episode,
                turns=(0, played - 1),
                versions=frozenset(),
            )
        )
        credit.append(np.full(n, generator.normal()))
        place += n
    return rows, np.concatenate(credit)
