"""Peers, each in an environment of its own in the cache folder, so that none decides what Arena may depend on."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from arena.core.paths import cache_folder

PINNED = {"inspect-ai": "0.3.285", "gem-llm": "0.1.0", "textarena": "0.7.4"}
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
