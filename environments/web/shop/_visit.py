"""A customer's visit to the shop: which page is open, what can be clicked on it, and what a click leads to.

The text environment and the pages in the browser are two views of the same visit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from arena.environments.web.shop._catalogue import Product
from arena.environments.web.shop._goals import Goal
from arena.environments.web.shop._search import Search

PER_PAGE = 10
SEARCH, BACK, NEXT, PREVIOUS, BUY = "Search", "Back to Search", "Next >", "< Prev", "Buy Now"
_MORE = ("Description", "Features")


@dataclass(frozen=True)
class State:
    """Where a visit stands.

    Attributes:
        goal: what the customer wants.
        keywords: the last search; None before the first.
        page: of its results, from 1.
        product: the one that is open.
        more: the part of its text that is open.
        chosen: option name -> value.
        bought: whether it was bought, which ends the visit.
    """

    goal: Goal
    keywords: str | None = None
    page: int = 1
    product: Product | None = None
    more: str = ""
    chosen: dict[str, str] = field(default_factory=dict)
    bought: bool = False

    @property
    def shown(self) -> Literal["search", "results", "item", "more", "bought"]:
        """The kind of page."""
        if self.bought:
            return "bought"
        if self.product is not None:
            return "more" if self.more else "item"
        return "search" if self.keywords is None else "results"

    @property
    def key(self) -> str:
        """Names the page and what was chosen on it."""
        product = self.product.asin if self.product is not None else ""
        chosen = ",".join(f"{name}={value}" for name, value in sorted(self.chosen.items()))
        return "/".join([self.shown, self.keywords or "", str(self.page), product, self.more, chosen])


class Element(NamedTuple):
    """A line of a page: text, or something to click; an option belongs to a group and may be chosen."""

    text: str
    click: str = ""
    group: str = ""
    chosen: bool = False


class Visit:
    """One customer in the shop.

    Args:
        search: finds the goods.
        goal: what the customer wants.
    """

    def __init__(self, search: Search, goal: Goal) -> None:
        self._search = search
        self.state = State(goal)

    @property
    def results(self) -> tuple[Product, ...]:
        """All results of the last search."""
        return self._search.find(self.state.keywords or "")

    @property
    def on_page(self) -> tuple[Product, ...]:
        """The results on the page that is open."""
        first = (self.state.page - 1) * PER_PAGE
        return self.results[first : first + PER_PAGE]

    def elements(self) -> list[Element]:
        """The open page from top to bottom."""
        state = self.state
        page = [Element("Instruction:"), Element(state.goal.text)]
        if state.shown == "search":
            return [Element("Arena Shop"), *page, Element(SEARCH, "")]
        page.append(Element(BACK, BACK.lower()))
        if state.shown == "results":
            return [*page, *self._result_list()]
        if state.shown == "bought":
            return [Element("Thank you for shopping with us!")]
        assert state.product is not None
        page.append(Element(PREVIOUS, PREVIOUS.lower()))
        return [*page, *(self._item(state.product) if not state.more else self._text(state.product))]

    def clickables(self) -> list[str]:
        """What `click` takes now, in the order of the page."""
        return [element.click for element in self.elements() if element.click]

    @property
    def can_search(self) -> bool:
        """Whether there is a search bar: on the first page, as in WebShop."""
        return self.state.shown == "search"

    def search(self, keywords: str) -> None:
        """Type into the search bar."""
        self.state = replace(self.state, keywords=keywords, page=1)

    def click(self, what: str) -> None:
        """Click on one of the `clickables`."""
        state = self.state
        product = state.product
        if what == BACK.lower():
            self.state = State(state.goal)
        elif what in (NEXT.lower(), PREVIOUS.lower()) and product is None:
            self.state = replace(state, page=state.page + (1 if what == NEXT.lower() else -1))
        elif what == PREVIOUS.lower():
            self.state = replace(state, more="") if state.more else replace(state, product=None, chosen={})
        elif product is None:
            opened = next(one for one in self.on_page if one.asin.lower() == what)
            self.state = replace(state, product=opened, chosen={}, more="")
        elif what == BUY.lower():
            self.state = replace(state, bought=True)
        elif what in (part.lower() for part in _MORE):
            self.state = replace(state, more=what)
        else:
            name = next(name for name, values in product.options.items() if what in values)
            self.state = replace(state, chosen={**state.chosen, name: what})

    def _result_list(self) -> list[Element]:
        state, found = self.state, len(self.results)
        page = [Element(f"Page {state.page} (Total results: {found})")]
        if state.page > 1:
            page.append(Element(PREVIOUS, PREVIOUS.lower()))
        if state.page * PER_PAGE < found:
            page.append(Element(NEXT, NEXT.lower()))
        for product in self.on_page:
            page += [Element(product.asin, product.asin.lower()), Element(product.title), Element(_price(product))]
        return page

    def _item(self, product: Product) -> list[Element]:
        page: list[Element] = []
        for name, values in product.options.items():
            page.append(Element(name))
            chosen = self.state.chosen.get(name)
            page += [Element(value, value, name, value == chosen) for value in values]
        page += [Element(product.title), Element(f"Price: {_price(product)}"), Element("Rating: N.A.")]
        page += [Element(part, part.lower()) for part in _MORE]
        return [*page, Element(BUY, BUY.lower())]

    def _text(self, product: Product) -> list[Element]:
        lines = [product.description] if self.state.more == "description" else list(product.features)
        return [Element(line) for line in lines or ["Nothing more is known about it."]]


def _price(product: Product) -> str:
    return f"${product.price:.2f}"
