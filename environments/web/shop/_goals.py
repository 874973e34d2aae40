"""What the customer wants, and what a purchase is worth to them.

The reward is WebShop's (Yao et al. 2022, "WebShop", section 3.2 and appendix):

    r = r_type (attributes found + options chosen + [price <= limit]) / (attributes + options + 1)

    r_type = 1 where the product is of the kind that was asked for: the same query, two categories in common,
             or more than a fifth of the title's nouns; otherwise 0.5, 0.1 where under a tenth of the nouns
             are there, and 0 where none is.

An attribute is found where one of the product's is alike (token set ratio above 85) or where the text
of the product contains it; an option likewise. Deviation: the reference finds nouns with a language
model, this shop knows those of its own titles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from arena.environments.web.shop._catalogue import Product

_ALIKE = 85
_OPENINGS = ("i am looking for", "i need", "find me", "i would like to buy", "show me")


@dataclass(frozen=True)
class Goal:
    """What a customer wants.

    Attributes:
        product: one that fits in every respect.
        attributes: what it has to be like.
        options: name -> the value to choose.
        limit: the highest price in US dollars.
        text: all that in words.
    """

    product: Product
    attributes: tuple[str, ...]
    options: Mapping[str, str]
    limit: float
    text: str


@dataclass(frozen=True)
class Worth:
    """A purchase compared with the goal, in parts; `reward` is in [0, 1]."""

    kind: float
    attributes: float
    options: float
    price: float
    reward: float


def draw_goal(products: Sequence[Product], generator: np.random.Generator) -> Goal:
    """A wish that one of the products fulfils."""
    product = products[int(generator.integers(len(products)))]
    number = int(generator.integers(1, min(len(product.attributes), 3) + 1))
    attributes = tuple(
        product.attributes[int(place)] for place in generator.permutation(len(product.attributes))[:number]
    )
    options = {name: values[int(generator.integers(len(values)))] for name, values in product.options.items()}
    limit = 10.0 * (math.floor(product.price / 10) + int(generator.integers(1, 4)))
    opening = _OPENINGS[int(generator.integers(len(_OPENINGS)))]
    wanted = [f"{name}: {value}" for name, value in options.items()]
    text = (
        f"{opening} {product.query}, {' and '.join(attributes)}, with {', and '.join(wanted)}, "
        f"and price lower than {limit:.2f} dollars"
    )
    return Goal(product, attributes, options, limit, text)


def worth(bought: Product, chosen: Mapping[str, str], goal: Goal) -> Worth:
    """What the purchase of a product with the chosen options is worth."""
    kind = _kind(bought, goal.product)
    text = " ".join([bought.title, *bought.features, bought.description]).lower()
    attributes = sum(_found(wanted, bought.attributes) or wanted in text for wanted in goal.attributes)
    options = sum(_found(wanted, list(chosen.values())) for wanted in goal.options.values())
    price = bought.price <= goal.limit
    of = len(goal.attributes) + len(goal.options) + 1
    return Worth(
        kind,
        attributes / len(goal.attributes),
        options / max(len(goal.options), 1),
        float(price),
        kind * (attributes + options + price) / of,
    )


def _kind(bought: Product, wanted: Product) -> float:
    shared = len({*bought.category.split(" › ")} & {*wanted.category.split(" › ")})
    nouns = len(bought.nouns & wanted.nouns) / len(wanted.nouns)
    if bought.query == wanted.query or shared >= 2 or nouns > 0.2:
        return 1.0
    return 0.0 if nouns == 0 else 0.1 if nouns < 0.1 else 0.5


def _found(wanted: str, among: Sequence[str]) -> bool:
    return any(token_set_ratio(wanted, one) > _ALIKE for one in among)


def token_set_ratio(one: str, other: str) -> float:
    """How alike two texts are, from 0 to 100, whatever the order of their words and where one has more.

    The words in common are compared with those and the rest of each text (fuzzywuzzy's `token_set_ratio`).
    """
    left, right = {*one.lower().split()}, {*other.lower().split()}
    common = " ".join(sorted(left & right))
    texts = [common, *(f"{common} {' '.join(sorted(rest))}".strip() for rest in (left - right, right - left))]
    pairs = ((0, 1), (0, 2), (1, 2))
    ratios = [SequenceMatcher(None, texts[a], texts[b]).ratio() for a, b in pairs if texts[a] and texts[b]]
    return 100 * max(ratios, default=0.0)
