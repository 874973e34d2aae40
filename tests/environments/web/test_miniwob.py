"""MiniWoB++: every page can be played, started anew in place, and earns nothing by waiting; oracles solve theirs."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("playwright")
pytest.importorskip("miniwob")

import numpy as np
from rotation import rotating

from arena.core.errors import UnknownName, UsageError
from arena.environments.web.miniwob import _pages
from arena.environments.web.miniwob.env import MiniWoB
from arena.environments.web.miniwob.oracles import ORACLES

SUITES = Path(MiniWoB.__init__.__code__.co_filename).parents[1] / "suites"
SEED = 2**31


@pytest.fixture(autouse=True)
def _browser(require):
    require("chromium")


async def solved(env: MiniWoB, page: str, seed: int) -> dict:
    """The info at the end of an episode that the oracle plays."""
    await env.reset(seed=seed, options={"task": page})
    for _ in range(10):
        _, _, ended, _, info = await env.step(await env.oracle_action())
        assert info["valid"] or page == "login-user-popup", info
        if ended:
            return info
    raise AssertionError(f"{page} is not over after ten turns")


def test_suites_name_each_page_once():
    """A page without an oracle must not stand in a proved suite, and none may be forgotten."""
    pages = {
        name: tomllib.loads((SUITES / f"{name}.toml").read_text())["tasks"][0]["names"]
        for name in ("miniwob", "miniwob-unproved", "miniwob-small")
    }
    assert pages["miniwob"] == sorted(ORACLES)
    assert sorted(pages["miniwob"] + pages["miniwob-unproved"]) == list(_pages.names())
    assert set(pages["miniwob-small"]) <= set(ORACLES)
    assert len(_pages.names()) == 130


@pytest.mark.parametrize("page", _pages.names())
def test_page_is_played_solved_and_started_anew_in_place(page):
    """What an episode did to a page must not be seen in the next; and a page must know its end.

    A task in the proved suite that its oracle cannot solve measures nothing.
    """

    async def play() -> tuple[str, str, tuple]:
        env = MiniWoB()
        try:
            first, _ = await env.reset(seed=SEED, options={"task": page})
            await env.reset(seed=SEED + 1, options={"task": page})
            generator = np.random.default_rng(5)
            for _ in range(2):
                legal = await env.legal_actions()
                _, _, ended, _, info = await env.step(legal[int(generator.integers(len(legal)))])
                assert info["valid"], info
                if ended:
                    break
            for number in rotating(range(20), 20) if page in ORACLES else ():
                assert (await solved(env, page, SEED + number))["score"] == 1.0, number
            again, _ = await env.reset(seed=SEED, options={"task": page})
            await env.there(env.session.page.evaluate("core.endEpisode(0.7)"))
            return str(first), str(again), await env.step("noop(1)")
        finally:
            await env.close()

    first, again, (_, reward, ended, _, info) = asyncio.run(play())
    assert len(first) > 40
    assert again == first
    assert ended
    assert (reward, info["score"], info["success"]) == (1.0, 1.0, True)


@pytest.mark.parametrize("page", [*rotating(name for name in _pages.names() if name != "chase-circle"), "chase-circle"])
def test_waiting_earns_nothing(page):
    """A page that pays for ten turns of nothing would make every score too high."""

    async def wait() -> tuple[float, float]:
        env = MiniWoB()
        try:
            await env.reset(seed=SEED, options={"task": page})
            _, reward, ended, _, info = await env.step("\n".join(["noop()"] * 10))
            if not ended:
                reward, info = await env.conclude("turns")
            return reward, info["score"]
        finally:
            await env.close()

    assert asyncio.run(wait()) == (0.0, 0.0)


def test_raw_reward_is_the_pages_own_and_shrinks_with_time():
    """`raw` must tell a wrong click (-1) from nothing (0), and half of the time gone from none."""

    async def play() -> tuple[float, float, dict]:
        env = MiniWoB(reward="raw", time_limit=10_000)
        try:
            await env.reset(seed=SEED, options={"task": "click-test-2"})
            await env.step("noop(4000)")
            _, late, *_ = await env.step(await env.oracle_action())
            await env.reset(seed=SEED, options={"task": "click-test-2"})
            wrong = next(e.ref for e in env.eyes.view.elements.values() if e.name == "TWO")
            _, reward, _, _, info = await env.step(f'click("{wrong}")')
            return late, reward, info
        finally:
            await env.close()

    late, reward, info = asyncio.run(play())
    assert 0.4 < late < 0.6
    assert (reward, info["score"], info["success"]) == (-1.0, 0.0, False)


def test_no_task_draws_a_page_and_a_wrong_one_is_refused_with_what_there_is():
    async def play() -> str:
        env = MiniWoB()
        try:
            _, info = await env.reset(seed=SEED)
            with pytest.raises(UnknownName, match="click-button"):
                await env.reset(seed=SEED, options={"task": "click-buton"})
            return info["instance"]
        finally:
            await env.close()

    assert asyncio.run(play()).partition(":")[0] in _pages.names()


def test_parameters_that_make_no_sense_are_refused():
    with pytest.raises(UnknownName, match="binary"):
        MiniWoB(reward="binry")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="milliseconds"):
        MiniWoB(time_limit=10)
