"""Numbers that other implementations gave for the same inputs (`oracles.json`, each with its source)."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from arena.trainers import TurnTable

ORACLES = json.loads(Path(__file__).with_name("oracles.json").read_text(encoding="utf-8"))
CLOSE = {"rtol": 0, "atol": 1e-5}
"""The references computed in 32 bits."""


def case(name):
    """`inputs` and `expected` of a case, as attributes."""
    found = ORACLES[name]
    return SimpleNamespace(inputs=SimpleNamespace(**found["inputs"]), expected=found["expected"])


def masked_table(rewards, mask, values=None, **columns):
    """Padded rows (B, L) of tokens as a table: one trajectory of one turn per row."""
    rewards, mask = np.array(rewards), np.array(mask, bool)
    rows, length = rewards.shape
    return TurnTable.of(
        episode=list(range(rows)),
        reward=rewards.sum(1),
        token_offsets=np.arange(rows + 1) * length,
        token_producer=np.where(mask, 0, 2).ravel(),
        token_reward=rewards.ravel(),
        token_value=np.nan if values is None else np.ravel(values),
        **columns,
    )


def gigpo_table(inputs):
    """The rows of a GiGPO case."""
    group, trajectory, turn, state, reward, valid = map(list, zip(*inputs.rows, strict=True))
    return TurnTable.of(group=group, episode=trajectory, turn=turn, state=state, reward=reward, valid=valid)
