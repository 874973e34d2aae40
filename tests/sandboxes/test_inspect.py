"""Our sandboxes as Inspect's users get them: its conformance suite, and its evaluation, in a process of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = 44
"""How many there are in the suite of the pinned version."""


@pytest.fixture
def inspect(require, tmp_path):
    """Runs a program that can import Inspect, and Arena as it is installed; returns what it said."""
    for name in ("inspect", "docker", "bwrap"):
        require(name)
    peer = Path(sys.prefix, "peers", "inspect")

    def run(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(peer)}
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return done.stdout

    return run


def test_the_conformance_suite(inspect):
    """All of it on both back ends, save the one check that adds a user."""
    suite = Path(__file__).with_name("inspect_suite.py")
    said = inspect("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--noconftest", str(suite))
    assert re.search(rf"{2 * (CHECKS - 1)} passed, 2 xfailed", said), said[-2000:]


CONFIGURED = """
import asyncio
from inspect_ai._util.entrypoints import ensure_entry_points
from inspect_ai.util._sandbox.registry import registry_find_sandboxenv
from arena.core.errors import UsageError
from arena.sandboxes.inspect import SandboxConfig

async def play():
    ensure_entry_points()
    kind = registry_find_sandboxenv("arena-bubblewrap")
    for config in ({path!r}, SandboxConfig(folders=["/data"], env={{"A": "b"}})):
        made = await kind.sample_init("task", config, {{}})
        done = await made["default"].exec(["sh", "-c", "pwd; echo $A"])
        print(done.stdout)
        await kind.sample_cleanup("task", config, made, False)
    for wrong in ("no-such-file.toml", SandboxConfig(folder="/data")):
        try:
            await kind.sample_init("task", wrong, {{}})
        except UsageError as error:
            print("refused:", error)

asyncio.run(play())
"""


def test_what_a_sandbox_is_made_of_comes_from_a_file_or_from_fields(inspect, tmp_path):
    file = tmp_path / "sandbox.toml"
    file.write_text('folders = ["/data"]\n[env]\nA = "b"\n')
    said = inspect("-c", CONFIGURED.format(path=str(file)))
    assert said.startswith("/data\nb\n\n/data\nb\n")
    assert said.count("refused:") == 2
    assert "no field 'folder'" in said
