"""The same shop as pages in a browser: served by the same code, rewarded by the same formula."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

from arena.core.errors import UnknownName
from arena.core.seeds import Split, task_seeds
from arena.core.task import Task
from arena.environments.web._env import ORIGIN, Verdict, WebEnv
from arena.environments.web._observe import Sight
from arena.environments.web._serving import Handler, Pages, Request, Response
from arena.environments.web.shop._catalogue import catalogue
from arena.environments.web.shop._goals import draw_goal, worth
from arena.environments.web.shop._search import search_of
from arena.environments.web.shop._views import address, html
from arena.environments.web.shop._visit import SEARCH, Visit
from arena.environments.web.shop.text import name_goal, solution

TURNS = 30
"""Twice those of the text: a long page has to be scrolled."""


class ShopPages(WebEnv):
    """Buy what the instruction asks for, on the shop's pages. A click or a search is one on the page.

    Goods, wishes and reward are those of `arena/Shop-v0` with the same seed.

    Args:
        products: how many there are to choose from.
        catalogue_seed: which shop.
        screenshot: an image beside the text.
    """

    oracle_from: Literal["anywhere", "start"] = "anywhere"

    def __init__(self, products: int = 1200, catalogue_seed: int = 0, screenshot: bool = False) -> None:
        # The pages have no scripts and keep nothing in the browser, so that an episode can begin in those of another.
        super().__init__(sight=Sight(screenshot=screenshot), reuse="arena/ShopPages-v0")
        self._products = catalogue(catalogue_seed, products)
        self._search = search_of(catalogue_seed, products)

    async def begin(self, task: str | None) -> dict[str, Any]:
        """A wish, and the page with the search bar."""
        if task is not None:
            raise UnknownName("task", task, ())
        goal = self.draw(lambda generator: draw_goal(self._products, generator), name_goal)
        self.visit = Visit(self._search, goal)
        self.session.serve({ORIGIN: _site(self.visit)})
        await self.session.open(f"{ORIGIN}/")
        self.instructions = self.told(
            "You are shopping on a web site. The page shows what to buy: find a product of that kind with those "
            "attributes under that price, choose the options and buy it."
        )
        return {"instance": name_goal(goal)}

    async def judge(self) -> Verdict:
        """What the purchase is worth, once something was bought."""
        state = self.visit.state
        if not state.bought or state.product is None:
            return Verdict()
        return Verdict(worth(state.product, state.chosen, state.goal).reward, done=True)

    def oracle_action(self) -> str:
        """The next action towards the product that the wish was made from."""
        elements = self.eyes.view.elements.values()
        verb, _, what = solution(self.visit).removesuffix("]").partition("[")
        if verb == "search":
            fields = [element.ref for element in elements if element.tag == "input"]
            buttons = [element.ref for element in elements if element.name == SEARCH]
            return f"fill({json.dumps(fields[0])}, {json.dumps(what)})\nclick({json.dumps(buttons[0])})"
        for element in elements:
            if element.tag == "button" and element.name.lower() == what:
                return f"click({json.dumps(element.ref)})"
        return "scroll(0, 500)"


def _site(visit: Visit) -> Handler:
    """The pages of a visit: whatever is asked for, the page that is open is shown."""
    pages = Pages()

    @pages.post("/search")
    def search(request: Request) -> Response:
        keywords = " ".join(request.form.get("keywords", "").split())
        if visit.can_search and keywords:
            visit.search(keywords)
        return Response.redirect(address(visit))

    @pages.post("/click")
    def click(request: Request) -> Response:
        what = request.form.get("what", "")
        if what in visit.clickables():
            visit.click(what)
        return Response.redirect(address(visit))

    def answer(request: Request) -> Response:
        return pages(request) if request.method == "POST" else Response(html(visit))

    return answer


def tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """Wishes, the same as in the text environment under the same seed."""
    return (Task("arena/ShopPages-v0", candidate, params, None, TURNS) for candidate in task_seeds(split, seed))
