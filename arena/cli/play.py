"""`arena play`: a person plays."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import typer

from arena.cli import _options
from arena.cli._console import counted, pairs, say
from arena.cli._local import known_here
from arena.cli._progress import Interrupts

SUMMARY = "Play an episode yourself."
EXAMPLES = (
    "arena play arena/Wordle-v0",
    "arena play arena/MiniWoB-v0 --task click-button",
    "arena play arena/Maze-v0 --seed 7 --set size=5",
    "arena play arena/NoughtsAndCrosses-v0 --player o=oracle",
)


def command(
    env: Annotated[str, typer.Argument(metavar="ENV", help="Environment id.")],
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of the environment; the first of its own tasks by default.")
    ] = None,
    task: Annotated[str | None, typer.Option(metavar="NAME", help="One of the environment's named tasks.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Parameter of the environment; may be repeated."),
    ] = None,
    player: _options.Player = None,
    out: _options.Out = None,
) -> int:
    """Play an episode yourself; it is recorded like any other.

    Type an action and Enter. ? lists the legal actions, hint asks the oracle, Ctrl-D leaves.
    """
    from arena.agents.human import HumanAgent
    from arena.core import registry
    from arena.core.task import Suite
    from arena.evaluation import EvalConfig, Evaluation, Made, evaluate_async
    from arena.evaluation.config import with_settings

    params = with_settings({}, settings or [])
    [own] = registry.tasks(known_here(env), "eval", 1, 0, params)
    chosen = replace(own, seed=own.seed if seed is None else seed, name=own.name if task is None else task)
    config = EvalConfig(
        target=env,
        agent="human",
        players=_options.players(player) or {"others": "random"},
        params=params,
        concurrency=1,
        retries=0,
    )
    human = Made(HumanAgent(read=_read, write=_write_folded))

    async def run(watch: Interrupts) -> Evaluation:
        suite = Suite(env, (chosen,))
        return await evaluate_async(config, out=out, on_engine=watch.watch, suite=suite, made=human)

    with _line_editing(), Interrupts(patient=False) as interrupts:
        evaluation = asyncio.run(run(interrupts))
    [episode] = evaluation.run.episodes()
    if episode.failure is not None:
        say(f"{episode.failure.type}: {episode.failure.message}")
    score = "not scored" if episode.score is None else f"score {episode.score:.2f}"
    say(f"{score}, {counted(len(episode.turns), 'turn')}\n")
    again = f"arena play {env} --seed N" if task is None else f"arena play {env} --task {task} --seed N"
    pairs({"read it": f"arena replay {evaluation.folder}", "play another": again})
    return 130 if interrupts.happened else 0


def _read(prompt: str) -> str:
    """A line; Ctrl-D ends the prompt's line too."""
    try:
        return input(prompt)
    except EOFError:
        say()
        raise


def _write_folded(text: str) -> None:
    """Text for a person: long lines are folded between words where it is a terminal; drawings stay as they are."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        text = "\n".join(_folded(line, width) for line in text.splitlines())
    say(text)
    sys.stdout.flush()


def _folded(line: str, width: int) -> str:
    """The line in as many as it takes; where it is indented, those that follow are a little more so."""
    indent = line[: len(line) - len(line.lstrip(" "))]
    further = f"{indent}    " if indent and len(indent) < width // 2 else ""
    return "\n".join(textwrap.wrap(line, width, subsequent_indent=further, replace_whitespace=False))


@contextlib.contextmanager
def _line_editing() -> Iterator[None]:
    """Arrow keys and history at the prompt; and the terminal as it was, even when a line was never finished."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield
        return
    import readline
    import termios

    before = termios.tcgetattr(sys.stdin)
    readline.set_auto_history(True)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
