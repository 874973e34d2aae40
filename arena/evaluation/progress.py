"""Where a running evaluation stands."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from arena.core.episode import Episode
from arena.core.outcome import Outcome
from arena.records import Row

_Slot = tuple[str, int, int]
"""Task key, repeat and step: an episode without its attempt."""


class Progress:
    """Counts while episodes end. An episode that is tried again stays one episode, and its newest attempt counts.

    Args:
        asked: episodes of the whole evaluation.
        before: every attempt of earlier sessions, the newest of an episode last.
        left: episodes that this session is to play; all of them unless told.

    Attributes:
        asked: episodes of the whole evaluation.
        outcomes: how they ended.
        spent: US dollars of all attempts, those of earlier sessions included; None once a price was unknown.
        tokens: of their model calls.
    """

    def __init__(self, asked: int, before: Iterable[Row] = (), left: int | None = None) -> None:
        self.asked = asked
        self.outcomes: Counter[Outcome] = Counter()
        self.spent: float | None = 0.0
        self.tokens = 0
        self._score = 0.0
        self._scored = 0
        self._begun = time.perf_counter()
        self._left = asked if left is None else left
        self._newest: dict[_Slot, tuple[Outcome, float | None]] = {}
        self._here: set[_Slot] = set()
        for row in before:
            self._pay(row.cost, row.tokens)
            self._count(row.slot, row.outcome, row.score)
        # Those that were not scored are played again: until then they are neither done nor lost.
        for slot in [slot for slot, (outcome, _) in self._newest.items() if not outcome.scored]:
            self._forget(slot)

    def add(self, episode: Episode) -> None:
        """An attempt is over."""
        key = episode.key
        slot = (key.task, key.repeat, key.step)
        self._here.add(slot)
        self._pay(episode.cost, episode.usage.total)
        self._count(slot, episode.outcome, episode.score)

    @property
    def done(self) -> int:
        """Episodes that are over, those of earlier sessions included."""
        return min(self.asked - self._left + len(self._here), self.asked)

    @property
    def score(self) -> float | None:
        """Mean score so far."""
        return self._score / self._scored if self._scored else None

    @property
    def rate(self) -> float:
        """Episodes per second in this session."""
        return len(self._here) / max(self.seconds, 1e-9)

    @property
    def seconds(self) -> float:
        """Wall time of this session so far."""
        return time.perf_counter() - self._begun

    @property
    def remaining(self) -> float | None:
        """Seconds to go at this rate."""
        return (self.asked - self.done) / self.rate if self._here else None

    def line(self) -> str:
        """All of it in one line."""
        score = "–" if self.score is None else f"{self.score:.3f}"
        eta = "–" if self.remaining is None else duration(self.remaining)
        spent = "?" if self.spent is None else f"${self.spent:.2f}"
        lost = sum(count for outcome, count in self.outcomes.items() if not outcome.scored)
        left = f"{eta} left" if self.done < self.asked else f"done in {duration(self.seconds)}"
        text = f"{self.done}/{self.asked} episodes · score {score} · {self.rate:.1f}/s · {left} · {spent}"
        return f"{text} · {lost} not scored" if lost else text

    def _pay(self, cost: float | None, tokens: int) -> None:
        self.spent = None if self.spent is None or cost is None else self.spent + cost
        self.tokens += tokens

    def _count(self, slot: _Slot, outcome: Outcome, score: float | None) -> None:
        self._forget(slot)
        self._newest[slot] = (outcome, score)
        self._weigh(outcome, score, 1)

    def _forget(self, slot: _Slot) -> None:
        if slot in self._newest:
            self._weigh(*self._newest.pop(slot), -1)

    def _weigh(self, outcome: Outcome, score: float | None, count: int) -> None:
        self.outcomes[outcome] += count
        if outcome.scored and score is not None:
            self._score += count * score
            self._scored += count


def duration(seconds: float) -> str:
    """Seconds as a person writes them: 8 s, 3 min 05 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
