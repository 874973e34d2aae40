"""The shop's goods: products drawn from a seed, the same for everyone who names it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np

from arena.core.seeds import derive

_IDENTIFIER = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Product:
    """One product.

    Attributes:
        asin: its identifier, "B" and nine letters or digits, as in WebShop.
        title: as the result list shows it.
        query: what a customer would search for: the noun of its kind.
        category: department, shelf and kind, joined by " › ".
        attributes: what it is like, lower case.
        options: name -> the values that can be chosen.
        price: US dollars.
        nouns: the nouns of its title, brand included.
        features, description: further text; every attribute stands in one of them or in the title.
    """

    asin: str
    title: str
    query: str
    category: str
    attributes: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]
    price: float
    nouns: frozenset[str]
    features: tuple[str, ...]
    description: str


@lru_cache(maxsize=4)
def catalogue(seed: int, number: int) -> tuple[Product, ...]:
    """The goods of a shop.

    Args:
        seed: equal seeds give equal shops.
        number: how many products, dealt out evenly to the kinds.
    """
    goods = tomllib.loads(resources.files(__package__).joinpath("goods.toml").read_text(encoding="utf-8"))
    generator = np.random.default_rng(derive(seed, "shop"))
    kinds = [(department, kind) for department in goods["departments"] for kind in department["kinds"]]
    products: dict[str, Product] = {}
    while len(products) < number:
        department, kind = kinds[len(products) % len(kinds)]
        product = _product(goods, department, kind, generator)
        products.setdefault(product.asin, product)
    return tuple(products.values())


def _product(
    goods: Mapping[str, Any], department: Mapping[str, Any], kind: Mapping[str, Any], generator: np.random.Generator
) -> Product:
    brand = _one(goods["brands"], generator)
    own = _some(kind["attributes"], int(generator.integers(1, 4)), generator)
    general = _some(department["attributes"], int(generator.integers(1, 4)), generator)
    attributes = tuple(_some([*own, *general], len(own) + len(general), generator))
    options = {}
    for name, values in kind["options"].items():
        choices = goods[values] if isinstance(values, str) else values
        kept = _some(choices, int(generator.integers(2, min(len(choices), 6) + 1)), generator)
        options[name] = tuple(value for value in choices if value in kept)
    low, high = kind["price"]
    price = round(float(np.exp(generator.uniform(np.log(low), np.log(high)))), 2)
    shown, audience = attributes[: (len(attributes) + 1) // 2], _one(goods["audiences"], generator)
    title = f"{brand} {kind['noun'].title()}, {', '.join(word.title() for word in shown)}, {audience.title()}"
    return Product(
        asin="B" + "".join(_IDENTIFIER[digit] for digit in generator.integers(0, len(_IDENTIFIER), 9)),
        title=title,
        query=kind["noun"],
        category=f"{department['name']} › {kind['shelf']} › {kind['noun'].title()}",
        attributes=attributes,
        options=options,
        price=price,
        nouns=frozenset([brand.lower(), *kind["noun"].split()]),
        features=tuple(f"This {kind['noun']} is {attribute}." for attribute in attributes[len(shown) :]),
        description=f"The {brand} {kind['noun']} is made {audience}. {_praise(attributes)}",
    )


def _praise(attributes: Sequence[str]) -> str:
    return f"Customers like it for being {' and '.join(attributes[:2])}."


def _one(choices: Sequence[str], generator: np.random.Generator) -> str:
    return choices[int(generator.integers(len(choices)))]


def _some(choices: Sequence[str], number: int, generator: np.random.Generator) -> list[str]:
    """Different ones, in a random order."""
    return [choices[int(place)] for place in generator.permutation(len(choices))[:number]]
