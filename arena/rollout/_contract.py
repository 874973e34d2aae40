"""What the engine demands of environments and agents, and whom it blames."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from arena.core.errors import AgentError, ArenaError, EnvironmentFailure, InfrastructureError
from arena.core.jsondata import plain
from arena.core.outcome import Outcome

BLAME: dict[type[ArenaError], tuple[Outcome, Any]] = {
    AgentError: (Outcome.AGENT_ERROR, "agent"),
    EnvironmentFailure: (Outcome.ENVIRONMENT_ERROR, "environment"),
    InfrastructureError: (Outcome.INFRASTRUCTURE_ERROR, "infrastructure"),
}

_FIELDS = {"brief", "briefs", "instance", "player", "state_key", "valid", "executed", "error"}
_FIELDS |= {"results", "rewards", "success", "score", "scores", "limit"}


class blaming_agent:  # noqa: N801  (a context manager that reads as a phrase)
    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, ArenaError):
            raise AgentError(f"{type(error).__name__}: {error}") from error


def finite(reward: Any) -> float:
    if not isinstance(reward, int | float) or not math.isfinite(reward):
        raise EnvironmentFailure(f"A reward is a finite number, not {reward!r}.")
    return float(reward)


def score_of(info: Mapping[str, Any]) -> float:
    score = info.get("score", 0.0)
    if not isinstance(score, int | float) or not 0.0 <= score <= 1.0:
        raise EnvironmentFailure(f"A score lies in [0, 1]; this environment gave {score!r}.")
    return float(score)


def extra_info(info: Mapping[str, Any]) -> dict[str, Any]:
    """The environment's own keys; they must be JSON."""
    extra = {key: value for key, value in info.items() if key not in _FIELDS}
    try:
        return plain(extra, "info") if extra else extra
    except ValueError as error:
        raise EnvironmentFailure(f"What info carries must be JSON: {error}.") from error
