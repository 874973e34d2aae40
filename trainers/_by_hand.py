"""The columns of a `TurnTable` from a few lists: what is not given has a plain default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.core.errors import UsageError
from arena.trainers._codes import codes, paired
from arena.trainers._segments import Integers, Segments
from arena.trainers._table import POLICY, PRODUCERS, on_last_tokens


def columns(given: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """All columns; see `TurnTable.of`."""
    rewards = np.array(given["reward"], np.float64)
    rows = len(rewards)
    unscorable, rewards = np.isnan(rewards), np.where(np.isnan(rewards), 0.0, rewards)
    episodes = _numbered(given, "episode", rows)
    players = _numbered(given, "player", rows)
    by_episode, along = Segments.where_changing(episodes), Segments.where_changing(episodes, players)
    groups = codes(given.get("group", np.zeros(rows, np.int64)))
    if "player" in given:
        groups = paired(groups, codes(players))
    ends = np.zeros(rows, bool)
    ends[along.lasts] = True
    truncated = _column(given, "truncated", rows, bool, False)
    value = _column(given, "value", rows, np.float64, np.nan)
    scored = _column(given, "scored", rows, bool, True)
    return {
        "group": groups,
        "episode": episodes,
        "turn": _column(given, "turn", rows, np.int64, np.arange(rows) - along.spread(along.starts)),
        "player": players,
        "reward": rewards,
        "state": codes(given.get("state", np.arange(rows))),
        "valid": _column(given, "valid", rows, bool, True),
        "scored": scored & ~by_episode.spread(by_episode.any(unscorable)),
        "truncated": truncated,
        "terminated": _column(given, "terminated", rows, bool, ends & ~truncated),
        "value": value,
        "next_value": _column(given, "next_value", rows, np.float64, along.following(value, np.nan)),
        **_tokens(given, rewards, along),
    }


def _tokens(given: Mapping[str, Any], rewards: NDArray[np.float64], along: Segments) -> dict[str, NDArray[Any]]:
    rows = len(rewards)
    if "token_producer" in given:
        made = _producers(given["token_producer"])
        if "token_offsets" not in given:
            raise UsageError("token_producer needs token_offsets: where each turn's tokens begin, and the end.")
        offsets = _column(given, "token_offsets", rows + 1, np.int64, 0)
        if offsets.min() < 0 or offsets.max() > len(made):
            raise UsageError(f"token_offsets lie between 0 and the number of tokens, {len(made)}.")
        sampled = np.diff(np.concatenate([[0], np.cumsum(made == POLICY)])[offsets])
    else:
        sampled = _column(given, "tokens", rows, np.int64, 1)
        offsets = np.concatenate([[0], np.cumsum(sampled)])
        made = np.full(offsets[-1], POLICY, np.uint8)
    number = len(made)
    return {
        "tokens": _column(given, "tokens", rows, np.int64, sampled),
        "token_offsets": offsets,
        "token_producer": made,
        "token_logprob": _column(given, "token_logprob", number, np.float64, np.nan),
        "token_value": _column(given, "token_value", number, np.float64, np.nan),
        "token_reward": _column(given, "token_reward", number, np.float64, on_last_tokens(rewards, offsets, along)),
    }


def _producers(names: Iterable[Any]) -> NDArray[np.uint8]:
    if isinstance(names, np.ndarray):
        return names.astype(np.uint8)
    return np.array([PRODUCERS.index(name) for name in names], np.uint8)


def _numbered(given: Mapping[str, Any], name: str, rows: int) -> Integers:
    """Numbers in the order of appearance; an array of integers as it is."""
    names = given.get(name, np.zeros(rows, np.int64))
    if isinstance(names, np.ndarray) and np.issubdtype(names.dtype, np.integer):
        numbers = names.astype(np.int64, copy=False)
    else:
        known: dict[Any, int] = {}
        numbers = np.array([known.setdefault(one, len(known)) for one in names], np.int64)
    return _sized(numbers, name, rows)


def _column(given: Mapping[str, Any], name: str, rows: int, dtype: Any, default: Any) -> NDArray[Any]:
    """A column from a sequence, or from one value for all rows."""
    array = np.array(given.get(name, default), dtype)
    return np.full(rows, array) if array.ndim == 0 else _sized(array, name, rows)


def _sized(array: NDArray[Any], name: str, rows: int) -> NDArray[Any]:
    if array.shape != (rows,):
        raise UsageError(f"The column {name!r} has {len(array)} entries, expected {rows}.")
    return array
