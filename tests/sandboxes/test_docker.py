"""What is Docker's own: how a container is hardened, users, images, and what happens when something dies."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import engine
import pytest

from arena.core.errors import MissingPrerequisite, UsageError
from arena.sandboxes import Bubblewrap, Docker, SandboxSpec, SandboxUnavailable, SyncSandbox, _docker_engine, images
from arena.sandboxes._docker_engine import SANDBOX

SPEC = SandboxSpec(processes=32, memory=64 << 20, disk=8 << 20, timeout=120, cpus=0.5)


@pytest.fixture(scope="module")
def api(require):
    require("docker")
    return _docker_engine.client()


@pytest.fixture(scope="module")
def box(api):
    with SyncSandbox(SPEC, Docker) as sandbox:
        yield sandbox


def containers(api):
    return {one["Id"] for one in engine.ours(api.containers(all=True, filters={"label": SANDBOX}))}


def test_a_container_is_hardened(api, box):
    """Each of these is one line that a refactoring could lose."""
    found = api.inspect_container(box.inner.container)
    host, config = found["HostConfig"], found["Config"]
    assert (host["NetworkMode"], host["CapDrop"], host["ReadonlyRootfs"]) == ("none", ["ALL"], True)
    assert "no-new-privileges" in host["SecurityOpt"]
    assert any(option.startswith("seccomp={") for option in host["SecurityOpt"])
    assert (host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (SPEC.memory, SPEC.memory, SPEC.processes + 8)
    assert host["NanoCpus"] == 500_000_000
    assert {limit["Name"]: limit["Hard"] for limit in host["Ulimits"]} == {
        "core": 0,
        "nofile": SPEC.open_files,
        "fsize": 2 * SPEC.disk,
    }
    assert (host["Binds"], host["Privileged"], host["AutoRemove"]) == (None, False, True)
    assert config["User"] == "1000:65533"
    assert float(config["Labels"]["arena.expires"]) > time.time()


def test_commands_of_other_users(box):
    """What root has placed, the agent can read and not change; and root has no power beyond its own files."""
    assert box.exec("id -u; echo given >/run/arena/answer; cat /proc/self/status | grep CapEff", user="root").text == (
        "0\nCapEff:\t0000000000000000\n"
    )
    assert box.read("/run/arena/answer") == b"given\n"
    assert box.exec("rm -f /run/arena/answer; echo mine >/run/arena/answer").exit_code != 0
    assert box.exec("touch /work/x", user="root").exit_code != 0


def test_a_command_of_another_user_runs_out_of_time_as_well(box):
    done = box.exec("echo before; sleep 60 & sleep 61", user="root", timeout=0.3)
    assert (done.timed_out, done.text) == (True, "before\n")
    assert "sleep" not in box.exec("cat /proc/[0-9]*/comm").text


def test_orphans_are_collected(box):
    """The supervisor is process 1: what is left to it must not stay as a zombie."""
    box.exec("for i in 1 2 3 4 5; do setsid sh -c 'sleep 0.05' & done; true")
    box.exec("while [[ $(cat /proc/[0-9]*/comm) = *sleep* ]]; do :; done", timeout=60)
    states = "cat /proc/[0-9]*/stat | sed 's/.*) //' | cut -c1"
    assert any("Z" not in box.exec(states).text.split() for _ in range(20))


CRASH = """
import os, signal
from arena.sandboxes import Bubblewrap, Docker, SandboxSpec, SyncSandbox
box = SyncSandbox(SandboxSpec(processes=16, memory=64 << 20, disk=1 << 20), Docker)
print(box.inner.container, flush=True)
if "paused" in os.sys.argv:
    box.pause()
os.kill(os.getpid(), signal.SIGKILL)
"""


def crash(*arguments):
    done = subprocess.run([sys.executable, "-c", CRASH, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.strip()


def test_a_killed_program_s_containers_end_with_it(api, box):
    """Nobody has to start Arena again for that: the container's input ends, and the engine removes it."""
    container = crash()
    deadline = time.monotonic() + 20
    while container in containers(api) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert container not in containers(api)
    assert box.exec("echo fine").text == "fine\n"


def test_what_a_dead_program_left_is_swept_up(api, box):
    """A paused container cannot end by itself."""
    container = crash("paused")
    before = containers(api)
    assert Docker.cleanup_orphans() >= 1  # other test processes share the engine
    assert before - containers(api) == {container}
    assert box.inner.container in containers(api)


def test_closing_leaves_nothing(api):
    before = containers(api)
    sandbox = SyncSandbox(SPEC, Docker)
    sandbox.shell().run("sleep 100 &")
    assert containers(api) > before
    sandbox.close()
    sandbox.close()
    assert containers(api) == before


def test_a_container_that_somebody_removes_is_no_result(api):
    """That must never be scored as what the command did."""
    with SyncSandbox(SPEC, Docker) as sandbox:
        api.kill(sandbox.inner.container)
        with pytest.raises(SandboxUnavailable, match="no command did that"):
            sandbox.exec("echo")


def test_taking_the_sandbox_down_is_a_result(api):
    """Files fill the memory until the kernel has nothing left to end but process 1: the agent's own doing."""
    with SyncSandbox(SandboxSpec(processes=32, memory=24 << 20, disk=64 << 20, timeout=120), Docker) as sandbox:
        for _ in range(3):
            done = sandbox.exec("for f in /work/a /tmp/b /dev/shm/c; do head -c 60M /dev/zero >$f; done")
        assert done.oom_killed or done.exit_code == 137


def test_no_engine_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(MissingPrerequisite, match="No Docker engine answers"):
        SyncSandbox(SPEC, Docker)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the docker package's own, where nobody listens
def test_a_killed_engine_is_no_result(api, monkeypatch):
    """The command that was under way gets an error and no score, and so does all that comes after it."""
    folder = Path(tempfile.mkdtemp(prefix=f"arena-engine-{os.getpid()}-"))
    monkeypatch.setenv(engine.VARIABLE, str(folder))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/docker.sock")
    try:
        assert engine.available()
        with SyncSandbox(SPEC, Docker) as sandbox, ThreadPoolExecutor() as threads:
            running = threads.submit(sandbox.exec, "sleep 20")
            shell = sandbox.shell()
            shell.run("true")
            os.kill(int((folder / "dockerd.pid").read_text()), signal.SIGKILL)
            with pytest.raises(SandboxUnavailable, match="engine"):
                running.result(timeout=30)
            for use in (lambda: sandbox.exec("true"), lambda: shell.run("true"), sandbox.snapshot, sandbox.stats):
                with pytest.raises(SandboxUnavailable):
                    use()
    finally:
        gc.collect()  # while the mark above holds
        engine.end(folder)


def test_snapshots_fit_the_other_back_end(api, require):
    """A task that was begun in a container goes on in a sandbox without a daemon, and back."""
    require("bwrap")
    spec = SandboxSpec(processes=32, memory=64 << 20, disk=4 << 20)
    with SyncSandbox(spec, Docker) as first, SyncSandbox(spec, Bubblewrap) as second:
        first.shell().run("mkdir deep && cd deep && echo one >f && chmod 640 f && ln -s f l && x='a b'")
        snapshot = first.snapshot()
        second.restore(snapshot)
        look = 'echo "$x" $PWD; cat f; stat -c %a f; readlink l'
        assert second.shell().run(look).text == "a b /work/deep\none\n640\nf\n"
        second.shell().run("echo two >f; x=c")
        back = second.snapshot()
        first.restore(back)
        assert first.shell().run(look).text == "c /work/deep\ntwo\n640\nf\n"
        for kept in (snapshot, back):
            kept.release()


def test_the_runtime_is_the_engine_s_to_find(api):
    """Whoever asks for gVisor, or another, where the engine has not got it is told how to get it."""
    for name, told in (("runsc", "apt-get install runsc"), ("kata", "ask whoever runs the engine")):
        if name not in api.info()["Runtimes"]:
            with pytest.raises(MissingPrerequisite, match=rf"no runtime '{name}', only .*runc.*\n.*{told}"):
                SyncSandbox(replace(SPEC, runtime=name), Docker)


def test_gvisor_is_a_runtime(require, api):
    """Another kernel answers; commands, the shell, timeouts, snapshots, sizes and the closed network are as ever."""
    require("gvisor")
    spec = SandboxSpec(runtime=engine.GVISOR, disk=8 << 20, timeout=120)
    with SyncSandbox(spec, Docker) as sandbox:
        assert api.inspect_container(sandbox.inner.container)["HostConfig"]["Runtime"] == engine.GVISOR
        assert sandbox.exec("cat /proc/version").text not in ("", Path("/proc/version").read_text())
        assert sandbox.exec("id -u; touch /x").text == "1000\n"
        shell = sandbox.shell()
        shell.run("cd /tmp; kept='a b'; echo one >/work/file")
        snapshot = sandbox.snapshot()
        shell.run("kept=c; rm /work/file")
        sandbox.restore(snapshot)
        snapshot.release()
        assert shell.run('echo "$kept" $PWD; cat /work/file').text == "a b /tmp\none\n"
        done = sandbox.exec("echo before; sleep 100 & sleep 101", timeout=0.5)
        assert (done.timed_out, done.text) == (True, "before\n")
        assert "No space left" in sandbox.exec("head -c 20M /dev/zero >/work/full").error_text
        assert sandbox.exec("python3 -c 'import socket; print(socket.if_nameindex())'").text == "[(1, 'lo')]\n"


# Images


def test_images_are_not_pulled_unasked(api):
    with pytest.raises(MissingPrerequisite, match="not pulled unasked"):
        SyncSandbox(SandboxSpec(image="arena/no-such-image:1"), Docker)


def test_an_image_from_a_dockerfile(api, tmp_path):
    (tmp_path / "Dockerfile").write_text(f"FROM {images.base_name()}\nCOPY note /note\nRUN echo built >>/note\n")
    (tmp_path / "note").write_text("copied\n")
    lines = []
    name = images.build(tmp_path, "arena-test/note:1", network="none", say=lines.append)
    try:
        with SyncSandbox(SandboxSpec(image=name), Docker) as sandbox:
            assert sandbox.read("/note") == b"copied\nbuilt\n"
        assert any("RUN" in line for line in lines)
    finally:
        api.remove_image(name, force=True)


def test_a_dockerfile_that_fails_says_where(api, tmp_path):
    (tmp_path / "Dockerfile").write_text(f"FROM {images.base_name()}\nRUN no-such-program\n")
    with pytest.raises(UsageError, match="no-such-program: not found"):
        images.build(tmp_path, "arena-test/fails:1", network="none")
    with pytest.raises(UsageError, match="no Dockerfile"):
        images.build(tmp_path / "nowhere", "arena-test/fails:1")


DOCKERFILE = """\
ARG VERSION="3.11"
from python:${VERSION} as build
COPY --chown=1 --from=example.org/uv:1 /uv /uv
RUN --mount=type=bind,from=tools:2,target=/x true
FROM --platform=linux/amd64 ${BASE:-debian:12}
COPY --from=build /a /a
COPY --from=0 /b /b
FROM scratch
"""


def test_what_a_dockerfile_starts_from_is_not_pulled_unasked(api, tmp_path):
    """The engine's own builder asks a registry for whatever it has not got."""
    assert images.started_from(DOCKERFILE) == ["python:3.11", "debian:12", "example.org/uv:1", "tools:2"]
    (tmp_path / "Dockerfile").write_text("FROM arena-test/no-such-image:1\n")
    with pytest.raises(MissingPrerequisite, match=r"not pulled unasked(?s:.)*docker pull arena-test/no-such-image:1"):
        images.build(tmp_path, "arena-test/fails:1")


@pytest.mark.parametrize("name", ["Big:1", "a b", "x:", "-x", ""])
def test_what_an_image_cannot_be_called(tmp_path, name):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(UsageError, match="cannot be called"):
        images.build(tmp_path, name)


def test_an_image_from_an_archive(api, tmp_path):
    """An image without a shell is imported, and says what is missing when it is used."""
    (tmp_path / "hello").write_text("hello\n")
    with tarfile.open(tmp_path / "root.tar", "w") as tar:
        tar.add(tmp_path / "hello", "hello")
    name = images.import_archive(tmp_path / "root.tar", "arena-test/tiny:1")
    try:
        with pytest.raises(SandboxUnavailable, match="bash"):
            SyncSandbox(SandboxSpec(image=name), Docker)
    finally:
        api.remove_image(name, force=True)
    (tmp_path / "bad.tar").write_text("rubbish")
    for wrong in ("none.tar", "bad.tar"):
        with pytest.raises(UsageError, match="no archive"):
            images.import_archive(tmp_path / wrong, "arena-test/tiny:2")


def test_the_base_image_is_made_once(api):
    said = []
    assert images.build_base(say=said.append) == images.base_name()
    assert said == [f"{images.base_name()} is there already"]
    assert images.base_name(["tree"]) != images.base_name()


def test_python_in_the_base_image_finds_its_standard_library_compiled(api):
    """Otherwise each start compiles what it imports: pytest took 0.4 s to load instead of 0.2."""
    compiled = "import argparse, ast, os; print(*[os.path.exists(module.__cached__) for module in (argparse, ast)])"
    with SyncSandbox(SPEC, Docker) as sandbox:
        assert sandbox.exec(["python3", "-I", "-c", compiled]).text.split() == ["True"] * 2


def test_a_sandbox_given_up_while_it_is_made_leaves_nothing(api, recwarn):
    """A pool that closes gives up those it is making; the engine's late answers then belong to nobody."""

    async def give_up(after: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(after):
                await (await Docker.create(SPEC)).close()

    before = containers(api)
    for step in range(12):
        asyncio.run(give_up(0.02 + 0.03 * step))  # the loop waits for its threads at the end
    gc.collect()
    assert containers(api) == before
    assert [str(warning.message) for warning in recwarn if warning.category is ResourceWarning] == []
