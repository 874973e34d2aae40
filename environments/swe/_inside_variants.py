"""Runs in a sandbox where tasks are made: the tests of many variants of a repository, each in a fork of one pytest.

For each variant some files are replaced, and put back afterwards. Nothing here is meant to withstand what is tested:
that is the upstream code with one bug. Standard library only.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def main(folder: str) -> None:
    """Run every variant of `folder`/plan.json; a JSON line on standard output for each."""
    sys.path.insert(0, folder)
    child = importlib.import_module("child")

    plan = child.prepare(folder)
    for variant in plan["variants"]:
        before = {path: Path(path).read_text() for path in variant["files"]}
        _write(variant["files"])
        heard, exit_code = _run(child, folder, {**plan, **variant["plan"]}, plan["seconds"])
        _write(before)
        line = json.dumps({"heard": heard.decode("utf-8", "replace"), "exit_code": exit_code})
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _run(child: Any, folder: str, plan: dict[str, Any], seconds: float) -> tuple[bytes, int]:
    ear, mouth = os.pipe()
    pid = os.fork()
    if pid == 0:
        nothing = os.open(os.devnull, os.O_RDWR)
        for file in (0, 1, 2):
            os.dup2(nothing, file)
        os._exit(child.run(folder, plan, mouth))
    os.close(mouth)
    os.set_blocking(ear, False)
    heard, until, status = bytearray(), time.monotonic() + seconds, None
    while True:
        if status is None:
            ended, code = os.waitpid(pid, os.WNOHANG)
            status = os.waitstatus_to_exitcode(code) if ended else None
        more = _read(ear)
        heard += more
        if not more and status is not None:
            os.close(ear)
            return bytes(heard), status
        if status is None and time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
        if not more:
            time.sleep(0.005)


def _read(file: int) -> bytes:
    try:
        return os.read(file, 1 << 16)
    except BlockingIOError:
        return b""


def _write(files: dict[str, str]) -> None:
    for path, content in files.items():
        Path(path).write_text(content)


if __name__ == "__main__":
    main(sys.argv[1])
