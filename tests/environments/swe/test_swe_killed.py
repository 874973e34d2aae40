"""kill -9 while episodes are graded: nothing of them may stay, neither sandboxes nor the files that went into them."""

from __future__ import annotations

import glob
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import engine
import pytest

from arena.sandboxes import _docker_engine
from arena.sandboxes._docker_engine import SANDBOX

EPISODES = 16
PLAY = """
import asyncio, sys
from arena.environments.swe.env import Swe

async def episode(kind, manifests):
    env = Swe(backend=kind, manifests=manifests)
    await env.reset(seed=2**31, options={"task": "tiny-000"})
    await env.step("echo 'import time; time.sleep(600)' >>tiny/__init__.py")
    await env.step("submit")

async def main(count, *arguments):
    await asyncio.gather(*(episode(*arguments) for _ in range(int(count))))

asyncio.run(main(*sys.argv[1:]))
"""
"""What they hand in keeps the tests that grade them waiting."""


@pytest.fixture
def places(monkeypatch):
    """Folders of one's own for what sandboxes keep on the host, and for everything else that is temporary."""
    with tempfile.TemporaryDirectory(prefix="arena-killed-") as name:
        Path(name).chmod(0o711)
        for place, variable in (("held", "ARENA_SANDBOX_DIR"), ("temporary", "TMPDIR")):
            Path(name, place).mkdir(mode=0o711)
            monkeypatch.setenv(variable, f"{name}/{place}")
        yield Path(name, "held"), Path(name, "temporary")


def left(kind, held):
    """What the episodes have on the host, and their containers."""
    found = {path.name for path in held.glob("*-*")}
    if kind == "docker":
        containers = _docker_engine.client().containers(all=True, filters={"label": SANDBOX})
        found |= {one["Id"] for one in engine.ours(containers)}
    return found


def graded(held):
    """How many episodes have their tests under way: each keeps the tree and the tests on the host meanwhile."""
    return len(glob.glob(f"{held}/files-*/*/grader/plan.json"))  # noqa: PTH207 - Path.glob fails where a folder goes


def kill_once_graded(program, held):
    """Kill it when all its episodes have their tests under way; whether they had."""
    while graded(held) < EPISODES and program.poll() is None:
        time.sleep(0.05)
    program.kill()
    return program.wait() == -signal.SIGKILL


def test_sixteen_episodes_that_are_killed_while_they_are_graded_leave_nothing(tiny, back_end, places):
    """Trees, tests and archives would pile up in the temporary folder, where nobody knows whose they are."""
    held, temporary = places
    command = [sys.executable, "-c", PLAY, str(EPISODES), back_end.kind, str(tiny.folder)]
    with (temporary.parent / "said").open("w+") as said:
        assert kill_once_graded(subprocess.Popen(command, stderr=said), held), said.seek(0) or said.read()
    assert graded(held) == EPISODES
    deadline = time.monotonic() + 60
    while True:  # what the engine was making at that moment may be there only later
        subprocess.run([sys.executable, "-m", "arena.cli", "doctor", "--clean"], check=True, stdout=subprocess.DEVNULL)
        found = left(back_end.kind, held)
        if not found or time.monotonic() > deadline:
            break
    assert (found, list(temporary.iterdir())) == (set(), [])
