"""Where a running evaluation stands."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from arena.core.episode import Episode
from arena.core.outcome import Outcome


class Progress:
    """Counts while episodes end.

    Attributes:
        asked: episodes of the whole evaluation.
        done: episodes that are over, those of an earlier session included.
        outcomes: how they ended.
        spent: US dollars; None once a price was unknown.
        tokens: of all model calls.
    """

    def __init__(self, asked: int, before: Iterable[Any] = (), left: int | None = None) -> None:
        self.asked = asked
        self.outcomes: Counter[Outcome] = Counter()
        self.spent: float | None = 0.0
        self.tokens = 0
        self._score = 0.0
        self._scored = 0
        self._begun = time.perf_counter()
        self._here = 0
        for row in before:
            if row.outcome.scored:
                self._count(row.outcome, row.score)
        self.done = asked - left if left is not None else 0

    def add(self, episode: Episode) -> None:
        """An episode is over."""
        self._count(episode.outcome, episode.score)
        self.spent = None if self.spent is None or episode.cost is None else self.spent + episode.cost
        self.tokens += episode.usage.total
        self._here += 1
        self.done = min(self.done + 1, self.asked)

    @property
    def score(self) -> float | None:
        """Mean score so far."""
        return self._score / self._scored if self._scored else None

    @property
    def rate(self) -> float:
        """Episodes per second in this session."""
        return self._here / max(self.seconds, 1e-9)

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

    def _count(self, outcome: Outcome, score: float | None) -> None:
        self.outcomes[outcome] += 1
        if outcome.scored and score is not None:
            self._score += score
            self._scored += 1


def duration(seconds: float) -> str:
    """Seconds as a person writes them: 8 s, 3 min 05 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
