"""The shop: WebShop's actions and reward on generated goods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rotation import rotating

from arena.core import registry
from arena.core.errors import UsageError
from arena.environments.web.shop._catalogue import catalogue
from arena.environments.web.shop._goals import draw_goal, token_set_ratio, worth
from arena.environments.web.shop._search import search_of
from arena.environments.web.shop._visit import PER_PAGE
from arena.environments.web.shop.text import Shop

GOODS = catalogue(0, 1200)


def bought(env: Shop, *actions: str) -> tuple[float, dict]:
    for action in actions:
        _, reward, done, _, info = env.step(action)
    assert done
    return reward, info


def test_the_goods_are_many_different_and_of_one_seed():
    assert len(GOODS) == 1200
    assert len({product.asin for product in GOODS}) == 1200
    assert catalogue(0, 1200) == GOODS
    assert catalogue(1, 1200) != GOODS
    for product in GOODS:
        text = " ".join([product.title, *product.features, product.description]).lower()
        assert all(attribute in text for attribute in product.attributes), "nobody could find this attribute"
        assert product.options
        assert product.price > 0


def test_a_product_is_found_by_its_title():
    search = search_of(0, 1200)
    assert all(product in search.find(product.title)[:PER_PAGE] for product in GOODS[::7])
    assert search.find("") == ()
    assert search.find('"; DROP TABLE goods; --" OR *') is not None, "words are words, whatever stands around them"
    assert search.find("the of and") == ()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, 1.0),
        ({"options": {}}, (2 + 0 + 1) / 5),
        ({"options": {"color": "black"}}, (2 + 1 + 1) / 5),
        ({"price": 99.0}, (2 + 2 + 0) / 5),
        ({"attributes": ("for men",), "title": "Alder Shirt", "features": (), "description": ""}, (0 + 2 + 1) / 5),
        ({"query": "dress", "category": "Clothing & Shoes › Women › Dress"}, 1.0),
        ({"query": "tent", "category": "Sports › Camping › Tent", "nouns": frozenset({"umber", "tent"})}, 0.0),
    ],
)
def test_the_reward_is_webshops(change, expected):
    """r_type (attributes + options + price) / (attributes + options + 1), worked out by hand."""
    shirt = next(product for product in GOODS if product.query == "shirt")
    shirt = replace(
        shirt,
        title="Alder Shirt, Linen, Slim Fit",
        nouns=frozenset({"alder", "shirt"}),
        attributes=("linen", "slim fit"),
        features=(),
        description="",
        price=20.0,
    )
    goal = replace(
        draw_goal([shirt], np.random.default_rng(0)),
        attributes=("linen", "slim fit"),
        options={"color": "black", "size": "large"},
        limit=30.0,
    )
    options = change.pop("options", goal.options)
    assert worth(replace(shirt, **change), options, goal).reward == pytest.approx(expected)


def test_half_and_tenth_of_the_kind():
    """A title that shares few nouns with the wanted one counts half, under a tenth of them a tenth."""
    base = GOODS[0]
    goal = draw_goal([replace(base, nouns=frozenset("abcdefghijklmnopqrstu"))], np.random.default_rng(0))
    other = replace(base, query="nothing", category="x › y › z", price=0.0)
    kinds = [worth(replace(other, nouns=frozenset(found)), {}, goal).kind for found in ("", "a", "abc", "abcde")]
    assert kinds == [0.0, 0.1, 0.5, 1.0]


def test_alike_means_the_same_words():
    assert token_set_ratio("navy blue", "blue navy") == 100
    assert token_set_ratio("blue", "navy blue") == 100, "the common words are all of one text"
    assert token_set_ratio("large", "x large") == 100
    assert token_set_ratio("black", "white") < 50


def test_a_visit_by_hand():
    env = Shop()
    observation, info = env.reset(seed=3)
    goal = env.state.place.goal
    assert goal.text in observation
    assert env.step("click[buy now]")[4]["valid"] is False, "nothing is open that could be bought"
    env.step(f"search[{goal.product.title}]")
    assert env.step("search[again]")[4]["error"].startswith("There is no search bar")
    env.step(f"click[{goal.product.asin}]")
    keys = [env.step(f"click[{value}]")[4]["state_key"] for value in goal.options.values()]
    assert len({*keys}) == len(keys)
    text = env.step("click[features]")[0]
    assert all(feature in text for feature in goal.product.features)
    reward, info = bought(env, "click[< prev]", "click[Buy Now]")
    assert (reward, info["success"], info["score"]) == (1.0, True, 1.0)
    assert info["worth"] == {"kind": 1.0, "attributes": 1.0, "options": 1.0, "price": 1.0}


def test_options_are_forgotten_with_the_product_and_results_go_in_pages():
    env = Shop()
    env.reset(seed=4)
    env.step("search[shirt]")
    first = env.step("click[next >]")[0]
    assert "Page 2" in first
    assert "Page 1" in env.step("click[< prev]")[0]
    asin = next(action for action in env.legal_actions() if action.startswith("click[b") and "back" not in action)
    env.step(asin)
    assert "[clicked button] " not in env.step("click[description]")[0]
    env.step("click[< prev]")
    option = next(element.click for element in env._visit().elements() if element.group)
    assert "[clicked button] " in env.step(f"click[{option}]")[0]
    env.step("click[< prev]")
    assert "[clicked button] " not in env.step(asin)[0]


def test_modes_show_the_same_page():
    shown = {}
    for mode in ("text", "text_rich", "html", "url"):
        env = Shop(mode=mode)
        env.reset(seed=5)
        shown[mode] = env.step("search[lip balm]")[0]
    assert " [SEP] Page 1 (Total results: " in shown["text"]
    assert "[button] Next > [button_]" in shown["text_rich"]
    assert '<button name="what" value="next &gt;">Next &gt;</button>' in shown["html"]
    assert shown["url"] == "/results/lip+balm/1"
    with pytest.raises(UsageError, match="text, text_rich"):
        Shop(mode="picture")
    with pytest.raises(UsageError, match="100 to"):
        Shop(products=3)


def test_the_oracle_buys_from_anywhere():
    """Lost on another product's page, it finds back."""
    for task in rotating(registry.tasks("arena/Shop-v0", "eval", 100, 0, {})):
        env = Shop()
        env.reset(seed=task.seed)
        for action in ("search[socks]", env.legal_actions()[0]):
            env.step(action)
        env.step(env.legal_actions()[-2])
        done, reward, turns = False, 0.0, 0
        while not done:
            _, reward, done, _, _ = env.step(env.oracle_action())
            turns += 1
        assert reward == 1.0
        assert turns <= 12
