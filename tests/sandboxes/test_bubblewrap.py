"""What a bubblewrap sandbox does for a user: commands, the shell, files, snapshots, cleaning up."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from arena.core.errors import UsageError
from arena.sandboxes import Bubblewrap, SandboxSpec, SandboxUnavailable, SyncSandbox, _cgroups, _held

SEEN: set[str] = set()
"""Names of the folders that were ever held: their control groups are called the same."""

SPEC = SandboxSpec(processes=64, memory=128 << 20, disk=32 << 20, timeout=120)


@pytest.fixture(scope="module", autouse=True)
def bwrap(require):
    require("bwrap")


@pytest.fixture(scope="module")
def box(bwrap):
    with SyncSandbox(SPEC) as sandbox:
        yield sandbox


def left_overs():
    """What sandboxes of this process and its children hold on the host; those of other test processes do not count."""
    held = [*_held.home().glob("*-*")]
    SEEN.update(path.name for path in held)
    above = _cgroups.parents()
    groups = [path for folder in set(above.folders.values()) for path in folder.glob("sandbox-*")] if above else []
    return sorted([*held, *(path for path in groups if path.name in SEEN)])


def alive(pid):
    """Whether it runs; a dead process that nobody has collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def test_nothing_is_left_behind(bwrap):
    before = left_overs()
    with SyncSandbox(SPEC) as sandbox:
        sandbox.exec("setsid sleep 31.5 >/dev/null 2>&1 & echo started")
        child = sandbox.inner._bwrap.child
        assert left_overs() != before
    assert left_overs() == before
    assert not alive(child)
    sandbox.close()
    assert "31.5" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


CRASH = """
import os, signal
from arena.sandboxes import SandboxSpec, SyncSandbox
box = SyncSandbox(SandboxSpec(processes=16, memory=64 << 20, disk=1 << 20))
box.write("x", "x")
snapshot = box.snapshot()
print(box.inner._bwrap.child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_program_s_sandboxes_die_and_are_swept_up(bwrap, box):
    before = left_overs()
    done = subprocess.run([sys.executable, "-c", CRASH], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(left_overs()) > len(before)
    assert Bubblewrap.cleanup_orphans() == 2
    assert left_overs() == before
    assert not alive(int(done.stdout))
    assert box.exec("echo fine").text == "fine\n"


def test_a_lost_sandbox_is_no_result(bwrap):
    """Somebody on the host killed it: that must never be scored as what the command did."""
    with SyncSandbox(SPEC) as sandbox:
        os.kill(sandbox.inner._bwrap._process.pid, signal.SIGKILL)
        with pytest.raises(SandboxUnavailable, match="signal 9"):
            sandbox.exec("sleep 5")


def test_a_sandbox_that_cannot_be_made_says_why(bwrap, tmp_path):
    with pytest.raises(SandboxUnavailable, match="bash"):
        SyncSandbox(SandboxSpec(image=str(tmp_path)))
    with pytest.raises(UsageError, match="/nowhere"):
        SyncSandbox(SandboxSpec(image="/nowhere"))


@pytest.fixture(scope="module")
def image():
    """A root file system of a few programs; where a sandbox's user can read it, which pytest's folders are not."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "etc").mkdir()
        (root / "etc" / "motd").write_text("tiny\n")
        (root / "etc" / "passwd").write_text("the image's own\n")
        for name in ("bash", "sh", "cat", "ls", "mkdir", "tar", "find", "chmod"):
            program = str(shutil.which(name))
            listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
            for source, target in [(program, f"/bin/{name}"), *((path, path) for path in re.findall(r"/\S+", listed))]:
                copy = root / target.lstrip("/")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(Path(source).resolve(), copy)
        yield root


def test_an_image_takes_the_place_of_the_host_s_programs(bwrap, image):
    with SyncSandbox(SandboxSpec(image=str(image), folders=("/work", "/data/set"))) as sandbox:
        assert "usr" not in sandbox.exec("ls /").text.split()
        assert sandbox.exec("cat /etc/motd").text == "tiny\n"
        assert "agent" in sandbox.exec("cat /etc/passwd").text
        assert sandbox.exec(["python3"]).exit_code == 127
        sandbox.write("/data/set/x", "kept")
        snapshot = sandbox.snapshot()
        sandbox.write("/data/set/x", "lost")
        sandbox.restore(snapshot)
        assert sandbox.read("/data/set/x") == b"kept"
