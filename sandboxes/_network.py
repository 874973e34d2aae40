"""Networks of Docker sandboxes: several containers of one task that reach each other, and a few named hosts if any."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from arena.core.errors import SandboxUnavailable
from arena.sandboxes import _docker_engine, _docker_orphans, _held
from arena.sandboxes._closing import to_the_end
from arena.sandboxes._docker_container import labels
from arena.sandboxes._docker_engine import SANDBOX, call
from arena.sandboxes.docker import Docker
from arena.sandboxes.spec import MIB, SandboxSpec

__all__ = ["Network"]

PROXY, PORT = "proxy", 3128
"""The name and port under which the sandboxes reach the way out."""


class Network:
    """A network of its own for the containers of one task, without a way out unless some hosts are allowed.

    Use it as an async context manager, or close it, after the sandboxes in it. A sandbox joins by the spec that
    `spec` returns, and the others reach it by the name given there.
    """

    def __init__(self) -> None:
        self.name = f"arena-{secrets.token_hex(6)}"
        self.allow: tuple[str, ...] = ()
        self._api = _docker_engine.client()
        self._folder = _held.HeldFolder("network")
        self._proxy: Docker | None = None
        self._made = False

    @classmethod
    async def create(cls, allow: Sequence[str] = (), outside: str = "bridge") -> Self:
        """Make a network.

        Args:
            allow: hosts that may be reached through a proxy, `*.name` for all below one; none by default.
            outside: the engine's network that leads to them.

        Raises:
            MissingPrerequisite: there is no engine, or it has no base image for the proxy.
            SandboxUnavailable: the engine did not make it.
        """
        network = cls()
        try:
            # Without an address of the host's own, nothing that listens there can be reached either.
            bridge = {"com.docker.network.bridge.inhibit_ipv4": "true"}
            told = labels(str(network._folder.path)) | {SANDBOX: "network"}
            options: dict[str, Any] = {"internal": True, "options": bridge, "labels": told}
            make = network._api.create_network

            def remove(made: dict[str, str]) -> None:
                _docker_orphans.remove_network(network._api, made["Id"])

            await call("given its network", make, network.name, undo=remove, **options)
            network._made = True
            if allow:
                await network._open(tuple(allow), outside)
        except BaseException:
            await network.close()
            raise
        return network

    def spec(self, spec: SandboxSpec, name: str = "") -> SandboxSpec:
        """The same sandbox in this network, under a name, with the proxy's address in its environment."""
        proxies = {}
        if self.allow:
            address = f"http://{PROXY}:{PORT}"
            proxies = {name: address for low in ("http_proxy", "https_proxy") for name in (low, low.upper())}
        return replace(spec, network=self.name, name=name, env={**proxies, **spec.env})

    @to_the_end
    async def close(self) -> None:
        """Remove it; a second call does nothing."""
        if self._proxy:
            await self._proxy.close()
            self._proxy = None
        if self._made:
            self._made = False
            await call("closed", _docker_orphans.remove_network, self._api, self.name)
        self._folder.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _open(self, allow: tuple[str, ...], outside: str) -> None:
        spec = SandboxSpec(network=self.name, name=PROXY, memory=256 * MIB, disk=MIB)
        self._proxy = await Docker.create(spec)
        await call("given its network", self._api.connect_container_to_network, self._proxy.container, outside)
        await self._proxy.write("proxy.py", Path(__file__).with_name("_proxy.py").read_bytes())
        words = " ".join(f"'{host}'" for host in allow)
        shell = await self._proxy.shell()
        wait = "for i in {1..100}; do grep -q serving log && break; sleep 0.1; done; cat log"
        begun = await shell.run(f"python3 proxy.py {PORT} {words} >log 2>&1 & {wait}")
        if "serving" not in begun.text:
            raise SandboxUnavailable(f"The proxy did not start: {begun.text}{begun.error_text}")
        self.allow = allow
