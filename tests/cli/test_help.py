"""Help: every command has examples that it takes, and showing it is quick."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typed import Shell

from arena.cli._app import COMMANDS

HEAVY = ("torch", "transformers", "textworld", "scipy", "matplotlib", "httpx", "PIL", "rich.console", "docker", "ray")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_shows_examples(arena: Shell, name):
    said = arena(name, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Usage: arena {name}")
    examples = said.out.partition("Examples:\n")[2].splitlines()
    assert [line.strip() for line in examples] == list(COMMANDS[name].EXAMPLES)
    assert all(line.strip().startswith(f"arena {name}") for line in examples)


def test_the_first_word_alone_shows_what_there_is(arena: Shell):
    said = arena()
    assert (said.code, said.err) == (0, "")
    assert all(f"  {name} " in said.out for name in COMMANDS)
    assert "…" not in said.out
    assert "..." not in said.out.replace("[ARGS]...", "")
    assert arena("--help").out == said.out


def test_the_version_is_told(arena: Shell):
    from arena import __version__

    assert arena("--version").out == f"arena {__version__}\n"


def test_help_loads_nothing_heavy():
    """A help text that imports torch takes seconds."""
    code = (
        "import sys; from arena.cli._app import run; run(['eval', '--help']); "
        f"print('loaded', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("loaded []\n")
