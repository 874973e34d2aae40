"""`arena eval`: run an agent on a suite or an environment."""

from __future__ import annotations

import asyncio
import difflib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arena.cli import _options
from arena.cli._console import console, notice, pairs, print_json, say, show
from arena.cli._critic import with_critic
from arena.cli._local import target_here
from arena.cli._progress import Interrupts, ProgressLine
from arena.core.errors import UsageError

if TYPE_CHECKING:
    from arena.evaluation import EvalConfig, Evaluation

SUMMARY = "Evaluate an agent on a suite of tasks."
EXAMPLES = (
    "arena eval quickstart -a random",
    "arena eval text-small -a chat:window=4 -m openai:qwen3@http://localhost:8000/v1 -k 4",
    "arena eval arena/Maze-v0 -a oracle -n 50 --set params.size=9 --limit turns=40",
    "arena eval arena/KeyDoor-v0 -a best_of_n:n=8 --critic runs/archer -m runs/archer/model",
    "arena eval --resume runs/20260131-120000-text-small-chat",
)


def command(
    target: Annotated[
        str | None, typer.Argument(metavar="SUITE|ENV", help="Suite (name or .toml file) or environment id.")
    ] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", "-a", metavar="SPEC", help="Agent, such as chat:window=4 (random).")
    ] = None,
    model: _options.Model = None,
    critic: _options.Critic = None,
    player: _options.Player = None,
    repeats: Annotated[
        int | None, typer.Option("--repeats", "-k", metavar="N", help="Episodes of each task (1).")
    ] = None,
    tasks: Annotated[
        int | None,
        typer.Option("--tasks", "-n", metavar="N", help="How many tasks: all of a suite, 20 of an environment."),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Limit of an episode: turns, tokens, cost, seconds or turn_seconds; may be repeated.",
        ),
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(metavar="DOLLARS", help="Stop the run when it has cost this much.")
    ] = None,
    concurrency: _options.Concurrency = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of the agents (0).")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="Options from a .toml file or a run.toml.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any option, such as params.size=9; may be repeated."),
    ] = None,
    out: _options.Out = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Complete this run: what is missing or was not scored.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and stop.")] = False,
    min_score: Annotated[float | None, typer.Option(metavar="SCORE", help="Exit with 1 if the score is lower.")] = None,
    min_coverage: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Exit with 1 if a smaller share of the episodes is scored.")
    ] = None,
    as_json: _options.Json = False,
) -> int:
    """Evaluate an agent on a suite of tasks, or on tasks drawn from an environment.

    Every episode is recorded in a run folder. Ctrl-C once lets the episodes in flight end, twice stops them;
    --resume completes the run.
    """
    if out is not None and resume is not None:
        raise UsageError(f"--resume completes {resume} where it is; drop --out.")
    if resume is not None and not (resume / "run.toml").is_file():
        raise UsageError(f"{resume} is not a run: it has no run.toml.")
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
    configuration = _configured(
        given,
        [file for file in (resume and resume / "run.toml", config) if file],
        {
            "critic": critic,
            "players": _options.players(player),
            "settings": [*(_limit(entry) for entry in limit or ()), *(settings or ())],
        },
    )
    if dry_run:
        return _dry_run(configuration, as_json)
    return _evaluate(configuration, out, resume, min_score, min_coverage, as_json)


def _configured(given: dict[str, Any], files: list[Path], more: dict[str, Any]) -> EvalConfig:
    """The options of the files, then those given by name, then `--set`."""
    from arena.evaluation.config import EvalConfig, read_file, with_settings

    values: dict[str, Any] = {}
    for file in files:
        values |= read_file(file)
    values |= {key: value for key, value in given.items() if value is not None}
    if more["players"]:
        values["players"] = {**values.get("players", {"others": "random"}), **more["players"]}
    values = with_settings(values, more["settings"])
    if more["critic"]:
        values = with_critic(values, more["critic"])
    if "target" not in values:
        raise UsageError("Name a suite or an environment to evaluate on; `arena list` shows them.")
    configuration = EvalConfig.read(values)
    target_here(configuration.target)
    return configuration


def _evaluate(
    config: EvalConfig,
    out: Path | None,
    resume: Path | None,
    min_score: float | None,
    min_coverage: float | None,
    as_json: bool,
) -> int:
    from arena.evaluation import evaluate_async

    with ProgressLine() as line, Interrupts() as interrupts:
        line.write(f"{config.target}: looking up its tasks …")
        evaluation = asyncio.run(
            evaluate_async(config, out=out, resume=resume, on_progress=line.show, on_engine=interrupts.watch)
        )
    if as_json:
        print_json({"folder": str(evaluation.folder), "complete": evaluation.complete, **evaluation.summary.to_json()})
    else:
        _report(evaluation)
    if interrupts.happened:
        return 130
    return 1 if _below(evaluation, min_score, min_coverage) else 0


def _report(evaluation: Evaluation) -> None:
    """The tables, what to know about them, and what to type next."""
    from arena.evaluation.report import tables

    summary, folder = evaluation.summary, evaluation.folder
    show(*tables(summary, console().width))
    for warning in summary.warnings:
        say(f"! {warning}")
    if reason := _reason(evaluation):
        say(f"! {reason}")
    say()
    if not evaluation.complete:
        pairs({"complete it": f"arena eval --resume {folder}", "read it": f"arena replay {folder}"})
        return
    pairs(
        {
            "read it": f"arena replay {folder}",
            "run it again": f"arena replay {folder} --execute",
            "compare": f"arena compare {folder} OTHER",
        }
    )


def _reason(evaluation: Evaluation) -> str | None:
    """Why the first episode that is not scored is not; the others most often have the same reason."""
    lost = evaluation.run.episodes(lambda row: not row.outcome.scored)
    failure = next((episode.failure for episode in lost if episode.failure is not None), None)
    return None if failure is None else f"{failure.type}: {failure.message}"


def _below(evaluation: Evaluation, min_score: float | None, min_coverage: float | None) -> bool:
    overall = evaluation.summary.overall
    below = False
    # A mean over nothing is not a number, which is below any score.
    if min_score is not None and not overall.score.mean >= min_score:
        notice(f"The score {overall.score.mean:.3f} is below --min-score {min_score:g}.")
        below = True
    if min_coverage is not None and overall.coverage < min_coverage:
        notice(f"The coverage {overall.coverage:.3f} is below --min-coverage {min_coverage:g}.")
        below = True
    return below


def _dry_run(config: EvalConfig, as_json: bool) -> int:
    """What would run; agent and model are named right, or this raises."""
    from arena.agents import build
    from arena.agents.models import build as build_model
    from arena.core.registry import MODELS
    from arena.core.specs import Spec
    from arena.rollout import Limits

    suite = config.suite()
    if config.model is not None and (kind := Spec.parse(config.model).kind) in MODELS.names():
        MODELS.load(kind)
    for spec in (config.agent, *config.players.values()):
        # Any model will do to see that the agent has these options; loading weights would take its time.
        build(spec, build_model("scripted:echo") if config.model is not None else None)
    counts = {env: sum(task.env == env for task in suite.tasks) for env in suite.envs}
    usual = asdict(Limits())
    limits = {name: value for name, value in asdict(config.limits).items() if value != usual[name]}
    limits |= {} if config.max_turns is None else {"turns": config.max_turns}
    plan: dict[str, object] = {
        "suite": suite.name,
        "hash": suite.hash,
        "proved": suite.proved,
        "agent": config.agent,
        "model": config.model,
        "repeats": config.repeats,
        "episodes": len(suite.tasks) * config.repeats,
        "limits": limits,
        "tasks": counts,
    }
    if as_json:
        print_json(plan)
        return 0
    limited = ", ".join(f"{name} {value:g}" for name, value in limits.items())
    pairs(
        {
            "suite": f"{suite.name} ({'proved' if suite.proved else 'unproved'}, {suite.hash})",
            "agent": config.agent,
            "model": config.model or "none",
            "limits": limited or "each task's own",
            "episodes": f"{plan['episodes']}: {len(suite.tasks)} tasks, {config.repeats} of each",
        }
    )
    pairs(dict(counts), indent="  ")
    say("Nothing was run (--dry-run).")
    return 0


def _limit(entry: str) -> str:
    """`--limit NAME=VALUE` as a setting of the configuration."""
    from arena.rollout import Limits

    name, value = _options.pair(entry, "--limit")
    known = ["turns", *Limits.__dataclass_fields__]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        meant = f" Did you mean {close[0]}?" if close else ""
        raise UsageError(f"There is no limit {name!r}.{meant} The limits are {', '.join(known)}.")
    return f"max_turns={value}" if name == "turns" else f"limits.{name}={value}"
