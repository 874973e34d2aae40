"""`arena eval`: run an agent on a suite or an environment."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from arena.cli._console import console, notice, print_json


def command(
    target: Annotated[str | None, typer.Argument(help="Suite (name or .toml file) or environment id.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", "-a", help="Agent spec, such as chat:window=4.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model spec, such as openai:qwen3@URL.")] = None,
    player: Annotated[list[str] | None, typer.Option(help="NAME=AGENT for another player of the game.")] = None,
    repeats: Annotated[int | None, typer.Option("--repeats", "-k", help="Episodes of each task.")] = None,
    tasks: Annotated[int | None, typer.Option("--tasks", "-n", help="How many tasks.")] = None,
    limit: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE: turns, tokens, cost, seconds, turn_seconds.")
    ] = None,
    max_cost: Annotated[float | None, typer.Option(help="US dollars after which the run stops.")] = None,
    concurrency: Annotated[int | None, typer.Option("--concurrency", "-j", help="Episodes in flight.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Options from a .toml file (a run.toml too).")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, nested as a.b=c.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder to write.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Run folder to complete.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and stop.")] = False,
    min_score: Annotated[float | None, typer.Option(help="Exit with 1 if the score is lower.")] = None,
    min_coverage: Annotated[float | None, typer.Option(help="Exit with 1 if less is scored.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> int:
    """Evaluate an agent on a suite of tasks.

    Example: arena eval text-small --agent chat --model openai:qwen3@http://localhost:8000/v1
    """
    from arena.evaluation.config import EvalConfig, read_file, with_settings

    values: dict[str, Any] = {}
    if resume is not None:
        values |= read_file(resume / "run.toml")
    if config is not None:
        values |= read_file(config)
    given = {
        "target": target,
        "agent": agent,
        "model": model,
        "repeats": repeats,
        "tasks": tasks,
        "max_cost": max_cost,
        "concurrency": concurrency,
        "seed": seed,
    }
    values |= {key: value for key, value in given.items() if value is not None}
    if player:
        values["players"] = {
            **values.get("players", {"others": "random"}),
            **dict(_pair(entry, "--player") for entry in player),
        }
    values = with_settings(values, [*(_limit(entry) for entry in limit or ()), *(settings or ())])
    if "target" not in values:
        raise typer.BadParameter("Name a suite or an environment; `arena list` shows them.")
    configuration = EvalConfig.read(values)
    if dry_run:
        return _dry_run(configuration, as_json)
    return _evaluate(configuration, out, resume, min_score, min_coverage, as_json)


def _evaluate(
    config: Any,
    out: Path | None,
    resume: Path | None,
    min_score: float | None,
    min_coverage: float | None,
    as_json: bool,
) -> int:
    from arena.evaluation import evaluate_async
    from arena.evaluation.report import pass_table, table

    with ProgressLine() as line:

        async def run() -> Any:
            return await evaluate_async(
                config, out=out, resume=resume, on_progress=line.show, on_engine=interruptible(line)
            )

        evaluation = asyncio.run(run())
    summary = evaluation.summary
    if as_json:
        print_json({"run": str(evaluation.folder), "complete": evaluation.complete, **summary.to_json()})
    else:
        terminal = console()
        terminal.print(table(summary))
        if (passes := pass_table(summary)) is not None:
            terminal.print(passes)
        for warning in summary.warnings:
            terminal.print(f"! {warning}", markup=False)
        _next(evaluation, line.interrupted)
    if line.interrupted:
        return 130
    score = summary.overall.score.mean
    below_score = min_score is not None and not score >= min_score
    below_coverage = min_coverage is not None and summary.overall.coverage < min_coverage
    if below_score:
        notice(f"The score {score:.3f} is below --min-score {min_score}.")
    if below_coverage:
        notice(f"The coverage {summary.overall.coverage:.3f} is below --min-coverage {min_coverage}.")
    return 1 if below_score or below_coverage else 0


def _next(evaluation: Any, interrupted: bool) -> None:
    folder = evaluation.folder
    print_line = console().print
    if not evaluation.complete:
        print_line(f"\ncomplete it    arena eval --resume {folder}", markup=False)
        if interrupted:
            return
    print_line(f"\nread it        arena replay {folder}", markup=False)
    print_line(f"run it again   arena replay {folder} --execute", markup=False)
    print_line(f"compare        arena compare {folder} OTHER", markup=False)


def _dry_run(config: Any, as_json: bool) -> int:
    suite = config.suite()
    counts = {env: sum(task.env == env for task in suite.tasks) for env in suite.envs}
    plan = {
        "suite": suite.name,
        "hash": suite.hash,
        "proved": suite.proved,
        "agent": config.agent,
        "model": config.model,
        "episodes": len(suite.tasks) * config.repeats,
        "tasks": counts,
    }
    if as_json:
        print_json(plan)
        return 0
    for key, value in plan.items():
        console().print(f"{key:<10} {value}", markup=False)
    return 0


def _pair(entry: str, option: str) -> tuple[str, str]:
    name, equals, value = entry.partition("=")
    if not equals or not name or not value:
        raise typer.BadParameter(f"{option} takes NAME=VALUE, not {entry!r}.")
    return name, value


def _limit(entry: str) -> str:
    name, value = _pair(entry, "--limit")
    return f"max_turns={value}" if name == "turns" else f"limits.{name}={value}"


class ProgressLine:
    """Progress on standard error: one line rewritten on a terminal, a plain line now and then elsewhere."""

    def __init__(self, every: float = 10.0) -> None:
        self._terminal = sys.stderr.isatty()
        self._every = 0.1 if self._terminal else every
        self._last = time.monotonic() if not self._terminal else 0.0
        self._shown = False
        self.interrupted = False

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *error: object) -> None:
        if self._terminal and self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def show(self, progress: Any) -> None:
        """Called after every episode."""
        now = time.monotonic()
        if now - self._last < self._every and progress.done < progress.asked:
            return
        self._last, self._shown = now, True
        sys.stderr.write(f"\r\033[K{progress.line()}" if self._terminal else f"{progress.line()}\n")
        sys.stderr.flush()


def interruptible(line: ProgressLine) -> Any:
    """Ctrl-C once lets the episodes in flight end, twice stops them."""

    def watch(engine: Any) -> None:
        def interrupt() -> None:
            if line.interrupted:
                engine.cancel()
                return
            line.interrupted = True
            notice("\nInterrupted: the episodes in flight go on to their end. Ctrl-C again stops them.")
            engine.drain()

        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, interrupt)

    return watch
