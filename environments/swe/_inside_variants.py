"""Runs in a sandbox where tasks are made: the tests of many variants of a repository, each in a fork of one pytest.

For each variant some files are replaced, and put back afterwards. Nothing here is meant to withstand what is tested:
that is the upstream code with one bug. Standard library only.
"""

from __future__ import annotations

import importlib
import importlib.machinery
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
    _prepare(plan["root"], any(variant["plan"]["details"] for variant in plan["variants"]))
    for variant in plan["variants"]:
        before = {path: Path(path).read_text() for path in variant["files"]}
        _write(variant["files"])
        heard, exit_code = _run(child, folder, {**plan, **variant["plan"]}, plan["seconds"])
        _write(before)
        line = json.dumps({"heard": heard.decode("utf-8", "replace"), "exit_code": exit_code})
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _prepare(root: str, details: bool) -> None:
    """Load and compile once what every fork would: pytest's plug-ins, the repository's files, asserts that say more."""
    from _pytest import config
    from _pytest.assertion import rewrite

    for name in config.default_plugins:
        importlib.import_module(f"_pytest.{name}")
    loader: Any = importlib.machinery.SourceFileLoader
    rewriting: Any = rewrite
    compiled, rewritten = {}, {}
    for path in sorted(Path(root).rglob("*.py")):
        try:
            compiled[str(path), path.read_bytes()] = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
            if details and "test" in str(path):
                rewritten[path, path.read_bytes()] = rewriting._rewrite_test(path, None)
        except (SyntaxError, ValueError):
            continue
    from_source, from_test = loader.source_to_code, rewriting._rewrite_test

    def source_to_code(self: Any, data: Any, path: str, **options: Any) -> Any:
        known = compiled.get((path, bytes(data)))
        return known if known is not None else from_source(self, data, path, **options)

    def rewrite_test(path: Path, config: Any) -> Any:
        known = rewritten.get((path, path.read_bytes()))
        return known if known is not None else from_test(path, config)

    loader.source_to_code, rewriting._rewrite_test = source_to_code, rewrite_test


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
