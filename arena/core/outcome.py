"""How an episode ended: a closed set, so that a failure underneath is never read as a zero."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How an episode ended. The first four are scored, the last three are not."""

    SUCCESS = "success"
    FAILURE = "failure"
    TRUNCATED = "truncated"
    AGENT_ERROR = "agent_error"
    ENVIRONMENT_ERROR = "environment_error"
    INFRASTRUCTURE_ERROR = "infrastructure_error"
    CANCELLED = "cancelled"

    @property
    def scored(self) -> bool:
        """Whether an episode with this outcome enters a mean."""
        return self in _SCORED


_SCORED = frozenset({Outcome.SUCCESS, Outcome.FAILURE, Outcome.TRUNCATED, Outcome.AGENT_ERROR})
