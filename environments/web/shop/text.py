"""WebShop's task as text: find what a customer wants among a thousand products, choose its options and buy it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from arena.core.env import Env, RawObservation, StepResult
from arena.core.errors import UnknownName, UsageError
from arena.core.messages import Tool
from arena.core.seeds import Split, derive, task_seeds
from arena.core.snapshots import StateSnapshots
from arena.core.task import Task
from arena.core.text import shorten
from arena.environments.web.shop._catalogue import catalogue
from arena.environments.web.shop._goals import Goal, draw_goal, worth
from arena.environments.web.shop._search import search_of
from arena.environments.web.shop._views import MODES, Mode, view
from arena.environments.web.shop._visit import State as Place
from arena.environments.web.shop._visit import Visit

TURNS = 15
"""verl-agent's limit."""

_LONGEST_ACTION = 300
_ACTION = re.compile(r"(search|click)\[(.*)\]", re.DOTALL)
_FEWEST, _MOST = 100, 50_000


@dataclass
class State:
    """The visit as it stands, and the name of the wish behind it."""

    place: Place
    instance: str


def _tool(name: str, description: str, argument: str) -> Tool:
    parameters = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    return Tool(name=name, description=description, parameters=parameters, template=f"{name}[{{{argument}}}]")


class Shop(StateSnapshots, Env):
    """Buy what the instruction asks for. Actions are WebShop's: `search[keywords]` and `click[what]`.

    The only reward comes with `click[buy now]`: WebShop's, 1 where the product is of the right kind, has all
    attributes and options and costs no more than allowed. There is a search bar on the first page only.

    Args:
        products: how many there are to choose from.
        catalogue_seed: which shop; tasks of one shop share its goods.
        mode: what an observation is: the page as `text` (parts separated by [SEP]), as `text_rich` (with
            buttons marked), as `html`, or its `url` alone.

    Raises:
        UsageError: a value out of range.
    """

    state_type = State
    state: State
    oracle_from: Literal["anywhere", "start"] = "anywhere"
    idle = "click[]"
    tools = (
        _tool("search", "Search the shop; only where there is a search bar.", "keywords"),
        _tool("click", "Click on a button of the page.", "what"),
    )
    instructions = (
        "You are shopping on a web site. The page shows what to buy: find a product of that kind with those attributes "
        "under that price, choose the options and buy it. Each turn, reply with one action and nothing else: "
        "search[keywords] where there is a Search button, or click[button], such as click[next >], "
        "click[b0abc12345], click[large] or click[buy now]."
    )

    def __init__(self, products: int = 1200, catalogue_seed: int = 0, mode: Mode = "text_rich") -> None:
        if mode not in MODES:
            raise UsageError(f"Shop shows pages as {', '.join(MODES)}, not {mode!r}.")
        if not _FEWEST <= products <= _MOST:
            raise UsageError(f"Shop has {_FEWEST} to {_MOST:,} products, not {products!r}.")
        self.mode = mode
        self._products = catalogue(catalogue_seed, products)
        self._search = search_of(catalogue_seed, products)

    def _reset(self, task: str | None) -> tuple[RawObservation, dict[str, Any]]:
        if task is not None:
            raise UnknownName("task", task, ())
        goal = self.draw(self._generate, name_goal)
        visit = Visit(self._search, goal)
        self.state = State(visit.state, name_goal(goal))
        return view(visit, self.mode), {"instance": self.state.instance, "state_key": self._key()}

    def _generate(self, generator: np.random.Generator) -> Goal:
        return draw_goal(self._products, generator)

    def _visit(self) -> Visit:
        visit = Visit(self._search, self.state.place.goal)
        visit.state = self.state.place
        return visit

    def _step(self, action: str) -> StepResult:
        visit = self._visit()
        found = _ACTION.fullmatch(action.strip()) if len(action) <= _LONGEST_ACTION else None
        if found is None:
            return self._refused(visit, f"{shorten(action, 40)!r} is no action. Use search[keywords] or click[button].")
        verb, what = found[1], " ".join(found[2].split())
        if verb == "search":
            if not visit.can_search:
                return self._refused(visit, "There is no search bar on this page: click[back to search] leads to it.")
            if not what:
                return self._refused(visit, "Write what to search for: search[keywords].")
            visit.search(what)
        else:
            what = what.lower()
            if what not in visit.clickables():
                return self._refused(visit, f"There is nothing called {shorten(what, 40)!r} to click on this page.")
            visit.click(what)
        self.state = State(visit.state, self.state.instance)
        info: dict[str, Any] = {"valid": True, "executed": f"{verb}[{what}]", "state_key": self._key()}
        if not visit.state.bought:
            return view(visit, self.mode), 0.0, False, False, info
        assert visit.state.product is not None
        found_worth = worth(visit.state.product, visit.state.chosen, visit.state.goal)
        reward = found_worth.reward
        parts = {name: getattr(found_worth, name) for name in ("kind", "attributes", "options", "price")}
        info |= {"success": reward == 1.0, "score": reward, "worth": parts}
        return view(visit, self.mode), reward, True, False, info

    def _refused(self, visit: Visit, error: str) -> StepResult:
        info = {"valid": False, "error": error, "state_key": self._key()}
        return f"{error}\n{view(visit, self.mode)}", 0.0, False, False, info

    def _key(self) -> str:
        return f"{self.state.instance}/{self.state.place.key}"

    def legal_actions(self) -> Sequence[str]:
        """Everything on the page that can be clicked; where there is a search bar, a search for the goods asked for."""
        visit = self._visit()
        if visit.can_search:
            return [f"search[{visit.state.goal.product.query}]"]
        return [f"click[{what}]" for what in visit.clickables()]

    def oracle_action(self) -> str:
        """The next action towards the product that the wish was made from."""
        return solution(self._visit())


def solution(visit: Visit) -> str:
    """What brings a visit closer to buying the product that its goal was made from."""
    state, goal = visit.state, visit.state.goal
    wanted = goal.product
    if visit.can_search:
        return f"search[{wanted.title}]"
    if state.product is not None and state.product.asin == wanted.asin:
        if state.more:
            return "click[< prev]"
        missing = [value for name, value in goal.options.items() if state.chosen.get(name) != value]
        return f"click[{missing[0]}]" if missing else "click[buy now]"
    if state.product is None and wanted in visit.on_page:
        return f"click[{wanted.asin.lower()}]"
    return "click[back to search]"


def tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """Wishes, each to be fulfilled within WebShop's usual 15 turns."""
    return (Task("arena/Shop-v0", candidate, params, None, TURNS) for candidate in task_seeds(split, seed))


def name_goal(goal: Goal) -> str:
    """Names a wish; equal ones have equal names."""
    wanted = (goal.product.asin, sorted(goal.attributes), sorted(goal.options.items()), goal.limit)
    return f"{derive('Shop', wanted):016x}"
