"""Run an agent on a suite: resolve, run what is missing, summarise."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from arena.agents import build as build_agent
from arena.agents.models import build as build_model
from arena.core.agent import Agent
from arena.core.episode import Episode
from arena.core.model import Model
from arena.core.task import Suite
from arena.evaluation.config import EvalConfig, versions
from arena.evaluation.progress import Progress
from arena.evaluation.summary import Summary, summarise
from arena.records import Run, RunWriter, create_run, open_run, resume_run
from arena.rollout import Engine, Job, RecordedModel

T = TypeVar("T")

COMPARED = ("suite", "agents", "identity", "versions", "settings")
"""The tables of run.toml that must be the same for a run to be resumed."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A finished (or stopped) evaluation.

    Attributes:
        folder: the run folder.
        summary: what it came to.
        complete: whether every episode asked for has been run.
    """

    folder: Path
    summary: Summary
    complete: bool

    @property
    def run(self) -> Run:
        """The run, to read its episodes."""
        return open_run(self.folder)

    def __repr__(self) -> str:
        return self.summary.text()


def evaluate(
    target: str,
    agent: str | Agent = "random",
    model: str | Model | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Evaluation:
    """Evaluate an agent, from a script or a notebook.

    Args:
        target: a suite (name or file) or an environment id.
        agent: agent spec, or an agent.
        model: model spec, or a model, where the agent needs one.
        out: the run folder to write; `runs/<time>-<target>-<agent>` unless told.
        resume: a run folder to complete instead.
        on_progress: called after every episode.
        options: further fields of `EvalConfig`.

    Raises:
        UsageError, MissingPrerequisite: it cannot run as asked.
        RunLocked: another process is writing to the run.
        ResumeRefused: what is to be resumed was configured otherwise.
    """
    specs = {"agent": agent if isinstance(agent, str) else agent.spec}
    specs |= {} if model is None else {"model": model if isinstance(model, str) else model.spec}
    config = EvalConfig.read({"target": target, **specs, **options})
    made = Made(None if isinstance(agent, str) else agent, None if isinstance(model, str) else model)
    return in_any_thread(evaluate_async(config, out=out, resume=resume, on_progress=on_progress, made=made))


@dataclass(frozen=True, slots=True)
class Made:
    """An agent or a model made by the caller, to be used instead of building it from its spec."""

    agent: Agent | None = None
    model: Model | None = None


async def evaluate_async(
    config: EvalConfig,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_engine: Callable[[Engine], None] | None = None,
    made: Made | None = None,
    suite: Suite | None = None,
    jobs: Sequence[Job] | None = None,
) -> Evaluation:
    """As `evaluate`, on the running loop.

    Args:
        config: what to evaluate.
        out: the run folder to write.
        resume: a run folder to complete instead.
        on_progress: called after every episode.
        on_engine: receives the engine, to drain or cancel it.
        made: objects to use instead of building them.
        suite: the tasks, instead of those the configuration names.
        jobs: the episodes, instead of every repeat of every task (branches of a recorded episode).
    """
    suite = suite or config.suite()
    made = made or Made()
    model = made.model or (build_model(config.model) if config.model else None)
    roles = {role: build_model(spec) for role, spec in config.roles.items()}
    try:
        agents = _agents(config, model, made.agent)
        resolved = resolve(config, suite, agents, {**({"model": model} if model else {}), **roles})
        writer = resume_run(Path(resume), resolved, COMPARED) if resume else create_run(_folder(config, out), resolved)
        with writer:
            play = _Play(config, suite, agents, roles, jobs)
            return await _run(play, writer, on_progress, on_engine)
    finally:
        for own in [*([model] if model is not None and made.model is None else []), *roles.values()]:
            await own.aclose()


def resolve(
    config: EvalConfig, suite: Suite, agents: Mapping[str, Agent], models: Mapping[str, Model]
) -> dict[str, Any]:
    """The whole configuration as `run.toml` holds it: enough to run the same again, no keys."""
    settings = {"repeats": config.repeats, "seed": config.seed, "limits": config.model_dump()["limits"]}
    identity: dict[str, Any] = {role: model.traits.identity for role, model in models.items()}
    prompts = {player: prompt for player, agent in agents.items() if (prompt := getattr(agent, "prompt_hash", None))}
    return {
        "format": 1,
        "kind": "eval",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "eval": config.model_dump(exclude_none=True),
        "settings": settings,
        "suite": {
            "name": suite.name,
            "hash": suite.hash,
            "proved": suite.proved,
            "tasks": [task.key for task in suite.tasks],
        },
        "agents": {player: agent.spec for player, agent in agents.items()},
        "identity": {**identity, **({"prompts": prompts} if prompts else {})},
        "versions": versions(suite.envs),
    }


def _agents(config: EvalConfig, model: Model | None, made: Agent | None) -> dict[str, Agent]:
    recorded = RecordedModel(model) if model is not None else None
    agents = {"agent": made or build_agent(config.agent, recorded)}
    for player, spec in config.players.items():
        agents[player] = build_agent(spec, recorded)
    return agents


def _folder(config: EvalConfig, out: str | Path | None) -> Path:
    if out is not None:
        return Path(out)
    time = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    name = Path(config.target).stem if config.target.endswith(".toml") else config.target.rpartition("/")[2]
    stem = f"{time}-{name}-{config.agent.partition(':')[0]}"
    folder, count = Path("runs") / stem, 1
    while folder.exists():
        count += 1
        folder = Path("runs") / f"{stem}-{count}"
    return folder


@dataclass(frozen=True, slots=True)
class _Play:
    """Everything that is to be played."""

    config: EvalConfig
    suite: Suite
    agents: Mapping[str, Agent]
    roles: Mapping[str, Model]
    jobs: Sequence[Job] | None


async def _run(
    play: _Play,
    writer: RunWriter,
    on_progress: Callable[[Progress], None] | None,
    on_engine: Callable[[Engine], None] | None,
) -> Evaluation:
    config, suite, agents = play.config, play.suite, play.agents
    writer.recover()
    reader = open_run(writer.folder)
    before = reader.rows()
    jobs = list(missing(suite, config.repeats, before)) if play.jobs is None else play.jobs
    progress = Progress(asked=len(suite.tasks) * config.repeats, before=before, left=len(jobs))

    def keep_count(episode: Episode) -> None:
        progress.add(episode)
        if on_progress is not None:
            on_progress(progress)

    engine = Engine(
        agents,
        roles=play.roles,
        seed=config.seed,
        limits=config.limits,
        writer=writer,
        concurrency=config.concurrency,
        max_cost=config.max_cost,
        spent=sum(row.cost or 0.0 for row in reader.rows(latest=False)),
        retries=config.retries,
        workers=config.workers,
        snapshots=config.snapshots,
        on_episode=keep_count,
    )
    if on_engine is not None:
        on_engine(engine)
    try:
        await engine.run(jobs)
    finally:
        writer.sync()
        reader.refresh()
        summary = summarise(suite, config.repeats, reader.rows(), reader.rows(latest=False), agents)
        writer.write_summary(summary.to_json())
    asked = {job.key.slot for job in jobs}
    scored = {row.slot for row in reader.rows() if row.outcome.scored}
    return Evaluation(writer.folder, summary, complete=asked <= scored)


def missing(suite: Suite, repeats: int, rows: Any) -> Iterator[Job]:
    """The episodes that are not there or not scored, as next attempts; all tasks once, then all again."""
    attempts = {(row.key.task, row.key.repeat): row for row in rows}
    for repeat in range(repeats):
        for task in suite.tasks:
            row = attempts.get((task.key, repeat))
            if row is None:
                yield Job(task, repeat)
            elif not row.outcome.scored:
                yield Job(task, repeat, attempt=row.key.attempt + 1)


def in_any_thread(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also where a loop is running already (a notebook): then on a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    result: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(asyncio.run(work))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="arena-evaluate")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]
