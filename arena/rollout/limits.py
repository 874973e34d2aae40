"""What an episode and a run may use; each limit is a named reason for truncation."""

from __future__ import annotations

from dataclasses import dataclass

from arena.core.errors import ArenaError, UsageError


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one episode, None for none. The turn limit belongs to the task.

    Attributes:
        tokens: tokens of all its model calls, cached ones included.
        cost: US dollars of its model calls; calls of unknown price do not count.
        seconds: wall time, from the first observation.
        turn_seconds: wall time of one decision of the agent, and of one environment step. An `inline`
            environment cannot be interrupted.
    """

    tokens: int | None = None
    cost: float | None = None
    seconds: float | None = None
    turn_seconds: float | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"The limit {name} must be above 0, not {value}.")


class LimitReached(ArenaError):
    """Ends an episode from inside; `limit` is its name in the record."""

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit
