"""The Docker engine that `DOCKER_HOST` names: calls that do not block the loop, and errors of ours for its own."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from arena.core.errors import MissingPrerequisite, SandboxUnavailable

T = TypeVar("T")

SANDBOX, HOLDER, HOST, EXPIRES = "arena.sandbox", "arena.holder", "arena.host", "arena.expires"
"""Labels of everything that belongs to a sandbox: its kind; the folder whose lock says that its program lives, and on
which machine; when it may be removed even so, in seconds since 1970."""
TIME_TO_LIVE = 24 * 3600
"""Seconds that a container may live at most. It ends with its program anyhow, which holds its input open."""
PATIENCE = 60
"""Seconds that the engine may take to answer."""
DEFAULT_HOST = "unix:///var/run/docker.sock"
INSTALL = "apt-get install docker.io, or DOCKER_HOST=unix:///path/of/docker.sock"


def client() -> Any:
    """The low-level client of the `docker` package for the engine that the environment names now.

    Raises:
        MissingPrerequisite: the package is not installed, or DOCKER_HOST makes no sense.
    """
    names = ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
    return _client(*(os.environ.get(name, "") for name in names))


@cache
def _client(host: str, verify: str, certificates: str) -> Any:
    try:
        import docker
    except ImportError:
        raise MissingPrerequisite("Docker sandboxes need the package docker.", 'pip install "arena-gym[swe]"') from None
    _check_socket(host or DEFAULT_HOST)
    try:
        return docker.DockerClient.from_env(timeout=PATIENCE, max_pool_size=32, version="auto").api
    except docker.errors.DockerException as error:
        where = host or "the default socket"
        raise MissingPrerequisite(f"No Docker engine answers at {where}: {_words(error)}", INSTALL) from error


def _check_socket(host: str) -> None:
    """The package would leave its socket open where nobody listens."""
    kind, _, path = host.partition("://")
    if kind == "unix":
        with socket.socket(socket.AF_UNIX) as trial:
            try:
                trial.connect(path)
            except OSError as error:
                raise MissingPrerequisite(f"No Docker engine answers at {host}: {error.strerror}.", INSTALL) from error


@contextmanager
def errors_of_ours(doing: str) -> Iterator[None]:
    """Turn what the package raises into SandboxUnavailable: "The sandbox could not be `doing`: …"."""
    import docker
    import requests

    try:
        yield
    except docker.errors.DockerException as error:
        raise SandboxUnavailable(f"The sandbox could not be {doing}: {_words(error)}") from error
    except requests.RequestException as error:
        where = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
        raise SandboxUnavailable(
            f"The sandbox could not be {doing}: the Docker engine at {where} does not answer ({error})."
        ) from error
    except OSError as error:
        raise SandboxUnavailable(f"The sandbox could not be {doing}: {_words(error)}") from error


async def call(
    doing: str, method: Callable[..., T], *arguments: Any, undo: Callable[[T], object] | None = None, **options: Any
) -> T:
    """One call to the engine, in a thread; `undo` gets an answer that comes when the task has been cancelled.

    Raises:
        SandboxUnavailable: the engine is not there, or refused.
    """
    answers: list[T] = []
    lock, wanted = threading.Lock(), True

    def drop(answer: T) -> None:
        if undo:
            with suppress(SandboxUnavailable), errors_of_ours(doing):
                undo(answer)

    def work() -> T:
        answer = method(*arguments, **options)
        with lock:
            answers.append(answer)
            late = not wanted
        if late:
            drop(answer)
        return answer

    with errors_of_ours(doing):
        try:
            return await asyncio.to_thread(work)
        except asyncio.CancelledError:  # the thread goes on
            with lock:
                wanted = False
                came = list(answers)
            for answer in came:
                drop(answer)
            raise


def check_runtime(api: Any, name: str) -> None:
    """See that the engine has a runtime of this name.

    Raises:
        MissingPrerequisite: it has not; says how to add gVisor's.
    """
    known = api.info().get("Runtimes") or {}
    if name in known:
        return
    install = "ask whoever runs the engine for it"
    if name == "runsc":
        setting = '{"runtimes": {"runsc": {"path": "/usr/bin/runsc", "runtimeArgs": ["--network=none"]}}}'
        install = f"apt-get install runsc, {setting} in /etc/docker/daemon.json, and restart the engine"
    raise MissingPrerequisite(f"The Docker engine has no runtime {name!r}, only {', '.join(sorted(known))}.", install)


def missing(error: BaseException | None) -> bool:
    """Whether the engine answered that there is no such thing."""
    return getattr(getattr(error, "response", None), "status_code", None) == 404


def host_name() -> str:
    """This machine, for labels."""
    machine = Path("/etc/machine-id")
    return machine.read_text().strip() if machine.exists() else socket.gethostname()


def _words(error: BaseException) -> str:
    return str(getattr(error, "explanation", None) or error)
