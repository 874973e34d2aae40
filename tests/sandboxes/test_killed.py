"""What is left when something is killed: Arena with its episodes under way, or the Docker engine below them."""

from __future__ import annotations

import json
import os
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

EPISODES = 4
PARALLEL = f"""
import asyncio, sys
from arena.sandboxes import Bubblewrap, Docker, SandboxSpec

async def episode(back_end, begun):
    box = await back_end.create(SandboxSpec(processes=16, memory=32 << 20, disk=1 << 20))
    shell = await box.shell()
    await shell.run("kept=1; setsid -f sleep 300")
    snapshot = await box.snapshot()
    begun.append(box)
    if len(begun) == {EPISODES}:
        print("all", flush=True)
    await box.exec("sleep 300")

async def main():
    back_end, begun = {{"docker": Docker, "bubblewrap": Bubblewrap}}[sys.argv[1]], []
    await asyncio.gather(*(episode(back_end, begun) for _ in range({EPISODES})))

asyncio.run(main())
"""


def left(kind, home):
    """Folders, containers and processes that belong to sandboxes."""
    found = {path.name for path in home.glob("*-*")}
    if kind == "docker":
        found |= {one["Id"] for one in _docker_engine.client().containers(all=True, filters={"label": SANDBOX})}
    sleepers = subprocess.run(["pgrep", "-f", "^sleep 300$"], capture_output=True, text=True, check=False)
    return found | set(sleepers.stdout.split())


@pytest.fixture
def home(monkeypatch):
    """A folder of one's own for what sandboxes keep on the host, where their users can reach it."""
    with tempfile.TemporaryDirectory(prefix="arena-killed-") as name:
        Path(name).chmod(0o711)
        monkeypatch.setenv("ARENA_SANDBOX_DIR", name)
        yield Path(name)


def test_what_a_killed_program_had_is_found_and_removed(back_end, home):
    """Nobody cleans up after kill -9 but the next start, and that before its first sandbox."""
    before = left(back_end.kind, home)
    program = subprocess.Popen([sys.executable, "-c", PARALLEL, back_end.kind], stdout=subprocess.PIPE, text=True)
    assert program.stdout.readline() == "all\n"
    assert len(left(back_end.kind, home) - before) >= 2 * EPISODES
    program.kill()
    program.communicate()
    start = f"from arena.sandboxes import *; SyncSandbox(SandboxSpec(), {back_end.__name__}).close()"
    subprocess.run([sys.executable, "-c", start], check=True)
    deadline = time.monotonic() + 30
    while left(back_end.kind, home) - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left(back_end.kind, home) - before == set()


def write_tasks(folder, names):
    for name in names:
        root = folder / name
        for part in ("environment", "solution", "tests"):
            (root / part).mkdir(parents=True)
        (root / "task.toml").write_text('version = "1.0"\n[metadata]\nsplit = "eval"\n')
        (root / "instruction.md").write_text("Write 42 to answer.\n")
        (root / "environment" / "Dockerfile").write_text("FROM debian\nWORKDIR /app\n")
        (root / "solution" / "solve.sh").write_text("sleep 3; echo 42 >answer\n")
        (root / "tests" / "test.sh").write_text(
            '[ "$(cat answer)" = 42 ]; echo $((1 - $?)) >/logs/verifier/reward.txt\n'
        )


def evaluate(*arguments):
    command = [sys.executable, "-m", "arena.cli", "eval", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_container(folder, program):
    client = ["docker", "--host", f"unix://{folder}/docker.sock", "ps", "-q"]
    while program.poll() is None:
        if subprocess.run(client, capture_output=True, check=False).stdout:
            return
        time.sleep(0.1)
    pytest.fail(f"the episodes did not begin: {''.join(program.communicate())}")


def test_an_evaluation_outlives_its_engine(require, monkeypatch, tmp_path):
    """Episodes that the engine took with it are not scored, the message says why, and --resume plays them again."""
    require("docker")
    folder = Path(tempfile.mkdtemp(prefix=f"arena-engine-{os.getpid()}-"))
    for name, value in ((engine.VARIABLE, folder), ("DOCKER_HOST", f"unix://{folder}/docker.sock")):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("ARENA_SANDBOX", "docker")
    write_tasks(tmp_path / "tasks", ("one", "two", "three"))
    out = tmp_path / "run"
    try:
        assert engine.available()
        options = ["-n", "3", "-j", "2", "--set", f"params.tasks={tmp_path / 'tasks'}", "-o", str(out)]
        program = evaluate("arena/Terminal-v0", "-a", "oracle", *options)
        wait_for_container(folder, program)
        os.kill(int((folder / "dockerd.pid").read_text()), signal.SIGKILL)
        said = "".join(program.communicate(timeout=200))
        summary = json.loads((out / "summary.json").read_text())
        assert "infrastructure_error" in json.dumps(summary), said
        assert "3 not scored" in said
        assert "the Docker engine" in " ".join(said.split())
        assert "arena eval --resume" in " ".join(said.split())

        assert engine.available()
        program = evaluate("--resume", str(out), "--min-score", "1")
        said = "".join(program.communicate(timeout=200))
        assert program.returncode == 0, said
        assert "infrastructure_error" not in (out / "summary.json").read_text()
    finally:
        engine.end(folder)
