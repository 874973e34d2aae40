"""What the engine demands of environments and agents, and whom it blames."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from pydantic import ValidationError

from arena.core.agent import Action
from arena.core.errors import AgentError, ArenaError, EnvironmentFailure, InfrastructureError
from arena.core.jsondata import plain
from arena.core.messages import Tool
from arena.core.outcome import Outcome

BLAME: dict[type[ArenaError], tuple[Outcome, Any]] = {
    AgentError: (Outcome.AGENT_ERROR, "agent"),
    EnvironmentFailure: (Outcome.ENVIRONMENT_ERROR, "environment"),
    InfrastructureError: (Outcome.INFRASTRUCTURE_ERROR, "infrastructure"),
}

_FIELDS = {"brief", "briefs", "instance", "player", "state_key", "valid", "executed", "error"}
_FIELDS |= {"results", "rewards", "success", "score", "scores", "limit"}


class blaming_agent:  # noqa: N801  (a context manager that reads as a phrase)
    """Turns what an agent's code raises into `AgentError`; Arena's own errors pass."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, ArenaError):
            raise AgentError(f"{type(error).__name__}: {error}") from error


class reading_environment:  # noqa: N801  (a context manager that reads as a phrase)
    """Turns the errors of reading what an environment returned into `EnvironmentFailure`."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ValidationError):
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
            raise EnvironmentFailure(f"What {self._what} returned breaks the contract: {wrong}.") from error
        if isinstance(error, TypeError | ValueError | KeyError | AttributeError | StopIteration):
            raise EnvironmentFailure(
                f"What {self._what} returned breaks the contract: {type(error).__name__}: {error}."
            ) from error


def checked_action(action: Any) -> Action:
    """What `act` returned, if it is an action made of text.

    Raises:
        AgentError: it is something else.
    """
    if not isinstance(action, Action):
        raise AgentError(f"act() returned {type(action).__name__}; it must return an arena.core.agent.Action.")
    if not isinstance(action.text, str) or not all(isinstance(note, str) for note in action.notes):
        raise AgentError(f"An action's text and notes are strings; act() returned {action!r:.200}.")
    return action


def tools_of(brief: Mapping[str, Any]) -> tuple[Tool, ...]:
    """The tools that a brief names."""
    return tuple(Tool.model_validate(tool) for tool in brief.get("tools", ()))


def finite(reward: Any) -> float:
    """A reward as a float; NumPy's numbers too.

    Raises:
        EnvironmentFailure: it is no finite number.
    """
    if not isinstance(reward, Real) or not math.isfinite(reward):
        raise EnvironmentFailure(f"A reward is a finite number, not {reward!r}.")
    return float(reward)


def score_of(info: Mapping[str, Any]) -> float:
    """The score of an end.

    Raises:
        EnvironmentFailure: it does not lie in [0, 1].
    """
    score = info.get("score", 0.0)
    if not isinstance(score, Real) or not 0.0 <= float(score) <= 1.0:
        raise EnvironmentFailure(f"A score lies in [0, 1]; this environment gave {score!r}.")
    return float(score)


def extra_info(info: Mapping[str, Any]) -> dict[str, Any]:
    """The environment's own keys.

    Raises:
        EnvironmentFailure: they are not JSON.
    """
    extra = {key: value for key, value in info.items() if key not in _FIELDS}
    try:
        return plain(extra, "info") if extra else extra
    except ValueError as error:
        raise EnvironmentFailure(f"What info carries must be JSON: {error}.") from error
