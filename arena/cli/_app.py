"""The command tree, and what every command shares: errors, exit codes, the console.

Exit codes: 0 ok, 1 below a threshold or a difference found, 2 usage, 3 something must be installed,
4 a failure underneath (a server, the disk), 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import click
import typer
from rich.console import Console

from arena import __version__
from arena.cli import check, compare, doctor, evaluate, listing, new, play, quickstart, replay
from arena.core.errors import ArenaError, MissingPrerequisite, UsageError

app = typer.Typer(
    name="arena",
    help="A gym for LLM agents that act over many turns: evaluate, add environments, replay.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("list")(listing.command)
app.command("play")(play.command)
app.command("eval")(evaluate.command)
app.command("replay")(replay.command)
app.command("compare")(compare.command)
app.command("new")(new.command)
app.command("check")(check.command)
app.command("doctor")(doctor.command)
app.command("quickstart")(quickstart.command)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Arena's command line."""
    if version:
        typer.echo(f"arena {__version__}")
        raise typer.Exit
    if debug:
        os.environ["ARENA_DEBUG"] = "1"


def run() -> None:
    """Run the command line; errors become one clear sentence and an exit code."""
    try:
        code = app(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader (`arena list | head`) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (ArenaError, OSError) as error:
        if os.environ.get("ARENA_DEBUG"):
            raise
        Console(stderr=True, highlight=False).print(f"[red]error:[/red] {_escaped(str(error))}", soft_wrap=True)
        sys.exit(_code(error))
    sys.exit(code if isinstance(code, int) else 0)


def _code(error: Exception) -> int:
    if isinstance(error, UsageError):
        return 2
    return 3 if isinstance(error, MissingPrerequisite) else 4


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
