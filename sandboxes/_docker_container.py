"""What a Docker sandbox is made of: the arguments by which the engine makes its container."""

from __future__ import annotations

import json
import time
from typing import Any

from arena.sandboxes import _root, _seccomp
from arena.sandboxes._channels import INSIDE
from arena.sandboxes._docker_engine import EXPIRES, HOLDER, HOST, SANDBOX, TIME_TO_LIVE, host_name
from arena.sandboxes._docker_exec import BOOT
from arena.sandboxes.spec import SandboxSpec

SPARE_PROCESSES = 8
"""Room above the spec's limit, for the supervisor and what starts and ends commands."""
SUPERVISORS = 65_533
"""The group that the supervisor alone is in. It is of the same user as the commands, whom it could not end otherwise;
but without its group nobody may look into it, use its files or change its limits."""
WORLD = ("/tmp", "/var/tmp")
MASKED = (
    *(f"/proc/{name}" for name in (*_root.MASKED, "interrupts", "latency_stats", "timer_stats")),
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/kernel",
)
NOWHERE = "192.0.2.1"
"""Where questions for names outside of the sandbox's network go: an address that nobody has (RFC 5737)."""
READ_ONLY = tuple(f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger"))


def user(name: str, spec: SandboxSpec) -> str:
    """A user as the engine takes it: by number where the name is ours, so that the image need not know it."""
    return {"root": "0:0", spec.user: f"{_root.user_id(spec.user)}:{_root.user_id(spec.user)}"}.get(name, name)


def labels(holder: str) -> dict[str, str]:
    """What says whose it is and until when."""
    expires = str(int(time.time()) + TIME_TO_LIVE)
    return {SANDBOX: "container", HOLDER: holder, HOST: host_name(), EXPIRES: expires}


def folders(spec: SandboxSpec) -> dict[str, str]:
    """The writable places: place -> options of its tmpfs."""
    number = _root.user_id(spec.user)
    mine = f"uid={number},gid={number},mode=755"
    options = f"exec,nosuid,nodev,size={spec.disk}"
    places = dict.fromkeys(WORLD, f"{options},mode=1777") | dict.fromkeys(
        (INSIDE, *spec.read_only), f"{options},mode=755"
    )
    return places | dict.fromkeys((_root.home(spec.user), *spec.folders), f"{options},{mine}")


def arguments(api: Any, spec: SandboxSpec, *, image: str, holder: str) -> dict[str, Any]:
    """For `create_container`."""
    from docker.types import LogConfig, Ulimit

    limits = {"core": 0, "nofile": spec.open_files, "fsize": 2 * spec.disk}
    host = api.create_host_config(
        auto_remove=True,
        cap_drop=["ALL"],
        cgroupns="private",
        ipc_mode="private",
        log_config=LogConfig(type=LogConfig.types.NONE),
        mem_limit=spec.memory,
        memswap_limit=spec.memory,
        nano_cpus=round(spec.cpus * 1e9) if spec.cpus else None,
        network_mode=spec.network,
        dns=[NOWHERE] if spec.network != "none" else None,
        pids_limit=spec.processes + SPARE_PROCESSES,
        read_only=True,
        runtime=spec.runtime,
        security_opt=["no-new-privileges", f"seccomp={json.dumps(_seccomp.profile())}"],
        shm_size=spec.disk,
        tmpfs=folders(spec),
        ulimits=[Ulimit(name=name, soft=most, hard=most) for name, most in limits.items()],
    )
    host["MaskedPaths"], host["ReadonlyPaths"] = list(MASKED), list(READ_ONLY)
    own = {"HOME": _root.home(spec.user), "USER": spec.user, "LANG": "C.UTF-8", "TERM": "dumb"}
    return {
        "image": image,
        "entrypoint": list(BOOT),
        "command": [],
        "environment": {**own, **spec.env},
        "healthcheck": {"test": ["NONE"]},
        "host_config": host,
        "hostname": "sandbox",
        "labels": labels(holder),
        "stdin_open": True,
        "networking_config": _networking(api, spec),
        "user": f"{_root.user_id(spec.user)}:{SUPERVISORS}",
        "working_dir": spec.folders[0],
    }


def _networking(api: Any, spec: SandboxSpec) -> dict[str, Any] | None:
    if spec.network == "none" or not spec.name:
        return None
    networking: dict[str, Any] = api.create_networking_config(
        {spec.network: api.create_endpoint_config(aliases=[spec.name])}
    )
    return networking
