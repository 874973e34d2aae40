"""A Docker engine for the tests, where none runs: one for the whole session, all of it under a temporary folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

VARIABLE = "ARENA_TEST_ENGINE"
"""The folder, told to the worker processes of pytest-xdist."""
INSTALL = "apt-get install docker.io containerd runc tini iptables mmdebstrap, and run the tests as root"
START_SECONDS = 60.0
END_SECONDS = 20.0
OPTIONS = ("--iptables=false", "--bridge=none", "--ip-forward=false", "--ip-masq=false")
"""It leaves the host's network alone, so that containers have none."""
GVISOR = "gvisor"
"""What gVisor is called there, where it is installed; not `runsc`, so that an engine without that is at hand too."""


def prepare() -> None:
    """Before anything is started: agree on the folder, and end what a killed session left running."""
    above = Path(tempfile.gettempdir())
    for folder in above.glob("arena-engine-*"):
        session = folder.name.split("-")[2]
        if session.isdigit() and not _runs(int(session)):
            end(folder)
    os.environ[VARIABLE] = tempfile.mkdtemp(prefix=f"arena-engine-{os.getpid()}-")


def available() -> bool:
    """Whether there is an engine with the base image: the one that `DOCKER_HOST` names, or our own, now started."""
    from arena.core.errors import ArenaError
    from arena.sandboxes import Docker, images

    with _locked():
        try:
            if not _answers() and not _start():
                return False
            images.build_base()
            Docker.preflight()
        except ArenaError as error:
            warnings.warn(f"no Docker sandboxes: {error}", stacklevel=2)
            return False
    return True


def has_gvisor() -> bool:
    """Whether the engine can run containers in gVisor."""
    if not available():
        return False
    from arena.sandboxes import _docker_engine

    return GVISOR in _docker_engine.client().info()["Runtimes"]


def end(folder: Path | None = None) -> None:
    """End our own engine, if there is one, by its process number, and remove what it kept."""
    folder = folder or Path(os.environ.pop(VARIABLE))
    file = folder / "dockerd.pid"
    if file.exists() and _runs(pid := int(file.read_text())):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + END_SECONDS
        while _runs(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
    for pid in _of(folder):  # the keepers of containers that did not end in time
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for mount in reversed(Path("/proc/mounts").read_text().splitlines()):
        place = mount.split()[1]
        if Path(place).is_relative_to(folder):
            subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def ours(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The containers or networks that this test process holds: others share the engine, and images are built in
    containers that nobody holds.
    """
    from arena.sandboxes._docker_engine import HOLDER

    return [one for one in found if one["Labels"].get(HOLDER, "").startswith(os.environ["ARENA_SANDBOX_DIR"])]


def _of(folder: Path) -> list[int]:
    """The processes whose command names the folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.fsencode(folder) in file.read_bytes() and int(file.parent.name) != os.getpid():
                found.append(int(file.parent.name))
    return found


def _answers() -> bool:
    socket = Path(os.environ[VARIABLE]) / "docker.sock"
    if socket.exists():
        os.environ["DOCKER_HOST"] = f"unix://{socket}"
    found = shutil.which("docker") is not None
    return found and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def _start() -> bool:
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        return False
    folder = Path(os.environ[VARIABLE])
    places = {"data-root": "data", "exec-root": "exec", "pidfile": "dockerd.pid", "host": "docker.sock"}
    where = [f"--{option}={'unix://' if option == 'host' else ''}{folder / name}" for option, name in places.items()]
    for left in ("dockerd.pid", "exec/containerd/containerd.pid"):  # a killed engine leaves them
        (folder / left).unlink(missing_ok=True)
    if shutil.which("runsc"):
        program = folder / "runsc"
        program.write_text(
            '#!/bin/sh\nexec runsc --network=none "$@"\n'
        )  # newer kernels look to it as without a network
        program.chmod(0o755)
        where.append(f"--add-runtime={GVISOR}={program}")
    begin = 'exec setsid -f "$@" </dev/null >>"$0" 2>&1'
    subprocess.run(["sh", "-c", begin, folder / "log", "dockerd", *where, *OPTIONS], check=True)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if _answers():
            return True
        time.sleep(0.1)
    warnings.warn(f"dockerd did not come up: {(folder / 'log').read_text()[-2000:]}", stacklevel=2)
    return False


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    with (Path(os.environ[VARIABLE]) / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
