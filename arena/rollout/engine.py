"""The one engine: many episodes in flight, each recorded when it ends, stopped without losing any."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import anyio

from arena.core.agent import Agent
from arena.core.episode import Episode
from arena.core.errors import UsageError
from arena.core.model import Model
from arena.core.outcome import Outcome
from arena.core.registry import registration
from arena.rollout.episode import EpisodeRun
from arena.rollout.hosts import open_host
from arena.rollout.jobs import Job, Sink
from arena.rollout.limits import Budget, Limits
from arena.rollout.recorder import RecordedModel
from arena.rollout.workers import WorkerPool


class Writer(Sink, Protocol):
    """Where finished episodes go (`records.RunWriter`)."""

    def append(self, episode: Episode) -> Any:
        """Keep a finished episode."""
        ...


class Engine:
    """Runs jobs with a fixed set of agents.

    Args:
        agents: player -> agent. "agent" stands for the evaluated player (the first one briefed),
            "others" for the players not named.
        roles: role -> model, for environments that ask for models of their own.
        seed: the run's seed; with the task and the repeat it gives each agent's.
        limits: of each episode.
        writer: receives turns and episodes; None keeps nothing.
        concurrency: episodes in flight.
        budget: what the run may spend: when it is used up, no episode is begun and those in flight are
            cancelled at their next request.
        retries: how often an episode that ended as an infrastructure error is tried again.
        workers: worker processes for environments that need them; None for one per core.
        snapshots: keep the environment's state before each turn, where it can be saved.
        on_episode: called with every finished episode.
    """

    def __init__(
        self,
        agents: Mapping[str, Agent],
        *,
        roles: Mapping[str, Model] | None = None,
        seed: int = 0,
        limits: Limits | None = None,
        writer: Writer | None = None,
        concurrency: int = 16,
        budget: Budget | None = None,
        retries: int = 1,
        workers: int | None = None,
        snapshots: bool = False,
        on_episode: Callable[[Episode], None] | None = None,
    ) -> None:
        if concurrency < 1:
            raise UsageError(f"The concurrency must be at least 1, not {concurrency}.")
        self._agents = agents
        self._roles = {role: RecordedModel(model, role) for role, model in (roles or {}).items()}
        self._seed = seed
        self._limits = limits or Limits()
        self._writer = writer
        self._concurrency = concurrency
        self._budget = budget or Budget()
        self._retries = retries
        self._snapshots = snapshots
        self._on_episode = on_episode
        self._pool = WorkerPool(workers)
        self._scope: anyio.CancelScope | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining = False
        self._fatal: Exception | None = None

    async def run(self, jobs: Iterable[Job]) -> None:
        """Run all jobs; returns when each is recorded, or after `drain` or `cancel`.

        Raises:
            UsageError, MissingPrerequisite: what was asked for cannot run. Episodes recorded so far stay.
            InfrastructureError: the record cannot be written.
        """
        queue = iter(jobs)
        self._loop = asyncio.get_running_loop()
        try:
            async with anyio.create_task_group() as group:
                self._scope = group.cancel_scope
                for _ in range(self._concurrency):
                    group.start_soon(self._work, queue)
        finally:
            self._pool.close()
        if self._fatal is not None:
            raise self._fatal

    @property
    def stopped(self) -> bool:
        """Whether it was told to drain or to stop."""
        return self._draining

    def drain(self) -> None:
        """Begin no more episodes; those in flight go on to their end. Callable from a signal handler."""
        self._draining = True

    def cancel(self) -> None:
        """Stop now: episodes in flight are recorded as cancelled. Callable from any thread."""
        self._draining = True
        if self._loop is not None and self._scope is not None:
            self._loop.call_soon_threadsafe(self._scope.cancel)

    async def _work(self, queue: Iterator[Job]) -> None:
        for job in queue:
            if self._draining or self._budget.exhausted:
                return
            await self._finish(job)
            # An episode that never waits must not keep signals and its neighbours waiting.
            await anyio.sleep(0)

    async def _finish(self, job: Job) -> None:
        """One job, tried again where something underneath failed."""
        for extra in range(self._retries + 1):
            episode = await self._once(replace(job, attempt=job.attempt + extra))
            if episode is None or episode.outcome is not Outcome.INFRASTRUCTURE_ERROR or self._draining:
                return

    async def _once(self, job: Job) -> Episode | None:
        known = registration(job.task.env)
        run = EpisodeRun(
            job,
            self._agents,
            run_seed=self._seed,
            limits=self._limits,
            budget=self._budget,
            sink=self._writer,
            env_version=known.id,
            snapshots=self._snapshots,
        )
        try:
            episode = await run.run(open_host(known, job.task, self._pool, self._roles))
        except asyncio.CancelledError:
            self._keep(run.record())
            raise
        except Exception as error:
            # The same would happen to every episode, so the run stops here with the reason.
            self._stop(error)
            return None
        self._keep(episode)
        return episode

    def _keep(self, episode: Episode) -> None:
        try:
            if self._writer is not None:
                self._writer.append(episode)
            if self._on_episode is not None:
                self._on_episode(episode)
        except Exception as error:
            self._stop(error)

    def _stop(self, error: Exception) -> None:
        """End the run with the first error that concerns all of it."""
        self._fatal = self._fatal or error
        self.cancel()
