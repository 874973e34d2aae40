"""What an oracle works with: it reads the page as its scripts know it, and answers in the environment's own actions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

from arena.core.errors import EnvironmentFailure
from arena.environments.web._observe import Eyes
from arena.sandboxes.browser import BrowserSession

__all__ = ["Desk", "Solve", "Spot", "ordinal"]

Spot = tuple[float, float]
"""A point of the window, in CSS pixels."""


class Desk:
    """One look at a page by somebody who knows how to solve it.

    A thing on the page is named by a CSS selector, by its whole text where there are several, and by its place among
    those that are left; only what has a box counts.

    Attributes:
        goal: what the page asks for.
        turn: how many actions there were before.
    """

    def __init__(self, session: BrowserSession, eyes: Eyes, goal: str, turn: int) -> None:
        self.goal = goal
        self.turn = turn
        self._session = session
        self._eyes = eyes

    async def read(self, script: str, argument: Any = None) -> Any:
        """The value of a JavaScript expression or function among the page's own scripts."""
        return await self._session.guard(self._session.page.evaluate(script, argument))

    async def has(self, selector: str, text: str | None = None) -> bool:
        """Whether there is such a thing."""
        return bool(await self.read(f"Boolean({_thing(selector, text, 0)})"))

    async def texts(self, selector: str) -> list[str]:
        """The texts of all such things, seen or not."""
        found = await self.read("s => [...document.querySelectorAll(s)].map(e => e.textContent.trim())", selector)
        return [str(text) for text in found]

    async def text(self, selector: str) -> str:
        """The text of the first."""
        return (await self.texts(selector))[0]

    async def click(self, selector: str, text: str | None = None, nth: int = 0) -> str:
        """A click on a thing: by its number, or by its place if it has none."""
        if number := await self._number(selector, text, nth):
            return f'click("{number}")'
        x, y = await self.spot(selector, text, nth)
        return f"mouse_click({x:.6g}, {y:.6g})"

    async def hover(self, selector: str, text: str | None = None, nth: int = 0) -> str:
        """The mouse over a thing."""
        return f'hover("{await self._known(selector, text, nth)}")'

    async def fill(self, selector: str, value: str, nth: int = 0) -> str:
        """Put a text into a field."""
        return f'fill("{await self._known(selector, None, nth)}", {json.dumps(value, ensure_ascii=False)})'

    async def choose(self, selector: str, *options: str) -> str:
        """Choose options of a list."""
        wanted = json.dumps(options[0] if len(options) == 1 else list(options), ensure_ascii=False)
        return f'select_option("{await self._known(selector, None, 0)}", {wanted})'

    async def press(self, selector: str, key: str, nth: int = 0) -> str:
        """Press a key on a thing."""
        return f'press("{await self._known(selector, None, nth)}", "{key}")'

    async def box(self, selector: str, text: str | None = None, nth: int = 0) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of a thing in the window."""
        place = f"(r => [r.left, r.top, r.right, r.bottom])({_thing(selector, text, nth)}.getBoundingClientRect())"
        left, top, right, bottom = await self.read(place)
        return left, top, right, bottom

    async def spot(self, selector: str, text: str | None = None, nth: int = 0) -> Spot:
        """The middle of a thing."""
        left, top, right, bottom = await self.box(selector, text, nth)
        return (left + right) / 2, (top + bottom) / 2

    def asked(self, pattern: str) -> tuple[str, ...]:
        """The groups of a pattern in the goal."""
        found = re.search(pattern, self.goal)
        if found is None:
            raise EnvironmentFailure(f"The goal {self.goal!r} is not of the form {pattern!r}.")
        return found.groups()

    def quoted(self) -> list[str]:
        """What stands between double quotes in the goal."""
        return re.findall(r'"([^"]*)"', self.goal)

    async def _known(self, selector: str, text: str | None, nth: int) -> str:
        number = await self._number(selector, text, nth)
        if number is None:
            raise EnvironmentFailure(f"{selector} has no number on this page.")
        return number

    async def _number(self, selector: str, text: str | None, nth: int) -> str | None:
        tab = self._session.tab
        found = await self._session.guard(tab.send("Runtime.evaluate", expression=_thing(selector, text, nth)))
        handle = found["result"].get("objectId")
        if handle is None:
            raise EnvironmentFailure(f"There is no {selector}{f' saying {text!r}' if text else ''} on this page.")
        told = await self._session.guard(tab.send("DOM.describeNode", objectId=handle))
        await self._session.guard(tab.send("Runtime.releaseObject", objectId=handle))
        return self._eyes.number(told["node"]["backendNodeId"])


Solve = Callable[[Desk], Coroutine[Any, Any, str]]
"""The next action towards a page's goal."""


def ordinal(word: str) -> int:
    """0 for `1st`, 1 for `2nd`, and so on."""
    return int(re.sub(r"\D", "", word)) - 1


def _thing(selector: str, text: str | None, nth: int) -> str:
    """A JavaScript expression for the thing."""
    saying = "" if text is None else f".filter(e => e.textContent.replace(/\\s+/g, ' ').trim() === {json.dumps(text)})"
    return (
        f"[...document.querySelectorAll({json.dumps(selector)})].filter(e => e.getClientRects().length){saying}[{nth}]"
    )
