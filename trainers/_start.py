"""What a training run begins with: the temperature it samples at, its folder, its `run.toml`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.agents import build as build_agent
from arena.core.errors import UsageError
from arena.evaluation.config import versions
from arena.evaluation.evaluate import in_any_thread
from arena.records import RunWriter, join_run, open_run
from arena.rollout import RecordedModel
from arena.trainers._algorithms import algorithm, parts_of
from arena.trainers._config import TrainConfig
from arena.trainers._data import read_data, require_rewards
from arena.trainers._policy import Policy
from arena.trainers._preflight import check_tasks
from arena.trainers._remote import check_sampler
from arena.trainers._tasks import TaskStream, environments, training_tasks
from arena.trainers._trackers import check_tracker

if TYPE_CHECKING:
    from arena.core.agent import Agent
    from arena.core.task import Task
    from arena.trainers._checkpoint import Part
    from arena.trainers._ranks import Ranks


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
    if algorithm(name).ratio and ((top_p or 1.0) < 1 or (top_k or 0) > 0):
        raise UsageError(
            f"{name} compares probabilities, and top_p={top_p} or top_k={top_k} cuts off the distribution that is "
            "sampled from. Put top_p=1,top_k=0 into the agent spec."
        )
    chosen = sampling.temperature if sampling.temperature is not None else defaults.temperature
    if chosen == 0 and not algorithm(name).imitates:
        raise UsageError("At temperature 0 all episodes of a group are alike. Train with temperature=1.")
    return float(chosen or 1.0)


def prepared(config: TrainConfig, ranks: Ranks) -> tuple[Policy, dict[str, Part], list[Task]]:
    """The policy, what the algorithm keeps besides it, and the training tasks, all of them tried.

    Raises:
        UsageError, MissingPrerequisite: what does not fit, and what to do.
    """
    check_tracker(config.tracker)
    pool = training_tasks(config)
    TaskStream(pool, config.curriculum, config.seed)
    if config.data.runs:
        data = read_data(config.data, environments(pool))
        known = algorithm(config.algorithm)
        if known.recorded:
            require_rewards(data.returns, config.algorithm)
            if hasattr(known.module, "check_returns"):
                known.module.check_returns(np.array(data.returns))
    policy = Policy.load(config.model, config.policy, seed=config.seed, ranks=ranks)
    agent = build_agent(config.agent, RecordedModel(policy.model))
    temperature = sampling_temperature(agent, policy, config.algorithm)
    if config.sampler is not None:
        check_sampler(policy, config, agent, temperature)
    imitates = algorithm(config.algorithm).imitates
    in_any_thread(check_tasks(lambda model: build_agent(config.agent, model), policy.model, pool, rewards=not imitates))
    return policy, parts_of(config, policy), pool


def read_run(path: Path) -> tuple[dict[str, Any], TrainConfig]:
    """A run's `run.toml`, and what its training was told.

    Raises:
        UsageError: it is no training run.
    """
    with open_run(path) as run:
        before = dict(run.config)
    if before.get("kind") != "train":
        raise UsageError(f"{path} is no training run; `arena eval --resume` completes an evaluation.")
    return before, TrainConfig.read(before["train"])


def shared_writer(ranks: Ranks, folder: Path, open_it: Callable[[], RunWriter]) -> RunWriter:
    """Rank 0 opens the run and holds its lock; the others join it, each with a shard of its own.

    Raises:
        RankFailed: rank 0 could not open it; there the error itself is raised.
    """
    writer: RunWriter | None = None
    with ranks.together():
        if ranks.first:
            writer = open_it()
    shards = ranks.agreed([writer.shard_beside(number) for number in range(ranks.size)] if writer else [])
    return writer or join_run(folder, shards[ranks.number])


def resolved(config: TrainConfig, agent: Agent, policy: Policy, envs: tuple[str, ...]) -> dict[str, Any]:
    """What `run.toml` holds: enough to run the same again."""
    return {
        "format": 1,
        "kind": "train",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "train": config.model_dump(exclude_none=True),
        "agents": {"agent": agent.spec},
        "identity": {"model": policy.model.traits.identity},
        "versions": versions(envs),
    }


__all__ = ["prepared", "read_run", "resolved", "sampling_temperature", "shared_writer"]
