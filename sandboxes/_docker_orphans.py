"""Containers and networks that dead programs left with the Docker engine, and how what has ended did so."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any

from arena.sandboxes import _held
from arena.sandboxes._docker_engine import EXPIRES, HOLDER, HOST, SANDBOX, host_name, missing

OWN_FOLDERS = ("container-", "network-", "snapshot-")
"""What the folders are called that containers, networks and snapshots hold on this machine."""
GONE_SECONDS = 30.0
"""How long the engine may take to remove a container that is being removed already."""


def remove(api: Any) -> int:
    """Remove what belongs to no living program; how many things there were."""
    found = 0
    with _held.orphans() as folders:
        dead = set(map(str, folders))
        for container in api.containers(all=True, filters={"label": SANDBOX}):
            if _orphaned(container["Labels"], dead):
                found += remove_container(api, container["Id"])
        for network in api.networks(filters={"label": SANDBOX}):
            if _orphaned(network["Labels"], dead):
                found += remove_network(api, network["Id"])
        for folder in folders:
            if folder.name.startswith(OWN_FOLDERS):  # the other back end's hold more
                shutil.rmtree(folder, ignore_errors=True)
    return found


def remove_network(api: Any, network: str) -> bool:
    """Remove it; False where it was gone."""
    from docker.errors import APIError

    try:
        api.remove_network(network)
    except APIError as error:
        if missing(error):
            return False
        raise
    return True


def remove_container(api: Any, container: str) -> bool:
    """Remove it with all that runs in it, and wait until it is gone; False where it was."""
    from docker.errors import APIError

    with contextlib.suppress(APIError):
        api.unpause(container)  # what is paused cannot be ended; most are not
    try:
        api.remove_container(container, force=True, v=True)
        return True
    except APIError as error:
        if missing(error):
            return False
        if getattr(error.response, "status_code", None) != 409:  # it is being removed at this moment
            raise
    deadline = time.monotonic() + GONE_SECONDS
    while time.monotonic() < deadline:
        try:
            api.inspect_container(container)
        except APIError as error:
            if missing(error):
                return True
            raise
        time.sleep(0.01)
    return False


def ended_from_inside(api: Any, container: str) -> bool:
    """Whether a command brought a container to its end, and nobody outside: it filled the memory, or crashed process 1.

    That one ends with 0 when its input does, and with 137 when somebody on the engine's machine kills it.
    """
    happened = {"container": container, "event": ["oom", "kill", "die"]}
    events = api.events(since=int(time.time()) - 24 * 3600, until=int(time.time()) + 1, filters=happened, decode=True)
    with contextlib.closing(events):
        seen = [(event.get("Action"), event.get("Actor", {}).get("Attributes", {}).get("exitCode")) for event in events]
    actions = {action for action, _ in seen}
    crashed = any(action == "die" and code not in ("0", "137") for action, code in seen)
    return "oom" in actions or (crashed and "kill" not in actions)


def _orphaned(labels: dict[str, str], dead: set[str]) -> bool:
    holder = Path(labels.get(HOLDER, ""))
    if labels.get(HOST) == host_name():
        return str(holder) in dead or not holder.exists()
    return float(labels.get(EXPIRES, "inf")) < time.time()
