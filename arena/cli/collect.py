"""`arena collect`: write a data set of episodes of a stated mixed quality."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arena.cli import _options
from arena.cli._console import pairs, print_json, say, show
from arena.cli._local import target_here
from arena.cli._progress import Interrupts, ProgressLine
from arena.core.errors import UsageError

if TYPE_CHECKING:
    from arena.evaluation.collection import CollectConfig, Collection

SUMMARY = "Record episodes of a stated mixed quality, to learn from."
EXAMPLES = (
    "arena collect arena/Maze-v0 -a oracle:0.4,random:0.6 -n 5000 -o data/maze",
    "arena collect arena/KeyDoor-v0 -a noisy:epsilon=0.3 -n 2000",
    "arena collect --resume data/maze",
)


def command(
    target: Annotated[
        str | None, typer.Argument(metavar="ENV|SUITE", help="Environment id, or suite (name or .toml file).")
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option("--agent", "-a", metavar="SPEC:SHARE,…", help="Agents and their shares of the episodes."),
    ] = None,
    model: _options.Model = None,
    player: _options.Player = None,
    episodes: Annotated[
        int | None, typer.Option("--episodes", "-n", metavar="N", help="How many episodes (1000).")
    ] = None,
    tasks: Annotated[
        int | None, typer.Option(metavar="N", help="How many different tasks (as many as there are episodes).")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of the agents (0).")] = None,
    max_cost: Annotated[float | None, typer.Option(metavar="DOLLARS", help="Stop when it has cost this much.")] = None,
    concurrency: _options.Concurrency = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="Options from a .toml file or a run.toml.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any option, such as params.size=9; may be repeated."),
    ] = None,
    out: _options.Out = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Complete this collection: what is missing or was not scored.")
    ] = None,
    as_json: _options.Json = False,
) -> int:
    """Play train tasks with several agents, each its share of the episodes, and record them.

    The result is an ordinary run: `arena train ALGORITHM --data RUN` learns from it, `arena replay RUN` reads it.
    Ctrl-C once lets the episodes in flight end, twice stops them; --resume completes the run.
    """
    if out is not None and resume is not None:
        raise UsageError(f"--resume completes {resume} where it is; drop --out.")
    if resume is not None and not (resume / "run.toml").is_file():
        raise UsageError(f"{resume} is not a run: it has no run.toml.")
    given = {
        "target": target,
        "model": model,
        "episodes": episodes,
        "tasks": tasks,
        "seed": seed,
        "max_cost": max_cost,
        "concurrency": concurrency,
    }
    files = [file for file in (resume and resume / "run.toml", config) if file]
    configuration = _configured(given, agent, _options.players(player), files, settings or [])
    return _collect(configuration, out, resume, as_json)


def _configured(
    given: dict[str, Any], agent: str | None, players: dict[str, str], files: list[Path], settings: list[str]
) -> CollectConfig:
    """The options of the files, then those given by name, then `--set`."""
    from arena.evaluation.collection import CollectConfig, read_shares
    from arena.evaluation.config import read_file, with_settings

    values: dict[str, Any] = {}
    for file in files:
        values |= read_file(file, "collect")
    values |= {key: value for key, value in given.items() if value is not None}
    if agent is not None:
        values["agents"] = read_shares(agent)
    if players:
        values["players"] = {**values.get("players", {"others": "random"}), **players}
    values = with_settings(values, settings)
    if "target" not in values:
        raise UsageError("Name an environment or a suite to play; `arena list` shows them.")
    if "agents" not in values:
        raise UsageError("Name who plays, for example -a oracle:0.4,random:0.6.")
    configuration = CollectConfig.read(values)
    target_here(configuration.target)
    return configuration


def _collect(config: CollectConfig, out: Path | None, resume: Path | None, as_json: bool) -> int:
    from arena.evaluation.collection import collect_async

    with ProgressLine() as line, Interrupts() as interrupts:
        line.write(f"{config.target}: looking up its tasks …")
        collection = asyncio.run(
            collect_async(config, out=out, resume=resume, on_progress=line.show, on_engine=interrupts.watch)
        )
    if as_json:
        agents = [quality.to_json() for quality in collection.qualities]
        print_json({"folder": str(collection.folder), "complete": collection.complete, "agents": agents})
    else:
        _report(collection, config.target)
    return 130 if interrupts.happened else 0


def _report(collection: Collection, target: str) -> None:
    """How good the episodes of each agent are, and what to type next."""
    from rich.table import Table

    from arena.evaluation.report import interval

    folder = collection.folder
    table = Table(title=f"{target}, train tasks", title_justify="left")
    for name in ("agent", "episodes", "success, 95 %", "return, 95 %", "turns"):
        table.add_column(name, justify="left" if name == "agent" else "right")
    for one in collection.qualities:
        table.add_row(
            one.agent, f"{one.scored}/{one.asked}", interval(one.success), interval(one.reward), str(one.turns)
        )
    show(table)
    say()
    if not collection.complete:
        pairs({"complete it": f"arena collect --resume {folder}", "read it": f"arena replay {folder}"})
        return
    learning = f"arena train bc --env {target} --data {folder} --model FOLDER"
    pairs({"learn from it": learning, "read it": f"arena replay {folder}"})
