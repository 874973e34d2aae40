"""The command `arena`: one small file per command."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the command."""
    from arena.cli._app import run

    sys.exit(run())
