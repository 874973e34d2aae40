"""The shop's search: words ranked by BM25 in SQLite's full-text index."""

from __future__ import annotations

import re
import sqlite3
from functools import lru_cache

from arena.environments.web.shop._catalogue import Product, catalogue

MOST_RESULTS = 50
"""As many as WebShop shows, ten on a page."""

_WORDS = re.compile(r"[a-z0-9]+")
_COMMON = frozenset(
    ("a", "an", "and", "as", "at", "for", "from", "i", "in", "is", "it", "of", "on", "or", "the", "to", "with")
)
"""Words that stand everywhere: they rank nothing and cost most of the time."""


class Search:
    """An index over a catalogue, in memory; for one thread.

    Args:
        products: what can be found.
    """

    def __init__(self, products: tuple[Product, ...]) -> None:
        self._products = products
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute("CREATE VIRTUAL TABLE goods USING fts5 (title, category, more, tokenize = 'porter')")
        rows = [
            (product.title, product.category, " ".join([*product.features, product.description, *_options(product)]))
            for product in products
        ]
        self._database.executemany("INSERT INTO goods VALUES (?, ?, ?)", rows)
        self.find = lru_cache(maxsize=4096)(self._find)

    def _find(self, keywords: str) -> tuple[Product, ...]:
        """The best fitting products, at most 50: any of the words may fit, more are better, the title counts most."""
        words = [word for word in dict.fromkeys(_WORDS.findall(keywords.lower())) if word not in _COMMON]
        if not words:
            return ()
        question = " OR ".join(f'"{word}"' for word in words)
        ranked = self._database.execute(
            "SELECT rowid FROM goods WHERE goods MATCH ? ORDER BY bm25(goods, 4.0, 2.0, 1.0), rowid LIMIT ?",
            (question, MOST_RESULTS),
        )
        return tuple(self._products[row - 1] for (row,) in ranked)


@lru_cache(maxsize=4)
def search_of(seed: int, number: int) -> Search:
    """The index of a shop, made once in a process."""
    return Search(catalogue(seed, number))


def _options(product: Product) -> list[str]:
    return [value for values in product.options.values() for value in values]
