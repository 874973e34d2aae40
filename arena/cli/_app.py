"""The command tree, and what every command shares: errors, exit codes, `--debug`.

Exit codes: 0 ok, 1 below a threshold or a difference found, 2 usage, 3 something must be installed,
4 a failure underneath (a server, the disk, a bug), 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import sys
from types import ModuleType
from typing import Annotated

import typer

from arena import __version__
from arena.cli import (
    check,
    collect,
    compare,
    doctor,
    evaluate,
    listing,
    new,
    play,
    quickstart,
    replay,
    sandbox,
    swe,
    train,
)
from arena.cli._console import notice, say
from arena.cli._progress import RetryNotices
from arena.core.errors import ArenaError, MissingPrerequisite, UsageError

COMMANDS: dict[str, ModuleType] = {
    "list": listing,
    "play": play,
    "eval": evaluate,
    "train": train,
    "collect": collect,
    "replay": replay,
    "compare": compare,
    "new": new,
    "check": check,
    "doctor": doctor,
    "quickstart": quickstart,
}
"""name -> its module, which has `command`, one line `SUMMARY`, and `EXAMPLES`"""

# `ClickException`: newer versions of typer carry a click of their own, so it cannot be imported by name.
_Refused: type[Exception] = typer.BadParameter.__mro__[2]

_WIDE = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

app = typer.Typer(
    help="A gym for LLM agents that act over many turns.",
    epilog="\b\nStart here:\n  arena quickstart             real agents play real games, nothing else needed\n"
    "  arena list                   what there is\n"
    "  arena COMMAND --help         the options of a command, with examples",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=_WIDE,
)
for _name, _module in COMMANDS.items():
    app.command(
        _name,
        short_help=_module.SUMMARY,
        epilog="\b\nExamples:\n" + "\n".join(f"  {line}" for line in _module.EXAMPLES),
        context_settings=_WIDE,
    )(_module.command)
app.add_typer(sandbox.app, name="sandbox", short_help=sandbox.SUMMARY)
app.add_typer(swe.app, name="swe", short_help=swe.SUMMARY)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; also after a command.")] = False,
) -> None:
    """A gym for LLM agents that act over many turns."""
    if version:
        say(f"arena {__version__}")
    elif context.invoked_subcommand is None:
        say(context.get_help())


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; errors become a clear sentence and an exit code.

    Args:
        arguments: the words after `arena`; those of this process by default.
    """
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    try:
        return _run([word for word in words if word != "--debug"])
    except BrokenPipeError:
        # The reader (`arena list | head`) has seen enough. What is left in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, typer.Abort):
        notice("Interrupted.")
        return 130
    except Exception as error:
        if debug:
            raise
        return _explain(error)


def _run(words: list[str]) -> int:
    command = typer.main.get_command(app)
    retries = logging.getLogger("stamina")
    if not any(isinstance(handler, RetryNotices) for handler in retries.handlers):
        retries.addHandler(RetryNotices())
    try:
        with command.make_context("arena", words) as context:
            code = command.invoke(context)
    except typer.Exit as end:
        code = end.exit_code
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _explain(error: Exception) -> int:
    """Say what is wrong in words; returns the exit code."""
    if isinstance(error, _Refused):
        context = getattr(error, "ctx", None)
        message = error.format_message()  # type: ignore[attr-defined]
        _complain(message.rstrip("."))
        notice(f"       `{context.command_path if context else 'arena'} --help` shows what can be given.")
        return 2
    if isinstance(error, ArenaError | OSError):
        _complain(str(error))
        return 2 if isinstance(error, UsageError) else 3 if isinstance(error, MissingPrerequisite) else 4
    _complain(f"{type(error).__name__}: {error}")
    notice("       This was not expected; the same command with --debug shows where it happened.")
    return 4


def _complain(message: str) -> None:
    word = "\033[31merror:\033[0m" if sys.stderr.isatty() and "NO_COLOR" not in os.environ else "error:"
    notice(f"{word} {message}")
