"""The shop in a browser: the same choices as in the text environment earn the same rewards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from html import escape
from urllib.parse import urlencode

import numpy as np
import pytest

from arena.core.seeds import EVAL_SEEDS
from arena.environments.web._env import ORIGIN
from arena.environments.web._serving import Request
from arena.environments.web.shop._visit import Visit
from arena.environments.web.shop.pages import ShopPages, _site
from arena.environments.web.shop.text import Shop


def choices(env: Shop, generator: np.random.Generator, most: int) -> list[str]:
    """A customer who searches, looks around at random, and buys at last."""
    actions = [f"search[{env.state.place.goal.product.query}]"]
    env.step(actions[0])
    for _ in range(int(generator.integers(2, most))):
        legal = env.legal_actions()
        if env._visit().can_search:
            action = legal[0]
        else:
            buying = [one for one in legal if one == "click[buy now]"]
            action = buying[0] if buying and generator.random() < 0.3 else legal[int(generator.integers(1, len(legal)))]
        actions.append(action)
        if env.step(action)[2]:
            break
    return actions


async def on_the_page(env: ShopPages, action: str) -> tuple[float, bool]:
    """Do on the page what the text's action says, scrolling to it where it is further down."""
    verb, _, what = action.removesuffix("]").partition("[")
    if verb == "search":
        elements = env.eyes.view.elements.values()
        field = next(element.ref for element in elements if element.tag == "input")
        button = next(element.ref for element in elements if element.name == "Search")
        _, reward, done, _, _ = await env.step(
            f"fill({json.dumps(field)}, {json.dumps(what)})\nclick({json.dumps(button)})"
        )
        return reward, done
    for _ in range(12):
        for element in env.eyes.view.elements.values():
            if element.tag == "button" and element.name.lower() == what:
                _, reward, done, _, info = await env.step(f"click({json.dumps(element.ref)})")
                assert info["valid"], info
                return reward, done
        await env.step("scroll(0, 500)")
    raise AssertionError(f"{what} is nowhere on the page")


EPISODES = range(200)


def script_of(text: Shop, number: int) -> list[str]:
    """What a customer does in one of the episodes, of which the text environment is then at the beginning."""
    text.reset(seed=EVAL_SEEDS + number)
    script = choices(text, np.random.default_rng(number), 10)
    text.reset(seed=EVAL_SEEDS + number)
    return script


class Clerk:
    """Sends the forms of the pages as a browser would, and sees nothing but what they say."""

    def __init__(self, pages: ShopPages) -> None:
        self._site = _site(pages.visit)
        self._show(f"{ORIGIN}/")

    def act(self, action: str) -> None:
        verb, _, what = action.removesuffix("]").partition("[")
        if verb == "search":
            assert 'name="keywords"' in self._html
            return self._send("/search", {"keywords": what})
        assert f'name="what" value="{escape(what)}"' in self._html, f"{what} is nowhere on the page"
        return self._send("/click", {"what": what})

    def _send(self, path: str, fields: dict[str, str]) -> None:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = self._site(Request("POST", f"{ORIGIN}{path}", headers, urlencode(fields).encode()))
        assert answer.status == 303
        self._show(f"{ORIGIN}{answer.headers['location']}")

    def _show(self, url: str) -> None:
        self._html = str(self._site(Request("GET", url, {}, b"")).body)


def test_text_and_pages_agree_on_what_choices_are_worth():
    """200 episodes: the same results, the same rewards, by the forms of the pages."""
    text, pages, rewards = Shop(mode="url"), ShopPages(), []
    for number in EPISODES:
        script = script_of(text, number)
        pages.visit = Visit(pages._search, text.state.place.goal)
        clerk = Clerk(pages)
        for action in script:
            _, expected, done, _, _ = text.step(action)
            clerk.act(action)
            verdict = asyncio.run(pages.judge())
            assert (verdict.earned, verdict.done) == (expected, done)
            assert pages.visit.state == text.state.place, "the page shows another place than the text"
        if done:
            rewards.append(expected)
    assert len(rewards) > 100
    assert len(set(rewards)) > 5, "all purchases were worth the same, so nothing was compared"


def test_text_and_browser_agree_on_what_choices_are_worth(require):
    """The same episodes on the pages that a browser shows: the same wishes, results and rewards."""
    require("chromium")

    async def play(numbers: Iterator[int]) -> None:
        text, pages = Shop(mode="url"), ShopPages()
        for number in numbers:
            script = script_of(text, number)
            await pages.reset(seed=EVAL_SEEDS + number)
            assert pages.visit.state.goal == text.state.place.goal
            for action in script:
                _, expected, done, _, _ = text.step(action)
                assert await on_the_page(pages, action) == (expected, done)
                assert pages.visit.state == text.state.place, "the page shows another place than the text"
        await pages.close()

    async def together() -> None:
        numbers = iter(EPISODES)
        await asyncio.gather(*(play(numbers) for _ in range(2)))

    asyncio.run(together())


def test_a_page_that_is_out_of_date_buys_nothing(require):
    """Going back in the browser shows an old page; its buttons must not act on the new one."""
    require("chromium")

    async def play() -> None:
        env = ShopPages()
        await env.reset(seed=EVAL_SEEDS)
        await env.step(env.oracle_action())
        place = env.visit.state
        _, reward, done, _, _ = await env.step("go_back()")
        assert (reward, done) == (0.0, False)
        assert env.visit.state == place
        assert "Total results" in env.eyes.view.text
        await env.close()

    asyncio.run(play())


@pytest.mark.parametrize("number", range(2))
def test_the_oracle_buys_the_right_thing(require, number):
    require("chromium")

    async def play() -> float:
        env = ShopPages()
        await env.reset(seed=EVAL_SEEDS + number)
        done, reward, turns = False, 0.0, 0
        while not done and turns < 30:
            _, reward, done, _, _ = await env.step(env.oracle_action())
            turns += 1
        await env.close()
        return reward

    assert asyncio.run(play()) == 1.0
