"""`arena …` as a person or a program types it: in a process of its own, or in this one where that is enough."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from arena.cli._app import run

COMMAND = (sys.executable, "-m", "arena.cli")


@dataclass(frozen=True)
class Said:
    """What a command said and its exit code."""

    code: int
    out: str
    err: str


class Shell:
    """Types commands in a folder, in this process."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capture = capture

    def __call__(self, *words: object) -> Said:
        self._capture.readouterr()
        code = run([str(word) for word in words])
        said = self._capture.readouterr()
        return Said(code, said.out, said.err)


def process(*words: object, cwd: Path, **options: Any) -> subprocess.Popen[str]:
    """The command in a process of its own, with pipes."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [*COMMAND, *map(str, words)]
    return subprocess.Popen(command, cwd=cwd, text=True, env=environment, **{**pipes, **options})
