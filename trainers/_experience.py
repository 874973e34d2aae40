"""Where the turns of a replay buffer come from: recorded episodes, and those that the policy plays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.agents import build as build_agent
from arena.core.errors import UsageError
from arena.trainers._data import require_rewards
from arena.trainers._demonstrations import written_down
from arena.trainers._turn_rows import TurnReader, with_window

if TYPE_CHECKING:
    from arena.core.episode import Episode
    from arena.trainers._replay import Replay
    from arena.trainers._segments import Floats
    from arena.trainers._training import Training

_AT_ONCE = 256
"""Recorded episodes that are held in memory together."""

_MEASURED = 100_000
"""Turns whose returns the critic's unit is measured on."""


class Experience:
    """Fills the replay buffer of a training.

    Args:
        training: the run.
        replay: its buffer; it is opened, and on a run that goes on it has what it had.
        gamma: discount per turn of the returns as recorded.
        window: turns before the last that the critic is shown; what the agent is shown unless told.
        plays: whether the policy plays too, so that what was recorded need not teach anything alone.

    Raises:
        UsageError: the recorded episodes cannot be learned from.
    """

    def __init__(
        self, training: Training, replay: Replay, *, gamma: float, window: int | None = None, plays: bool = False
    ) -> None:
        self._training, self._replay, self._gamma = training, replay, gamma
        replay.open(training.folder / "replay", training.ranks)
        critic_spec = None if window is None else with_window(training.config.agent, window)
        self._reader = TurnReader(
            training.make_agent,
            training.policy.model,
            training.policy.context,
            critic_agent=None if critic_spec is None else lambda model: build_agent(critic_spec, model),
        )
        if len(replay):
            self._reader.count = int(replay.reader.scalar("episode", np.array([len(replay) - 1]))[0]) + 1
        else:
            self._load(plays)

    def __enter__(self) -> Experience:
        return self

    def __exit__(self, *error: object) -> None:
        self._replay.close()

    def play(self, step: int) -> list[Episode]:
        """Play the episodes of a step and add them."""
        episodes = self._training.collect(step)
        with self._training.timed("buffer"):
            self._add(episodes, own=True)
        return episodes

    def returns(self) -> Floats:
        """Discounted returns of turns in the buffer, as recorded."""
        rows = np.arange(min(len(self._replay), _MEASURED))
        return np.asarray(self._replay.reader.scalar("return", rows), np.float64)

    def _load(self, plays: bool) -> None:
        data = self._training.recorded()
        if data is None:
            return
        returns, algorithm = data.returns, self._training.config.algorithm
        if not plays:
            require_rewards(returns, algorithm)
        returns, tokens = [], 0
        for episodes in _chunks(data.episodes()):
            returns += [episode.total_reward for episode in episodes]
            tokens += self._add(episodes, own=False)
        for line in data.damaged:
            self._training.note(f"left out: {line}")
        if not plays:
            require_rewards(returns, algorithm)
        self._training.note(written_down(len(self._replay), tokens))

    def _add(self, episodes: Sequence[Episode], *, own: bool) -> int:
        """Write their turns into the buffer; returns how many tokens were answered."""
        table = self._training.table(episodes)
        if not table.scored.any():
            raise UsageError("None of the episodes was scored, so there is nothing to learn from.")
        rows = self._reader.rows(episodes, table, self._gamma, own=own)
        self._replay.add(rows)
        return sum(map(len, rows.sequences["answer"]))


def _chunks(episodes: Iterator[Any]) -> Iterator[list[Any]]:
    while found := list(islice(episodes, _AT_ONCE)):
        yield found


__all__ = ["Experience"]
