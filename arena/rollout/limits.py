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
        turn_seconds: wall time of one decision of the agent (waiting for its model included), and of one
            environment step (waiting for a worker not included). An `inline` environment cannot be interrupted.
        reset_seconds: wall time of a reset, and of the grading when a limit ends the episode. A reset that
            takes longer is an environment error.
    """

    tokens: int | None = None
    cost: float | None = None
    seconds: float | None = None
    turn_seconds: float | None = None
    reset_seconds: float | None = 900.0

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


class Budget:
    """US dollars that a run may spend, counted call by call.

    Args:
        dollars: the most it may spend; None for no limit.
        spent: what was spent before, by a run that is resumed.
    """

    def __init__(self, dollars: float | None = None, spent: float = 0.0) -> None:
        self.dollars = dollars
        self.spent = spent

    @property
    def exhausted(self) -> bool:
        """Whether nothing more may be asked for."""
        return self.dollars is not None and self.spent >= self.dollars

    def add(self, cost: float | None, model: str) -> None:
        """Count a call.

        Raises:
            UsageError: there is a budget, and the price of this model is not known.
        """
        if cost is None and self.dollars is not None:
            raise UsageError(
                f"The price of {model} is not known, so the budget of ${self.dollars:g} cannot be kept. Give its price "
                "in a file named by ARENA_PRICES, or drop --max-cost."
            )
        self.spent += cost or 0.0


class BudgetSpent(ArenaError):
    """The run's budget is used up: the episode is cancelled, and can be resumed with a larger one."""
