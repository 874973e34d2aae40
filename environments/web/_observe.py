"""What an agent sees of a page: the accessibility tree as text, with a number for each element it can act on.

    Page: Inbox (https://mail.test/inbox)
    [1] link "Compose"
    [2] searchbox "Search" value="invoice" focused
    [5] row "Ada Lovelace Invoice 12"
      [6] checkbox "Select" not checked
      [7] link "Invoice 12"
    (40 lines below the window: scroll(0, 576))

Only what can be seen in the window is told, by default. Both sources are the browser's own (`Accessibility` and
`DOMSnapshot` of its DevTools protocol), so a page cannot show one thing and tell another. A number belongs to its
element for as long as the document is open.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from playwright.async_api import Error

from arena.core.text import shorten
from arena.environments.web._actions import ActionError
from arena.environments.web._layout import STYLES, Box, Layout
from arena.environments.web._telling import Element, Item, Telling
from arena.sandboxes.browser import BrowserSession, Tab

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Element", "Eyes", "Sight", "View"]


@dataclass(frozen=True)
class Sight:
    """How a page is shown; the same for a whole episode.

    Attributes:
        text: characters of text at most; what is cut is said, and `more` shows it.
        visible: only what is in the window.
        screenshot: an image beside the text.
        marks: draw the elements' numbers into the image.
        html: the document's source too, without scripts and styles.
        every: number every element that has a box, not only those with a role or a reaction to clicks.
    """

    text: int = 8000
    visible: bool = True
    screenshot: bool = False
    marks: bool = False
    html: bool = False
    every: bool = False


@dataclass(frozen=True)
class View:
    """One look at a page.

    Attributes:
        text: what the agent reads.
        image: uint8 array of shape (height, width, 3), or None.
        elements: by number, those that are told.
        key: names what is shown, however much of it is cut.
    """

    text: str
    image: np.ndarray | None
    elements: Mapping[str, Element]
    key: str


class Eyes:
    """Looks at the pages of one episode. Runs on the browser's loop.

    Attributes:
        view: the last look.
    """

    def __init__(self, session: BrowserSession, sight: Sight | None = None) -> None:
        self.sight = sight or Sight()
        self.view = View("", None, {}, "")
        self._session = session
        self._numbers: dict[tuple[Tab, int], str] = {}
        self._nodes: dict[tuple[Tab, str], int] = {}
        self._document: dict[Tab, int] = {}
        self._lines: list[str] = []
        self._from = 0

    def node(self, ref: str) -> int:
        """The browser's id of a numbered element of the tab that is looked at.

        Raises:
            ActionError: no element has this number.
        """
        found = self._nodes.get((self._session.tab, ref.strip().strip("[]")))
        if found is None:
            raise ActionError(f"There is no element [{ref[:20]}] on this page.")
        return found

    def number(self, node: int) -> str | None:
        """The number of an element of the tab that is looked at, by the browser's id; None where it has none."""
        return self._numbers.get((self._session.tab, node))

    def look_from_the_top(self) -> None:
        """Show a text from its beginning again."""
        self._from = 0

    def look_further(self) -> bool:
        """Show the next part of a text that was cut; False at its end."""
        shown = _portion(self._lines, self._from, self.sight.text)
        if self._from + shown >= len(self._lines):
            return False
        self._from += shown
        return True

    async def look(self, notes: Sequence[str] = ()) -> View:
        """Look at the tab that is open.

        Args:
            notes: lines to be told first, such as what was wrong with the last action.
        """
        for attempt in range(3):
            try:
                layout, trees = await self._session.guard(self._read())
                break
            except Error:  # a document that was just replaced
                if attempt == 2:
                    raise
                await self._session.settle()
        told = list(Telling(layout, trees, self._number, self.sight.every).told())
        shown = [item for item in told if item.box is not None or not self.sight.visible]
        lines = _lines(shown)
        beyond = _beyond(told, layout.window) if self.sight.visible else ""
        elements = {item.element.ref: item.element for item in shown if item.element is not None}
        if self.sight.html:
            lines += ["", "HTML:", *_source(str(await self._session.guard(self._session.tab.evaluate(_HTML))))]
        self._lines = lines
        head = [*notes, *await self._heading()]
        key = hashlib.blake2b("\n".join([*head[len(notes) :], *lines]).encode(), digest_size=8).hexdigest()
        text = "\n".join([*head, *self._part(), *([beyond] if beyond else [])])
        self.view = View(text, await self._picture(elements), elements, key)
        return self.view

    async def _read(self) -> tuple[Layout, dict[str, list[Any]]]:
        """The layout, and the accessibility tree of each frame (under "" the page itself)."""
        tab = self._session.tab
        captured, tree = await asyncio.gather(
            tab.send("DOMSnapshot.captureSnapshot", computedStyles=list(STYLES), includeDOMRects=True),
            tab.send("Accessibility.getFullAXTree"),
        )
        layout = Layout(captured, self._session.spec.viewport)
        inner = {frame for node, frame in layout.frames.items() if node in layout.seen or not self.sight.visible}
        found = await asyncio.gather(*(tab.send("Accessibility.getFullAXTree", frameId=frame) for frame in inner))
        return layout, {"": tree["nodes"], **{f: t["nodes"] for f, t in zip(inner, found, strict=True)}}

    async def _heading(self) -> list[str]:
        """The page's title and address, and the other tabs."""
        tabs, current = self._session.tabs, self._session.tab
        titles = await asyncio.gather(*(self._session.guard(_title(tab)) for tab in tabs))
        named = [f"{shorten(t, 100) or 'no title'} ({tab.page.url[:300]})" for t, tab in zip(titles, tabs, strict=True)]
        if len(tabs) == 1:
            return [f"Page: {named[0]}"]
        this = [", this one" if tab is current else "" for tab in tabs]
        return [f"Tab {number}{this[number]}: {name}" for number, name in enumerate(named)]

    def _part(self) -> list[str]:
        """The lines that fit, and what was cut."""
        lines, start = self._lines, self._from
        count = _portion(lines, start, self.sight.text)
        shown = lines[start : start + count]
        if start:
            shown.insert(0, f"(… {start} lines before these)")
        if (rest := len(lines) - start - count) > 0:
            shown.append(f"(… {rest} more lines: more() shows them)")
        return shown

    def _number(self, node: int) -> str:
        """The element's number, for as long as its document is open."""
        tab = self._session.tab
        if self._document.get(tab) != tab.documents:
            self._document[tab] = tab.documents
            self._numbers = {key: ref for key, ref in self._numbers.items() if key[0] is not tab}
            self._nodes = {key: node for key, node in self._nodes.items() if key[0] is not tab}
        key = (tab, node)
        if key not in self._numbers:
            ref = str(sum(1 for other, _ in self._numbers if other is tab) + 1)
            self._numbers[key] = ref
            self._nodes[tab, ref] = node
        return self._numbers[key]

    async def _picture(self, elements: Mapping[str, Element]) -> np.ndarray | None:
        if not self.sight.screenshot:
            return None
        from arena.environments.web._picture import draw_marks, pixels

        image = pixels(await self._session.guard(self._session.page.screenshot(caret="hide")))
        if self.sight.marks:
            draw_marks(image, [e for e in elements.values() if e.box], self._session.spec.scale)
        return image


def _lines(items: Sequence[Item]) -> list[str]:
    """The items as lines; texts that follow one another are one text."""
    lines: list[str] = []
    text = ""
    for number, item in enumerate(items):
        if item.element is not None:
            lines.append("  " * item.depth + str(item.element))
            continue
        text += item.text
        after = items[number + 1] if number + 1 < len(items) else None
        if after is not None and after.element is None and (after.block, after.depth) == (item.block, item.depth):
            text += " " if after.cell == item.cell else " | "
            continue
        lines += ["  " * item.depth + f'"{part}"' for part in _wrapped(text)]
        text = ""
    return lines


def _beyond(items: Sequence[Item], window: Box) -> str:
    """How much cannot be seen, and how to see it."""
    away = [item.whole for item in items if item.box is None and item.whole is not None]
    above = sum(box.bottom <= window.top for box in away)
    below = sum(box.top >= window.bottom for box in away)
    step = int(0.8 * window.bottom)
    told = []
    if above:
        told.append(f"{above} above the window: scroll(0, -{step})")
    if below:
        told.append(f"{below} below the window: scroll(0, {step})")
    if rest := len(away) - above - below:
        told.append(f"{rest} hidden beside it or inside of areas that scroll")
    return f"(Not shown: {'; '.join(told)})" if told else ""


def _portion(lines: Sequence[str], start: int, most: int) -> int:
    """How many lines from `start` fit into so many characters; at least one."""
    size = count = 0
    for line in lines[start:]:
        size += len(line) + 1
        if size > most and count:
            break
        count += 1
    return count


def _wrapped(text: str) -> list[str]:
    """A text in pieces of a bearable length, cut at spaces."""
    pieces = []
    while len(text) > _LONGEST_TEXT:
        cut = text.rfind(" ", _LONGEST_TEXT // 2, _LONGEST_TEXT)
        cut = cut if cut > 0 else _LONGEST_TEXT
        pieces.append(text[:cut])
        text = text[cut:].lstrip(" ")
    return [*pieces, text]


def _source(html: str) -> list[str]:
    return [piece for line in html.splitlines() for piece in _wrapped(line)]


async def _title(tab: Tab) -> str:
    try:
        return str(await tab.evaluate("document.title"))
    except Error:
        return ""


_LONGEST_TEXT = 500

_HTML = """
(() => {
  const copy = document.documentElement.cloneNode(true);
  for (const unseen of copy.querySelectorAll('script, style, template, noscript, link, meta')) unseen.remove();
  return copy.outerHTML.replace(/<!--[^]*?-->/g, '').replace(/\\s*\\n\\s*/g, '\\n');
})()
"""
"""The document's source without what nobody sees."""
