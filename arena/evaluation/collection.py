"""Data sets of a stated mixed quality: train tasks played by several agents, each its share of the episodes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from arena.agents import build as build_agent
from arena.agents.models import build as build_model
from arena.core.agent import Agent
from arena.core.errors import UsageError
from arena.core.seeds import Split, derive
from arena.core.task import Suite
from arena.evaluation.config import PlayConfig, run_folder, versions
from arena.evaluation.evaluate import COMPARED, left
from arena.evaluation.players import model_identity
from arena.evaluation.progress import Progress
from arena.evaluation.statistics import Estimate, estimate_mean
from arena.records import Row, RunWriter, create_run, open_run, resume_run
from arena.rollout import Budget, Engine, Job, RecordedModel

_SHARED = re.compile(r"(?P<spec>.+):(?P<share>[0-9.]+)", re.DOTALL)


class CollectConfig(PlayConfig):
    """A collection, as `arena collect` takes it from its options, a `-c` file and `--set`."""

    noun: ClassVar[str] = "collection"
    split: Split = "train"
    """Which tasks, when the target is an environment."""
    agents: dict[str, float]
    """Agent specs and the shares of the episodes that each plays."""
    episodes: int = Field(default=1000, ge=1)
    """How many episodes; each on a task of its own, unless `tasks` says that there are fewer."""

    def suite(self) -> Suite:
        """The tasks that are played, the first ones once more than the last where it does not come out even."""
        every = self.model_copy(update={"tasks": self.tasks or self.episodes})
        return super(CollectConfig, every).suite()


def read_shares(text: str) -> dict[str, float]:
    """`oracle:0.4,chat:window=2,max_tokens=8:0.6` as a table of specs and shares; one spec alone has them all.

    Raises:
        UsageError: a share is missing, or they do not add up to 1.
    """
    shares: dict[str, float] = {}
    spec: list[str] = []
    for piece in text.split(","):
        found = _SHARED.fullmatch(piece)
        spec.append(found["spec"] if found else piece)
        if found:
            shares[",".join(spec)] = float(found["share"])
            spec = []
    if not shares:
        return {text: 1.0}
    if spec:
        raise UsageError(
            f"The agent {','.join(spec)!r} has no share: write AGENT:SHARE, such as oracle:0.4,random:0.6."
        )
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise UsageError(f"The shares {', '.join(f'{share:g}' for share in shares.values())} do not add up to 1.")
    return shares


@dataclass(frozen=True, slots=True)
class Quality:
    """How good the episodes of one agent are.

    Attributes:
        agent: its spec.
        asked, scored: episodes.
        success, reward: means over the scored ones.
        turns: their turns in all.
    """

    agent: str
    asked: int
    scored: int
    success: Estimate
    reward: Estimate
    turns: int

    def to_json(self) -> dict[str, Any]:
        """As `summary.json` holds it."""
        return {
            "agent": self.agent,
            "asked": self.asked,
            "scored": self.scored,
            "success": self.success.to_json(),
            "return": self.reward.to_json(),
            "turns": self.turns,
        }


@dataclass(frozen=True, slots=True)
class Collection:
    """A finished (or stopped) collection.

    Attributes:
        folder: the run folder.
        qualities: of each agent, then of all together.
        complete: whether every episode is there and scored.
    """

    folder: Path
    qualities: Sequence[Quality]
    complete: bool


async def collect_async(
    config: CollectConfig,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_engine: Callable[[Engine], None] | None = None,
) -> Collection:
    """Play the episodes of a collection, or those that a stopped one lacks.

    Args:
        config: what to play.
        out: the run folder to write; `runs/<time>-collect-<target>` unless told.
        resume: a run folder to complete instead.
        on_progress: called before the first episode and after every one.
        on_engine: receives each agent's engine, to drain or cancel it.

    Raises:
        UsageError, MissingPrerequisite: it cannot run as asked.
        ResumeRefused: what is to be resumed was configured otherwise.
    """
    suite = config.suite()
    async with AsyncExitStack() as stack:
        model, roles = None, {}
        if config.model is not None:
            model = RecordedModel(build_model(config.model))
            stack.push_async_callback(model.aclose)
        for role, spec in config.roles.items():
            roles[role] = build_model(spec)
            stack.push_async_callback(roles[role].aclose)
        agents = {spec: build_agent(spec, model) for spec in config.agents}
        others = {player: build_agent(spec, model) for player, spec in config.players.items()}
        identity = {} if model is None else {"model": model_identity(model)}
        resolved = _resolved(config, suite, agents, identity)
        if resume:
            writer = resume_run(Path(resume), resolved, COMPARED)
        else:
            writer = create_run(run_folder(out, config.target, before="collect"), resolved)
        with writer:
            plays = _Plays(config, suite, agents, others, roles)
            return await _run(plays, writer, on_progress, on_engine)


def jobs_by_agent(config: CollectConfig, suite: Suite) -> dict[str, list[Job]]:
    """Which agent plays which episode: exact shares, and no agent has tasks of a kind of its own."""
    specs = list(config.agents)
    bounds = np.rint(np.cumsum([0.0, *config.agents.values()]) * config.episodes).astype(int)
    player = np.repeat(np.arange(len(specs)), np.diff(bounds))
    player = np.random.default_rng(derive(config.seed, "collect")).permutation(player)
    tasks = suite.tasks
    jobs: dict[str, list[Job]] = {spec: [] for spec in specs}
    for place, who in enumerate(player.tolist()):
        jobs[specs[who]].append(Job(tasks[place % len(tasks)], place // len(tasks)))
    return jobs


@dataclass(frozen=True, slots=True)
class _Plays:
    """Everything that is to be played, and by whom."""

    config: CollectConfig
    suite: Suite
    agents: Mapping[str, Agent]
    others: Mapping[str, Agent]
    roles: Mapping[str, Any]


async def _run(
    plays: _Plays,
    writer: RunWriter,
    on_progress: Callable[[Progress], None] | None,
    on_engine: Callable[[Engine], None] | None,
) -> Collection:
    config, shares = plays.config, jobs_by_agent(plays.config, plays.suite)
    writer.recover()
    reader = open_run(writer.folder)
    known, earlier = reader.rows(), reader.rows(latest=False)
    lacking = {spec: list(left(known, jobs)) for spec, jobs in shares.items()}
    progress = Progress(config.episodes, earlier, sum(map(len, lacking.values())))

    def count(episode: Any) -> None:
        progress.add(episode)
        if on_progress is not None:
            on_progress(progress)

    budget = Budget(config.max_cost, spent=sum(row.cost or 0.0 for row in earlier))
    if on_progress is not None:
        on_progress(progress)
    try:
        for spec, jobs in lacking.items():
            engine = Engine(
                {"agent": plays.agents[spec], **plays.others},
                roles=plays.roles,
                seed=config.seed,
                limits=config.limits,
                writer=writer,
                concurrency=config.concurrency,
                budget=budget,
                retries=config.retries,
                workers=config.workers,
                on_episode=count,
            )
            if on_engine is not None:
                on_engine(engine)
            await engine.run(jobs)
            if engine.stopped:
                break
    finally:
        writer.sync()
        reader.refresh()
        found = {row.slot: row for row in reader.rows()}
        qualities = [_quality(spec, jobs, found) for spec, jobs in shares.items()]
        qualities.append(_quality("all", [job for jobs in shares.values() for job in jobs], found))
        writer.write_summary({"format": 1, "kind": "collect", "agents": [one.to_json() for one in qualities]})
    return Collection(writer.folder, qualities, qualities[-1].scored == config.episodes)


def _quality(name: str, jobs: Sequence[Job], found: Mapping[tuple[str, int, int], Row]) -> Quality:
    rows = [row for job in jobs if (row := found.get(job.key.slot)) is not None and row.outcome.scored]
    success: dict[str, list[float]] = {}
    reward: dict[str, list[float]] = {}
    for row in rows:
        success.setdefault(row.task, []).append(float(bool(row.success)))
        reward.setdefault(row.task, []).append(row.reward)
    turns = sum(row.turns for row in rows)
    return Quality(name, len(jobs), len(rows), estimate_mean(success), estimate_mean(reward, bounds=None), turns)


def _resolved(
    config: CollectConfig, suite: Suite, agents: Mapping[str, Agent], identity: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "format": 1,
        "kind": "collect",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "collect": config.model_dump(exclude_none=True),
        "settings": {"episodes": config.episodes, "seed": config.seed, "shares": list(config.agents.values())},
        "suite": {"name": suite.name, "hash": suite.hash, "proved": suite.proved},
        "agents": {str(number): agent.spec for number, agent in enumerate(agents.values())},
        "identity": dict(identity),
        "versions": versions(suite.envs),
    }


__all__ = ["CollectConfig", "Collection", "Quality", "collect_async", "jobs_by_agent", "read_shares"]
