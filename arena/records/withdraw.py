"""Taking back a run that was refused before anything happened in it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from arena.core.errors import UsageError
from arena.records.reader import open_run


@contextlib.contextmanager
def withdrawn_if_refused(folder: str | os.PathLike[str]) -> Iterator[None]:
    """A block that writes a run, and ends after its writer: what is refused in it leaves no empty run behind.

    Some mistakes show late, when a model is loaded or data is read. The corrected command should then find the
    folder free. A run in which something was played stays, and so does a folder that held something else before.
    """
    path = Path(folder)
    free = not path.exists() or not any(path.iterdir())
    try:
        yield
    except UsageError:
        if free and (path / "run.toml").exists():
            withdraw_run(path)
        raise


def withdraw_run(folder: str | os.PathLike[str]) -> None:
    """Remove a run, unless something has been played in it: a turn, an answer, an episode that counts."""
    with open_run(folder) as run:
        rows = run.rows(latest=False)
        played = any(row.turns or row.output or row.outcome.scored for row in rows)
        played |= any(unfinished.turns for unfinished in run.unfinished())
    if not played:
        shutil.rmtree(folder, ignore_errors=True)


__all__ = ["withdraw_run", "withdrawn_if_refused"]
