"""Sandboxes made ahead, on each back end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from pathlib import Path

import pytest

from arena.core.errors import UsageError
from arena.sandboxes import Pool, SandboxSpec, SandboxUnavailable, SyncPool

SPEC = SandboxSpec(processes=32, memory=64 << 20, disk=4 << 20, timeout=120)


def test_each_is_used_once(back_end):
    """What one episode left in its sandbox must never be met by the next."""

    async def play():
        async with Pool(back_end, SPEC, size=2) as pool:
            assert pool.ready == 2
            seen = set()
            for _ in range(4):
                async with await pool.take() as sandbox:
                    assert (await sandbox.exec("ls -A /work /tmp")).text == "/tmp:\n\n/work:\n"
                    await sandbox.write("left", "behind")
                    seen.add(id(sandbox))
                    kept = sandbox
                with pytest.raises(SandboxUnavailable):
                    await kept.exec("true")
            await pool.fill()
            ready = list(pool._ready)
        for sandbox in ready:
            assert not await sandbox.alive()
        with pytest.raises(UsageError, match="closed"):
            await pool.take()

    asyncio.run(play())


def test_more_are_taken_at_once_than_are_ready(back_end):
    async def play():
        async with Pool(back_end, SPEC, size=1, prepare=lambda sandbox: sandbox.write("given", "x")) as pool:
            taken = await asyncio.gather(*(pool.take() for _ in range(3)))
            assert len(set(map(id, taken))) == 3
            assert [await sandbox.read("given") for sandbox in taken] == [b"x"] * 3
            for sandbox in taken:
                await sandbox.close()
            await pool.drain()
            assert pool.ready == 0

    asyncio.run(play())


def test_what_died_in_the_pool_is_not_handed_on(back_end):
    async def play():
        async with Pool(back_end, SPEC, size=2) as pool:
            dead = pool._ready[0]
            await dead.close()
            async with await pool.take() as sandbox:
                assert sandbox is not dead
                assert (await sandbox.exec("echo fine")).text == "fine\n"

    asyncio.run(play())


def test_a_pool_that_cannot_make_any_says_why(back_end):
    async def play():
        async def prepare(_):
            raise SandboxUnavailable("no preparation today")

        pool = Pool(back_end, SPEC, size=2, prepare=prepare)
        for _ in range(2):
            with pytest.raises(SandboxUnavailable, match="no preparation"):
                await pool.take()
        await pool.close()
        await pool.close()

    asyncio.run(play())
    with pytest.raises(UsageError, match="at least one"):
        Pool(back_end, SPEC, size=0)


def test_threads_share_a_pool(back_end):
    with SyncPool(back_end, SPEC, size=1) as pool:
        with pool.take() as first, pool.take() as second:
            first.write("x", "1")
            assert second.exec("ls").text == ""
        first.close()


def test_whoever_waits_hears_of_any_error(back_end):
    """A preparation with a bug must not leave its user waiting for ever."""

    async def play():
        async def prepare(_):
            raise ZeroDivisionError("a bug")

        pool = Pool(back_end, SPEC, size=1, prepare=prepare)
        with pytest.raises(ZeroDivisionError, match="a bug"):
            await pool.take()
        await pool.close()

    asyncio.run(play())


def test_closing_goes_on_when_its_caller_is_cancelled(back_end):
    """A pool that is drained cancels makers that may be closing a sandbox; half closed, it would leave processes."""

    async def play():
        for step in range(6):
            sandbox = await back_end.create(SPEC)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(sandbox.close(), 0.001 * step**2)
            await sandbox.close()
        gc.collect()

    kept = Path(os.environ["ARENA_SANDBOX_DIR"])
    before = set(kept.glob("*/"))
    asyncio.run(play())
    assert set(kept.glob("*/")) == before
