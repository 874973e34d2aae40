"""Networks of Docker sandboxes: who reaches whom."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import engine
import pytest

from arena.core.errors import UsageError
from arena.sandboxes import Bubblewrap, Docker, Network, SandboxSpec, _docker_engine
from arena.sandboxes._docker_engine import SANDBOX
from arena.sandboxes._proxy import allowed, target_of

SPEC = SandboxSpec(processes=64, memory=128 << 20, disk=4 << 20, timeout=120)
SERVE = "mkdir site; echo hello >site/index.html; cd site; python3 -m http.server 8000 >/dev/null 2>&1 &"
FETCH = """
import sys, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode().strip())
except OSError as error:
    print("refused", getattr(error, "code", ""))
"""


@pytest.fixture(scope="module", autouse=True)
def docker(require):
    require("docker")


def networks():
    return engine.ours(_docker_engine.client().networks(filters={"label": SANDBOX}))


async def fetch(sandbox, address):
    return (await sandbox.exec(["python3", "-c", FETCH, address])).text.strip()


async def server(network, name):
    sandbox = await Docker.create(network.spec(SPEC, name))
    shell = await sandbox.shell()
    await shell.run(SERVE)
    await sandbox.exec("until (exec 3<>/dev/tcp/127.0.0.1/8000) 2>/dev/null; do sleep 0.1; done")
    return sandbox


def test_containers_of_one_task_reach_each_other_and_nobody_else():
    async def play():
        with socket.create_server(("0.0.0.0", 0)) as host:
            port = host.getsockname()[1]
            async with (
                await Network.create() as network,
                await Network.create() as other,
                await server(network, "app"),
                await Docker.create(network.spec(SPEC)) as agent,
                await Docker.create(other.spec(SPEC)) as stranger,
            ):
                assert await fetch(agent, "http://app:8000/") == "hello"
                assert (await fetch(stranger, "http://app:8000/")).startswith("refused")
                for gateway in ("172.17.0.1", "172.18.0.1", "172.19.0.1", "127.0.0.1"):
                    assert (await fetch(agent, f"http://{gateway}:{port}/")).startswith("refused")
                assert (await fetch(agent, "http://example.org/")).startswith("refused")

    asyncio.run(play())
    assert not networks()


def test_only_allowed_hosts_are_reached_through_the_proxy():
    """Another internal network stands for the outside."""

    async def play():
        async with (
            await Network.create() as outside,
            await server(outside, "good.test"),
            await server(outside, "bad.test"),
            await Network.create(allow=["good.test"], outside=outside.name) as network,
            await Docker.create(network.spec(SPEC)) as agent,
        ):
            assert await fetch(agent, "http://good.test:8000/") == "hello"
            assert await fetch(agent, "http://bad.test:8000/") == "refused 403"
            direct = await agent.exec(
                ["env", "-u", "http_proxy", "-u", "HTTP_PROXY", "python3", "-c", FETCH, "http://good.test:8000/"]
            )
            assert direct.text.startswith("refused")

    asyncio.run(play())


def test_a_network_given_up_while_it_is_made_is_removed():
    """The engine has room for a few dozen networks: one that nobody knows of would take it until the program ends."""

    async def give_up(after):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(after):
                await (await Network.create()).close()

    for step in range(8):
        asyncio.run(give_up(0.02 * step))  # the loop waits for its threads at the end
    assert not networks()


def test_bubblewrap_has_no_network(require):
    with pytest.raises(UsageError, match="takes Docker"):
        asyncio.run(Bubblewrap.create(SandboxSpec(network="x")))


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [("a.org", True), ("A.ORG.", True), ("x.b.org", True), ("b.org", False), ("xa.org", False), ("a.org.evil", False)],
)
def test_hosts_of_the_list(host, is_allowed):
    assert allowed(host, ["a.org", "*.b.org"]) is is_allowed


def test_requests_for_a_proxy():
    assert target_of("CONNECT a.org:443 HTTP/1.1") == ("a.org", 443, "")
    assert target_of("GET http://a.org/x?y=1 HTTP/1.1") == ("a.org", 80, "GET /x?y=1 HTTP/1.1\r\n")
    for wrong in ("GET /x HTTP/1.1", "GET ftp://a/ HTTP/1.1", "nonsense"):
        with pytest.raises(ValueError, match=r"ftp|/x|unpack"):
            target_of(wrong)
