"""From episodes to training rows.

Shapes: N tokens of the table, n tokens of a row.

A row is a sequence of ids exactly as the model saw and sampled them. Calls of an episode are merged
into one row where a call's ids go on from those of the call before it (its prompt begins with that
call's prompt and answer), so a growing conversation is one row, and a window is one row per turn. A
sampled token stands in exactly one row as a token that may train.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from arena.core.errors import UsageError
from arena.trainers._episodes import by_player
from arena.trainers._table import DEMONSTRATOR, ENVIRONMENT, POLICY, PRODUCERS

if TYPE_CHECKING:
    from arena.core.episode import Episode
    from arena.trainers._table import TurnTable

NOWHERE = -1
"""In `Row.source`: the token stands for no token of the table that could train."""


@dataclass(frozen=True, eq=False)
class Row:
    """One training sequence.

    Attributes:
        ids: token ids (n).
        producer: index into `PRODUCERS` of who produced each token (n).
        logprob: the sampler's log-probability, NaN where there is none (n).
        source: place among the flat tokens of the `TurnTable` of the same episodes; `NOWHERE` on tokens
            that nobody sampled here (n).
        episode: number of the episode.
        turns: index of the first and of the last turn.
        versions: the policy versions that sampled it.
    """

    ids: NDArray[np.int64]
    producer: NDArray[np.uint8]
    logprob: NDArray[np.float64]
    source: NDArray[np.int64]
    episode: int
    turns: tuple[int, int]
    versions: frozenset[str]

    def __len__(self) -> int:
        return len(self.ids)

    def trains(self, producers: Sequence[int] = (POLICY,)) -> NDArray[np.bool_]:
        """Where the tokens of these producers are; never the first token, which nothing comes before (n)."""
        wanted = np.zeros(len(PRODUCERS), bool)
        wanted[list(producers)] = True
        chosen = wanted[self.producer]
        chosen[:1] = False
        return chosen


def rows_of(episodes: Iterable[Episode]) -> list[Row]:
    """The training rows of episodes whose calls carry token ids, in order.

    `source` follows the order in which `TurnTable.from_episodes` lists the tokens: by episode, player
    and turn, each chosen call's new prompt ids and then its answer.

    Raises:
        UsageError: an answer came through chat completions, whose server turns the messages into ids itself.
    """
    rows: list[Row] = []
    place = 0
    for number, episode in enumerate(episodes):
        written = [(call.prompt_ids, call.token_ids) for call in episode.calls]
        for turns in by_player(episode).values():
            writer = RowWriter(number)
            for turn in turns:
                for call in turn.calls:
                    if call.role != "chosen" or call.error is not None:
                        continue
                    if call.prompt_ids is None or call.token_ids is None:
                        continue
                    if call.server_rendered:
                        raise UsageError(
                            f"{call.model} was asked through chat completions, where earlier answers enter the prompt "
                            "as other tokens than were sampled: such episodes serve evaluation. Sample with "
                            "tokens:NAME@URL, or imitate them (arena train bc --data RUN)."
                        )
                    place += len(call.prompt_ids.new)
                    writer.add(
                        turn.index,
                        call.prompt_ids.written_out(written),
                        call.token_ids,
                        logprobs=call.logprobs,
                        producer=DEMONSTRATOR if turn.forced else POLICY,
                        version=call.policy_version or "",
                        place=place,
                    )
                    place += len(call.token_ids)
            rows += writer.rows()
    return rows


def scored_rows(episodes: Sequence[Episode], table: TurnTable | None) -> list[Row]:
    """The rows of the episodes that came to an outcome, and that a table of their turns has not left out.

    Raises:
        UsageError: they carry no ids.
    """
    counts = {number for number, episode in enumerate(episodes) if episode.outcome.scored}
    if table is not None:
        counts &= set(table.episode[table.scored].tolist())
    rows = [row for row in rows_of(episodes) if row.episode in counts]
    if not any(len(row) for row in rows):
        raise UsageError("The episodes carry no token ids, so there is nothing to train on: use a local model.")
    return rows


class RowWriter:
    """Writes the calls of one player of one episode, in order, into as few rows as their ids allow."""

    def __init__(self, episode: int) -> None:
        self._episode = episode
        self._done: list[Row] = []
        self._begin(0)

    def add(
        self,
        turn: int,
        prompt: Sequence[int],
        answer: Sequence[int],
        *,
        logprobs: Sequence[float] | None = None,
        producer: int = DEMONSTRATOR,
        version: str = "",
        place: int | None = None,
    ) -> None:
        """A call: `place` is where its answer begins among the table's tokens, None where it is not in one."""
        known = len(self._ids)
        if list(prompt[:known]) != self._ids:
            self._end()
            self._begin(turn)
            known = 0
        new, n = prompt[known:], len(answer)
        if not self._ids:
            self._first = turn
        self._ids += [*new, *answer]
        self._producer += [ENVIRONMENT] * len(new) + [producer] * n
        self._logprob += [np.nan] * len(new) + list(logprobs or [np.nan] * n)
        self._source += [NOWHERE] * len(new) + (list(range(place, place + n)) if place is not None else [NOWHERE] * n)
        self._last = turn
        self._versions.add(version)

    def rows(self) -> list[Row]:
        """The rows so far."""
        self._end()
        return self._done

    def _begin(self, turn: int) -> None:
        self._ids: list[int] = []
        self._producer: list[int] = []
        self._logprob: list[float] = []
        self._source: list[int] = []
        self._first = self._last = turn
        self._versions: set[str] = set()

    def _end(self) -> None:
        if not self._ids:
            return
        row = Row(
            np.array(self._ids, np.int64),
            np.array(self._producer, np.uint8),
            np.array(self._logprob, np.float64),
            np.array(self._source, np.int64),
            self._episode,
            (self._first, self._last),
            frozenset(self._versions),
        )
        self._done.append(row)
        self._begin(self._last)


__all__ = ["NOWHERE", "Row", "RowWriter", "rows_of", "scored_rows"]
