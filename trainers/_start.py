"""What a training run begins with: the temperature it samples at, its folder, its `run.toml`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.core.errors import UsageError
from arena.evaluation.config import versions

if TYPE_CHECKING:
    from arena.core.agent import Agent
    from arena.trainers._config import TrainConfig
    from arena.trainers._policy import Policy


def sampling_temperature(agent: Agent, policy: Policy, name: str) -> float:
    """The temperature that episodes are sampled at.

    Raises:
        UsageError: the agent asks no model, or cuts the distribution off, so that its log-probabilities
            are not the policy's.
    """
    sampling = getattr(agent, "sampling", None)
    if sampling is None:
        raise UsageError(f"The agent {agent.spec} asks no model, so there is nothing to train. Use chat or react.")
    defaults = policy.network.generation_config
    top_p = sampling.top_p if sampling.top_p is not None else defaults.top_p
    top_k = sampling.top_k if sampling.top_k is not None else defaults.top_k
    if name not in ("bc", "reinforce") and ((top_p or 1.0) < 1 or (top_k or 0) > 0):
        raise UsageError(
            f"{name} compares probabilities, and top_p={top_p} or top_k={top_k} cuts off the distribution that is "
            "sampled from. Put top_p=1,top_k=0 into the agent spec."
        )
    chosen = sampling.temperature if sampling.temperature is not None else defaults.temperature
    if chosen == 0 and name != "bc":
        raise UsageError("At temperature 0 all episodes of a group are alike. Train with temperature=1.")
    return float(chosen or 1.0)


def run_folder(config: TrainConfig, out: str | Path | None) -> Path:
    """The folder asked for, else one named by time, algorithm and environment."""
    if out is not None:
        return Path(out)
    name = config.env.rpartition("/")[2]
    return Path("runs") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{config.algorithm}-{name}"


def resolved(config: TrainConfig, agent: Agent, policy: Policy) -> dict[str, Any]:
    """What `run.toml` holds: enough to run the same again."""
    return {
        "format": 1,
        "kind": "train",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "train": config.model_dump(exclude_none=True),
        "agents": {"agent": agent.spec},
        "identity": {"model": policy.model.traits.identity},
        "versions": versions((config.env,)),
    }


__all__ = ["resolved", "run_folder", "sampling_temperature"]
