"""Peers, each in an environment of its own in the cache folder, so that none decides what Arena may depend on."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from arena.core.paths import cache_folder

PINNED = {"browsergym-miniwob": "0.14.3", "inspect-ai": "0.3.285", "gem-llm": "0.1.0", "textarena": "0.7.4"}
_SCRIPTS = Path(__file__).parent / "peers"
_MINUTES = 60


class PeerMissing(Exception):
    """A peer cannot be measured here; the message says why."""


def measure_peer(peer: str, script: str, *arguments: str, minutes: float = 10) -> Any:
    """Run `peers/<script>.py` with the peer's Python; returns the JSON it prints as its last line.

    Raises:
        PeerMissing: it does not install, or the script failed.
    """
    command = [str(_python(peer)), str(_SCRIPTS / f"{script}.py"), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=minutes * _MINUTES)
    except subprocess.TimeoutExpired:
        raise PeerMissing(f"it took longer than {minutes:g} minutes") from None
    if done.returncode != 0:
        raise PeerMissing(f"it failed: {_last_line(done.stderr)}")
    return json.loads(done.stdout.strip().rpartition("\n")[2])


class TrlProcess:
    """TRL, with the packages that it shares with Arena, in a process that answers line by line.

    It lies where `make peers` has put it. A peer that stays alive can be measured in turns with Arena.

    Raises:
        PeerMissing: it is not there, or the script failed.
    """

    VERSION = "1.16.0"

    def __init__(self, script: str, *arguments: str) -> None:
        folder = Path(sys.prefix, "peers", "trl")
        if not (folder / ".ready").exists():
            raise PeerMissing("TRL is not installed: make peers")
        paths = os.pathsep.join([str(folder), str(_SCRIPTS.parents[1])])
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, str(_SCRIPTS / f"{script}.py"), *arguments],
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )

    def ask(self, words: str = "") -> Any:
        """Send a line; what it prints in answer, as JSON."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{words}\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._said.seek(0)
            raise PeerMissing(f"it failed: {_last_line(self._said.read())}")
        return json.loads(line)

    def __enter__(self) -> TrlProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._said.close()


def _python(peer: str) -> Path:
    """The Python of the peer's environment, which is made on demand."""
    version = PINNED[peer]
    folder = cache_folder() / "benchmarks" / f"{peer}-{version}"
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        print(f"installing {peer} {version} …", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", f"{peer}=={version}"]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PeerMissing(f"pip install {peer}=={version} failed: {_last_line(done.stderr)}")
        ready.write_text(sys.version)
    return python


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "it said nothing"
