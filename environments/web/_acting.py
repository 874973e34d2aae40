"""What an agent can do to a page, as a person would: with the mouse, the keyboard and the browser's own buttons.

Nothing here waits for a page to become ready, since a page has settled before an agent sees it: an element that
is hidden, disabled or covered is answered in words at once.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urljoin, urlsplit

from playwright.async_api import Error

from arena.environments.web import _scripts
from arena.environments.web._actions import ActionError, Call, Vocabulary
from arena.sandboxes.browser import BrowserSession, ScriptFailed

if TYPE_CHECKING:
    from arena.environments.web._observe import Eyes

__all__ = ["SUBSETS", "Hands", "vocabulary"]

Button = Literal["left", "middle", "right"]

SUBSETS: dict[str, tuple[str, ...]] = {
    "bid": (
        *("click", "dblclick", "fill", "select_option", "press", "hover", "focus", "clear"),
        *("check", "uncheck", "drag_and_drop", "upload_file", "scroll", "more", "noop"),
    ),
    "coord": (
        *("mouse_click", "mouse_dblclick", "mouse_move", "mouse_down", "mouse_up", "mouse_drag_and_drop"),
        *("keyboard_press", "keyboard_down", "keyboard_up", "keyboard_type", "keyboard_insert_text"),
        *("scroll_at", "scroll", "more", "noop"),
    ),
    "nav": ("goto", "go_back", "go_forward"),
    "tab": ("new_tab", "tab_close", "tab_focus"),
    "chat": ("send_msg_to_user",),
    "infeas": ("report_infeasible",),
}
"""BrowserGym's subsets of the functions, with `more` and `noop` wherever there is a page to look at."""


class Hands:
    """Acts on the pages of one episode. Runs on the browser's loop.

    Attributes:
        messages: what was said to the user, in order.
        infeasible: why the agent says that the task cannot be done, once it does.
    """

    def __init__(self, session: BrowserSession, eyes: Eyes) -> None:
        self._session = session
        self._eyes = eyes
        self._mouse = (session.spec.viewport[0] / 2, session.spec.viewport[1] / 2)
        self.messages: list[str] = []
        self.infeasible: str | None = None

    async def perform(self, call: Call) -> None:
        """Do one call, and let the page settle.

        Raises:
            ActionError: it cannot be done, in words for the agent.
            PageBroken, SandboxUnavailable, EnvironmentFailure: as `BrowserSession.guard`.
        """
        try:
            await getattr(self, call.name)(**call.arguments)
        except ScriptFailed as failure:
            raise ActionError(f"{call.name} failed: {failure}") from failure
        except Error as error:
            raise ActionError(f"{call.name} failed: {_sentence(error)}") from error
        finally:
            if call.name != "more":
                self._eyes.look_from_the_top()
        if call.name not in ("more", "send_msg_to_user", "report_infeasible"):
            await self._session.settle()

    async def click(self, bid: str, button: Button = "left", modifiers: list[str] = []) -> None:  # noqa: B006
        """Click an element; modifiers are keys held down meanwhile, such as ["Shift"]."""
        await self._press_mouse(*await self._reach(bid), button, modifiers, 1)

    async def dblclick(self, bid: str, button: Button = "left", modifiers: list[str] = []) -> None:  # noqa: B006
        """Double click an element."""
        await self._press_mouse(*await self._reach(bid), button, modifiers, 2)

    async def hover(self, bid: str) -> None:
        """Move the mouse over an element."""
        await self.mouse_move(*await self._reach(bid))

    async def fill(self, bid: str, value: str) -> None:
        """Replace the text of a field."""
        told = await self._on(bid, _scripts.FILL, value)
        if told == "type":
            keyboard = self._session.page.keyboard
            await self._session.guard(keyboard.insert_text(value) if value else keyboard.press("Delete"))
            self._accept(bid, await self._on(bid, _scripts.HOLDS, value))

    async def clear(self, bid: str) -> None:
        """Empty a field."""
        await self.fill(bid, "")

    async def select_option(self, bid: str, options: str | list[str]) -> None:
        """Choose an option of a list by its label or value; several where the list allows it."""
        await self._on(bid, _scripts.SELECT, [options] if isinstance(options, str) else options)

    async def check(self, bid: str) -> None:
        """Tick a checkbox or radio button."""
        await self._tick(bid, True)

    async def uncheck(self, bid: str) -> None:
        """Untick a checkbox."""
        await self._tick(bid, False)

    async def press(self, bid: str, key_comb: str) -> None:
        """Focus an element and press a key or several together, such as Enter or Control+a."""
        await self.focus(bid)
        await self.keyboard_press(key_comb)

    async def focus(self, bid: str) -> None:
        """Focus an element."""
        await self._on(bid, _scripts.FOCUS)

    async def drag_and_drop(self, from_bid: str, to_bid: str) -> None:
        """Drag one element onto another."""
        start = await self._reach(from_bid)
        await self.mouse_move(*start)
        await self._session.guard(self._session.page.mouse.down())
        end = await self._centre(to_bid)
        await self._session.guard(self._session.page.mouse.move(*end, steps=5))
        await self._session.guard(self._session.page.mouse.up())
        self._mouse = end

    async def upload_file(self, bid: str, file: str) -> None:
        """Upload a file; there are none here, so this is refused."""
        self._eyes.node(bid)
        raise ActionError(f"{file[:100]!r} cannot be uploaded: there are no files in this environment.")

    async def scroll(self, delta_x: float, delta_y: float) -> None:
        """Scroll what is under the mouse (at first the page) by so many pixels, down and to the right if positive."""
        await self.scroll_at(*self._mouse, delta_x, delta_y)

    async def scroll_at(self, x: float, y: float, delta_x: float, delta_y: float) -> None:
        """Scroll what is at a point."""
        script = f"({_scripts.SCROLL})({x}, {y}, {delta_x}, {delta_y})"
        moved = await self._session.guard(self._session.tab.evaluate(script))
        if not moved:
            self._session.events.append("There is nothing more to scroll in that direction.")

    async def more(self) -> None:
        """Show the next part of a text that was cut."""
        if not self._eyes.look_further():
            raise ActionError("There is no more: the text was shown to its end.")

    async def noop(self, wait_ms: int = 1000) -> None:
        """Do nothing for a while."""
        if not 0 <= wait_ms <= 60_000:
            raise ActionError(f"noop waits 0 to 60000 milliseconds, not {wait_ms}.")
        await self._session.pass_time(max(wait_ms - self._session.spec.tick, 1))

    async def mouse_move(self, x: float, y: float) -> None:
        """Move the mouse to a point, counted in pixels from the top left of the window."""
        self._mouse = self._inside(x, y)
        await self._session.guard(self._session.page.mouse.move(x, y))

    async def mouse_click(self, x: float, y: float, button: Button = "left") -> None:
        """Click at a point."""
        await self._press_mouse(*self._inside(x, y), button, [], 1)

    async def mouse_dblclick(self, x: float, y: float, button: Button = "left") -> None:
        """Double click at a point."""
        await self._press_mouse(*self._inside(x, y), button, [], 2)

    async def mouse_down(self, x: float, y: float, button: Button = "left") -> None:
        """Move to a point and press a mouse button down."""
        await self.mouse_move(x, y)
        await self._session.guard(self._session.page.mouse.down(button=button))

    async def mouse_up(self, x: float, y: float, button: Button = "left") -> None:
        """Move to a point and let a mouse button go."""
        await self.mouse_move(x, y)
        await self._session.guard(self._session.page.mouse.up(button=button))

    async def mouse_drag_and_drop(self, from_x: float, from_y: float, to_x: float, to_y: float) -> None:
        """Drag from one point to another."""
        self._inside(to_x, to_y)
        await self.mouse_down(from_x, from_y)
        await self._session.guard(self._session.page.mouse.move(to_x, to_y, steps=5))
        await self.mouse_up(to_x, to_y)

    async def keyboard_press(self, key: str) -> None:
        """Press a key or several together, such as Enter or Control+a, wherever the focus is."""
        await self._session.guard(self._session.page.keyboard.press(key))

    async def keyboard_down(self, key: str) -> None:
        """Press a key and hold it."""
        await self._session.guard(self._session.page.keyboard.down(key))

    async def keyboard_up(self, key: str) -> None:
        """Let a key go."""
        await self._session.guard(self._session.page.keyboard.up(key))

    async def keyboard_type(self, text: str) -> None:
        """Type a text key by key, wherever the focus is."""
        await self._session.guard(self._session.page.keyboard.type(text))

    async def keyboard_insert_text(self, text: str) -> None:
        """Insert a text at once, as if pasted, wherever the focus is."""
        await self._session.guard(self._session.page.keyboard.insert_text(text))

    async def goto(self, url: str) -> None:
        """Load a page; an address without a host is one of the site that is shown."""
        session = self._session
        target = urljoin(session.page.url, url.strip())
        if urlsplit(target).scheme not in ("http", "https", "about"):
            raise ActionError(f"{url[:200]!r} is no web address.")
        if not session.reachable(target):
            raise ActionError(
                f"{target[:200]} is outside of this episode: only {', '.join(session.origins())} can be reached."
            )
        await session.open(target)

    async def go_back(self) -> None:
        """Go back to the page before."""
        await self._travel(-1, "back")

    async def go_forward(self) -> None:
        """Go forward again."""
        await self._travel(1, "forward")

    async def new_tab(self) -> None:
        """Open an empty tab."""
        if len(self._session.tabs) >= self._session.spec.tabs:
            raise ActionError(f"There are {len(self._session.tabs)} tabs already, as many as there may be.")
        await self._session.new_tab()

    async def tab_close(self) -> None:
        """Close this tab."""
        if len(self._session.tabs) == 1:
            raise ActionError("This is the only tab; it stays open.")
        await self._session.guard(self._session.page.close())

    async def tab_focus(self, index: int) -> None:
        """Look at another tab, by its number."""
        tabs = self._session.tabs
        if not 0 <= index < len(tabs):
            raise ActionError(f"There is no tab {index}: they are numbered from 0 to {len(tabs) - 1}.")
        self._session.look_at(tabs[index])
        await self._session.guard(tabs[index].page.bring_to_front())

    async def send_msg_to_user(self, text: str) -> None:
        """Say something to the user, such as the answer to a question."""
        self.messages.append(text)

    async def report_infeasible(self, reason: str) -> None:
        """Tell the user that the task cannot be done, and why; this ends the episode."""
        self.infeasible = reason

    async def reachable(self, bid: str) -> bool:
        """Whether an element could be clicked where it is."""
        try:
            await self._reach(bid, scroll=False)
        except (ActionError, ScriptFailed, Error):
            return False
        return True

    async def _travel(self, step: int, word: str) -> None:
        history = await self._session.guard(self._session.tab.send("Page.getNavigationHistory"))
        index = history["currentIndex"] + step
        if not 0 <= index < len(history["entries"]):
            raise ActionError(f"There is no page to go {word} to.")
        entry = history["entries"][index]["id"]
        await self._session.guard(self._session.tab.send("Page.navigateToHistoryEntry", entryId=entry))

    async def _tick(self, bid: str, wanted: bool) -> None:
        if await self._on(bid, _scripts.CHECKED) != wanted:
            await self.click(bid)
            if await self._on(bid, _scripts.CHECKED) != wanted:
                raise ActionError(f"Element [{bid}] was clicked, but did not change.")

    async def _press_mouse(self, x: float, y: float, button: Button, modifiers: list[str], count: int) -> None:
        keyboard, mouse = self._session.page.keyboard, self._session.page.mouse
        if wrong := [key for key in modifiers if key not in _MODIFIERS]:
            raise ActionError(f"{wrong[0][:40]!r} is no modifier: they are {', '.join(_MODIFIERS)}.")
        for key in modifiers:
            await self._session.guard(keyboard.down(key))
        try:
            await self._session.guard(mouse.click(x, y, button=button, click_count=count))
            self._mouse = (x, y)
        finally:
            for key in modifiers:
                with contextlib.suppress(Error):
                    await self._session.guard(keyboard.up(key))

    def _inside(self, x: float, y: float) -> tuple[float, float]:
        width, height = self._session.spec.viewport
        if not (0 <= x < width and 0 <= y < height):
            raise ActionError(f"({x}, {y}) is outside of the window, which is {width} by {height}.")
        return x, y

    async def _reach(self, bid: str, scroll: bool = True) -> tuple[float, float]:
        """A point at which the element can be clicked, scrolled into the window if need be."""
        found = await self._on(bid, _scripts.REACH, scroll)
        if found["framed"]:
            return await self._centre(bid)
        return float(found["x"]), float(found["y"])

    async def _centre(self, bid: str) -> tuple[float, float]:
        """The middle of the element's first box, in the window."""
        node = self._eyes.node(bid)
        await self._session.guard(self._session.tab.send("DOM.scrollIntoViewIfNeeded", backendNodeId=node))
        found = await self._session.guard(self._session.tab.send("DOM.getContentQuads", backendNodeId=node))
        quad = found["quads"][0]
        return sum(quad[0::2]) / 4, sum(quad[1::2]) / 4

    async def _on(self, bid: str, script: str, *arguments: Any) -> Any:
        """Run a script of `_scripts` on an element; a string that starts with "!" says what is wrong with it."""
        node = self._eyes.node(bid)
        try:
            told = await self._session.guard(self._session.tab.call(node, script, *arguments))
        except Error as error:
            if "No node" in str(error) or "Could not find" in str(error) or "does not belong" in str(error):
                raise ActionError(f"Element [{bid}] is no longer on the page.") from error
            raise
        return self._accept(bid, told)

    def _accept(self, bid: str, told: Any) -> Any:
        if isinstance(told, str) and told.startswith("!"):
            raise ActionError(f"Element [{bid}] {told[1:]}")
        return told


_MODIFIERS = ("Alt", "Control", "ControlOrMeta", "Meta", "Shift")


def vocabulary(*subsets: str, without: tuple[str, ...] = ()) -> Vocabulary:
    """The functions of some subsets (keys of `SUBSETS`, or names of functions), each once, in their order."""
    names = dict.fromkeys(name for subset in subsets for name in SUBSETS.get(subset, (subset,)))
    return Vocabulary(Hands, [name for name in names if name not in without])


def _sentence(error: Error) -> str:
    """What Playwright says, without its call log and the name of its method."""
    line = error.message.partition("\n")[0]
    return (line.partition(": ")[2] or line)[:300]
