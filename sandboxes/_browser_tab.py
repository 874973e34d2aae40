"""One tab: a Playwright page, and a line of our own to the browser that says what is still going on in it.

Scripts of ours run in an isolated world, where a page can neither see nor replace what they use, and its clock,
which is stopped for the page, runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from playwright.async_api import CDPSession, Error, Page

__all__ = ["ScriptFailed", "Tab"]

_UNAWAITED = {"EventSource", "WebSocket", "Media", "Ping", "Prefetch", "Other"}
"""Requests that nobody waits for: those without an end, and the browser's own (the site's icon)."""

_PAINTED = "new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))"
_PAINT_SECONDS = 5.0
"""A tab in the background may never paint."""

_GONE = ("Cannot find context", "context was destroyed", "navigated or closed", "No frame", "uniqueContextId")


class ScriptFailed(Exception):
    """A script of ours raised in the page; says what."""


class Tab:
    """A page of an episode.

    Attributes:
        page: the Playwright page.
        activity: grows with everything that begins or ends in the page: loads and requests.
    """

    def __init__(self, page: Page, changed: Callable[[], None]) -> None:
        self.page = page
        self.activity = 0
        self.documents = 0
        self._changed = changed
        self._loading: set[str] = set()
        self._requests: set[str] = set()
        self._world: int | None = None
        self._frame = ""
        self._attached: asyncio.Future[CDPSession] = asyncio.ensure_future(self._attach())
        self._attached.add_done_callback(lambda done: done.cancelled() or done.exception())

    @property
    def busy(self) -> bool:
        """Whether a document is loading or a request is on its way."""
        return bool(self._loading or self._requests)

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the browser about this page (Chrome DevTools Protocol).

        Raises:
            playwright.async_api.Error: it refuses, or the page is gone.
        """
        line = await asyncio.shield(self._attached)
        answer: dict[str, Any] = await line.send(method, parameters)
        return answer

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression (awaited, as JSON) in an isolated world of the main frame.

        Raises:
            ScriptFailed: it raised.
            playwright.async_api.Error: the page is gone.
        """
        for attempt in range(4):
            try:
                if self._world is None:
                    await asyncio.shield(self._attached)
                    made = await self.send("Page.createIsolatedWorld", frameId=self._frame, worldName="arena")
                    self._world = made["executionContextId"]
                found = await self.send(
                    "Runtime.evaluate",
                    expression=expression,
                    contextId=self._world,
                    awaitPromise=True,
                    returnByValue=True,
                )
                return _value(found)
            except Error as error:
                if attempt == 3 or not any(words in str(error) for words in _GONE):
                    raise
                self._world = None
        raise AssertionError("unreachable")

    async def call(self, node: int, function: str, *arguments: Any) -> Any:
        """Call a JavaScript function (`function(a) { … this … }`) with an element as `this`.

        Args:
            node: its backend node id.
            function: its source.
            arguments: JSON values.

        Raises:
            ScriptFailed: it raised.
            playwright.async_api.Error: the element is no longer in the page.
        """
        found = await self.send("DOM.resolveNode", backendNodeId=node)
        handle = found["object"]["objectId"]
        try:
            answer = await self.send(
                "Runtime.callFunctionOn",
                functionDeclaration=function,
                objectId=handle,
                arguments=[{"value": argument} for argument in arguments],
                awaitPromise=True,
                returnByValue=True,
            )
            return _value(answer)
        finally:
            released = asyncio.ensure_future(self.send("Runtime.releaseObject", objectId=handle))
            released.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def painted(self) -> None:
        """Wait until the page has dealt with its input and drawn a frame."""
        try:
            async with asyncio.timeout(_PAINT_SECONDS):
                await self.evaluate(_PAINTED)
        except (TimeoutError, ScriptFailed):
            return

    def detach(self) -> None:
        """The tab's browser is being closed: wait for nothing more of it."""
        self._attached.cancel()

    async def forget_history(self) -> None:
        """Leave nothing to go back to."""
        await self.send("Page.resetNavigationHistory")

    async def _attach(self) -> CDPSession:
        line = await self.page.context.new_cdp_session(self.page)
        line.on("Page.frameRequestedNavigation", self._begins)
        line.on("Page.frameStartedLoading", self._begins)
        line.on("Page.frameStoppedLoading", self._ends)
        line.on("Page.frameDetached", self._ends)
        line.on("Page.frameNavigated", self._navigated)
        line.on("Network.requestWillBeSent", self._sent)
        line.on("Network.loadingFinished", self._received)
        line.on("Network.loadingFailed", self._received)
        enabled = [line.send(f"{domain}.enable") for domain in ("Page", "Network", "DOM")]
        tree: dict[str, Any] = (await asyncio.gather(line.send("Page.getFrameTree"), *enabled))[0]
        self._frame = tree["frameTree"]["frame"]["id"]
        return line

    def _begins(self, event: dict[str, Any]) -> None:
        if event.get("disposition", "currentTab") == "currentTab":
            self._loading.add(event["frameId"])
            self._note()

    def _ends(self, event: dict[str, Any]) -> None:
        self._loading.discard(event["frameId"])
        self._note()

    def _navigated(self, event: dict[str, Any]) -> None:
        if "parentId" not in event["frame"]:
            self._world = None
            self._requests.clear()
            self.documents += 1
        self._note()

    def _sent(self, event: dict[str, Any]) -> None:
        if event.get("type") not in _UNAWAITED:
            self._requests.add(event["requestId"])
            self._note()

    def _received(self, event: dict[str, Any]) -> None:
        if event["requestId"] in self._requests:
            self._requests.discard(event["requestId"])
            self._note()

    def _note(self) -> None:
        self.activity += 1
        self._changed()


def _value(answer: dict[str, Any]) -> Any:
    if "exceptionDetails" in answer:
        details = answer["exceptionDetails"]
        thrown = details.get("exception", {}).get("description") or details.get("text", "")
        raise ScriptFailed(str(thrown).partition("\n")[0])
    return answer["result"].get("value")
