"""Run an agent on a suite: resolve, run what is missing, summarise."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from arena.core.agent import Agent
from arena.core.episode import Episode
from arena.core.model import Model
from arena.core.task import Suite
from arena.evaluation.config import EvalConfig, run_folder, versions
from arena.evaluation.players import Made, Players, players
from arena.evaluation.progress import Progress
from arena.evaluation.summary import Summary, summarise
from arena.records import Row, Run, RunWriter, create_run, open_run, resume_run, withdrawn_if_refused
from arena.rollout import Budget, Engine, Job, model_of

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
        agent: agent spec, or an agent. One that was made with a model is evaluated with it.
        model: model spec, or a model, where the agent needs one.
        out: the run folder to write; `runs/<time>-<target>-<agent>` unless told.
        resume: a run folder to complete instead.
        on_progress: called before the first episode and after every one.
        options: further fields of `EvalConfig`.

    Raises:
        UsageError, MissingPrerequisite: it cannot run as asked; an agent has a model already, and another is given.
        RunLocked: another process is writing to the run.
        ResumeRefused: what is to be resumed was configured otherwise.
    """
    made = Made(None if isinstance(agent, str) else agent, None if isinstance(model, str) else model)
    asked = model if model is not None else model_of(made.agent)
    specs = {"agent": agent if isinstance(agent, str) else agent.spec}
    specs |= {} if asked is None else {"model": asked if isinstance(asked, str) else asked.spec}
    config = EvalConfig.read({"target": target, **specs, **options})
    return in_any_thread(evaluate_async(config, out=out, resume=resume, on_progress=on_progress, made=made))


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
        on_progress: called before the first episode and after every one.
        on_engine: receives the engine, to drain or cancel it.
        made: objects to use instead of building them.
        suite: the tasks, instead of those the configuration names.
        jobs: the episodes, instead of every repeat of every task (branches of a recorded episode).
    """
    suite = suite or config.suite()
    async with players(config, made or Made()) as those:
        resolved, play = resolve(config, suite, those), _Play(config, suite, those, jobs)
        if resume:
            with resume_run(Path(resume), resolved, COMPARED) as writer:
                return await _run(play, writer, on_progress, on_engine)
        folder = run_folder(out, config.target, after=config.agent.partition(":")[0])
        with withdrawn_if_refused(folder), create_run(folder, resolved) as writer:
            return await _run(play, writer, on_progress, on_engine)


def resolve(config: EvalConfig, suite: Suite, those: Players) -> dict[str, Any]:
    """The whole configuration as `run.toml` holds it: enough to run the same again, no keys."""
    settings = {"repeats": config.repeats, "seed": config.seed, "limits": config.model_dump()["limits"]}
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
        "agents": {player: agent.spec for player, agent in those.agents.items()},
        "identity": those.identity(),
        "versions": versions(suite.envs),
    }


@dataclass(frozen=True, slots=True)
class _Play:
    """Everything that is to be played."""

    config: EvalConfig
    suite: Suite
    players: Players
    jobs: Sequence[Job] | None

    @property
    def asked(self) -> int:
        """Episodes of the whole evaluation."""
        return len(self.suite.tasks) * self.config.repeats


async def _run(
    play: _Play,
    writer: RunWriter,
    on_progress: Callable[[Progress], None] | None,
    on_engine: Callable[[Engine], None] | None,
) -> Evaluation:
    writer.recover()
    reader = open_run(writer.folder)
    jobs = list(missing(play.suite, play.config.repeats, reader.rows())) if play.jobs is None else play.jobs
    earlier = reader.rows(latest=False)
    progress = Progress(play.asked, earlier, len(jobs))
    engine = _engine(play, writer, earlier, _counting(progress, on_progress))
    if on_engine is not None:
        on_engine(engine)
    if on_progress is not None:
        on_progress(progress)
    try:
        await engine.run(jobs)
    finally:
        writer.sync()
        reader.refresh()
        rows, attempts = reader.rows(), reader.rows(latest=False)
        summary = summarise(play.suite, play.config.repeats, rows, attempts, play.players.agents)
        writer.write_summary(summary.to_json())
    asked = {job.key.slot for job in jobs}
    scored = {row.slot for row in rows if row.outcome.scored}
    return Evaluation(writer.folder, summary, complete=asked <= scored)


def _engine(play: _Play, writer: RunWriter, earlier: Sequence[Row], on_episode: Callable[[Episode], None]) -> Engine:
    config = play.config
    return Engine(
        play.players.agents,
        roles=play.players.roles,
        seed=config.seed,
        limits=config.limits,
        writer=writer,
        concurrency=config.concurrency,
        budget=Budget(config.max_cost, spent=sum(row.cost or 0.0 for row in earlier)),
        retries=config.retries,
        workers=config.workers,
        snapshots=config.snapshots,
        on_episode=on_episode,
    )


def _counting(progress: Progress, tell: Callable[[Progress], None] | None) -> Callable[[Episode], None]:
    def count(episode: Episode) -> None:
        progress.add(episode)
        if tell is not None:
            tell(progress)

    return count


def missing(suite: Suite, repeats: int, rows: Iterable[Row]) -> Iterator[Job]:
    """The episodes that are not there or not scored, as next attempts; all tasks once, then all again."""
    return left(rows, (Job(task, repeat) for repeat in range(repeats) for task in suite.tasks))


def left(rows: Iterable[Row], jobs: Iterable[Job]) -> Iterator[Job]:
    """Those of the jobs that are not there or not scored, as next attempts."""
    newest = {row.slot: row for row in rows}
    for job in jobs:
        row = newest.get(job.key.slot)
        if row is None:
            yield job
        elif not row.outcome.scored:
            yield Job(job.task, job.repeat, attempt=row.attempt + 1)


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
