"""The shop in a browser: the same choices as in the text environment earn the same rewards."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from rotation import rotating

from arena.core.seeds import EVAL_SEEDS
from arena.environments.web.shop.pages import ShopPages
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


def test_text_and_pages_agree_on_what_choices_are_worth(require):
    """200 episodes: the same wishes, the same results, the same rewards."""
    require("chromium")

    async def play() -> list[tuple[float, float]]:
        text, pages = Shop(mode="url"), ShopPages()
        found = []
        for number in rotating(range(200)):
            text.reset(seed=EVAL_SEEDS + number)
            script = choices(text, np.random.default_rng(number), 10)
            text.reset(seed=EVAL_SEEDS + number)
            await pages.reset(seed=EVAL_SEEDS + number)
            assert pages.visit.state.goal == text.state.place.goal
            for action in script:
                _, expected, done, _, _ = text.step(action)
                assert await on_the_page(pages, action) == (expected, done)
                assert pages.visit.state == text.state.place, "the page shows another place than the text"
            if done:
                found.append((expected, number))
        await pages.close()
        return found

    bought = asyncio.run(play())
    assert len({reward for reward, _ in bought}) > 2, "all purchases were worth the same, so nothing was compared"


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
