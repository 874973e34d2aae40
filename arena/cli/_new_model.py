"""`-m new:FOLDER`: a tiny model for the game that is trained in, made on the spot."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from arena.cli._console import notice
from arena.core.errors import UsageError
from arena.trainers._tasks import is_suite

if TYPE_CHECKING:
    from arena.trainers._config import TrainConfig

MARK = "new:"


def made(config: TrainConfig) -> TrainConfig:
    """A training whose `model` may be `new:FOLDER`, with the folder itself, and a model in it.

    The model knows the game's words and nothing else. One that is there already stays as it is, so that the
    command may be given again.

    Raises:
        UsageError: no folder is named, something else is there, or there are no one-word actions to speak in.
    """
    if not config.model.startswith(MARK):
        return config
    folder = Path(config.model.removeprefix(MARK)).expanduser()
    if folder == Path():
        raise UsageError(f"{MARK} names the folder in which the model is made: -m {MARK}runs/student.")
    if is_suite(config.env):
        raise UsageError(f"{MARK} makes a model for one game, and {config.env} is a suite: name an environment.")
    if not (folder / "config.json").exists():
        if folder.exists() and (folder.is_file() or any(folder.iterdir())):
            raise UsageError(f"{folder} is there and holds no model; name another folder, or remove it.")
        _make(folder, config)
    return config.model_copy(update={"model": str(folder)})


def _make(folder: Path, config: TrainConfig) -> None:
    """Beside its place first: of several processes, as under torchrun, one may be quicker than the others."""
    from arena.trainers._student import build_student

    notice(f"Building a tiny model with random weights in {folder} …")
    beside = folder.with_name(f"{folder.name}.{os.getpid()}")
    try:
        build_student(beside, config.env, config.params, seed=config.seed)
        try:
            beside.rename(folder)
        except OSError:
            if not (folder / "config.json").exists():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


__all__ = ["MARK", "made"]
