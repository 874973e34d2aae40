"""Where Arena keeps what it can make again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache folder: `$ARENA_CACHE`, else `$XDG_CACHE_HOME/arena`, else `~/.cache/arena`.

    It may not exist yet. Everything in it can be deleted at any time and is made again when needed.
    """
    if chosen := os.environ.get("ARENA_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "arena"
