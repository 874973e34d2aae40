"""The browser of one episode: a context of its own, whose pages can reach nothing but what the episode serves them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from playwright.async_api import BrowserContext, Dialog, Error, Page, Route

from arena.core.errors import EnvironmentFailure, SandboxUnavailable, UsageError
from arena.sandboxes._browser_clock import PageClock
from arena.sandboxes._browser_network import Handler, answer, origin_of
from arena.sandboxes._browser_scripts import ASKED, FORGET, REFUSED, SEEDED, STILL
from arena.sandboxes._browser_spec import BrowserSpec, PageBroken, Reason
from arena.sandboxes._browser_tab import ScriptFailed, Tab

if TYPE_CHECKING:
    from arena.sandboxes.browser import Browser

__all__ = ["NOTHING", "BrowserSession"]

T = TypeVar("T")

NOTHING: Mapping[str, Handler] = {}

_ROUNDS = 5
"""How many ticks of the clock may each start something new before a page counts as settled."""

_CLOSING_SECONDS = 10.0


class BrowserSession:
    """The tabs of one episode. Made by `Browser.session`; all methods run on the browser's loop.

    Attributes:
        spec: what it was made with.
        tabs: the open tabs, oldest first.
        tab: the one that is looked at.
        fresh: False where the pages of an earlier episode with the same `reuse` key are still open.
        events: what the browser did by itself, in words: dialogs answered, downloads and requests refused.
        refused: the URLs that were asked for and refused.
    """

    def __init__(self, browser: Browser, context: BrowserContext, spec: BrowserSpec, reuse: str | None) -> None:
        self.browser = browser
        self.spec = spec
        self.reuse = reuse
        self.fresh = True
        self.tabs: list[Tab] = []
        self.events: list[str] = []
        self.refused: list[str] = []
        self._context = context
        self._handlers: Mapping[str, Handler] = NOTHING
        self._failure: Exception | None = None
        self._moved = asyncio.Event()
        self._broken: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        self._closed = False
        self._identity = ""
        self._windows = 0
        self._active: Tab | None = None
        self._clock = None if spec.clock is None else PageClock(context, round(1000 * spec.clock))
        self._end: asyncio.TimerHandle | None = None

    @property
    def tab(self) -> Tab:
        """The tab that is looked at."""
        if self._active is None or self._active not in self.tabs:
            self._active = self.tabs[-1]
        return self._active

    @property
    def page(self) -> Page:
        """The Playwright page of the tab that is looked at."""
        return self.tab.page

    @property
    def broken(self) -> Reason | None:
        """Why the session is over, if a page broke it."""
        return self._broken.result() if self._broken.done() else None

    def serve(self, handlers: Mapping[str, Handler]) -> None:
        """Say who answers for which origin (`https://site.test`); whatever is not named is refused."""
        for origin in handlers:
            if origin != origin_of(origin):
                raise UsageError(f"{origin!r} is no origin: write it as https://site.test, without a path.")
        self._handlers = dict(handlers)

    def reachable(self, url: str) -> bool:
        """Whether a page may be asked for."""
        return url == "about:blank" or origin_of(url) in self._handlers or origin_of(url) in self.spec.network

    async def open(self, url: str) -> None:
        """Load a page in the tab that is looked at, and let it settle.

        Raises:
            UsageError: the URL's origin is not served here.
            playwright.async_api.Error: the page cannot be loaded.
            PageBroken: the page broke.
        """
        if not self.reachable(url):
            raise UsageError(
                f"{url} is outside of this episode: {', '.join(self.origins()) or 'nothing'} can be reached."
            )
        with contextlib.suppress(ConnectionAbortedError):
            await self.guard(self.page.goto(url, wait_until="commit", timeout=1000 * self.spec.timeout))
        await self.settle()

    def origins(self) -> list[str]:
        """Which origins can be reached."""
        return [*self._handlers, *self.spec.network]

    async def new_tab(self) -> Tab:
        """Open an empty tab and look at it."""
        page = await self.guard(self._context.new_page())
        self.look_at(next(tab for tab in self.tabs if tab.page is page))
        return self.tab

    def look_at(self, tab: Tab) -> None:
        """Make a tab the one that is looked at."""
        self._active = tab

    async def settle(self) -> None:
        """Wait until nothing goes on in the pages, with their clock moved on by a tick or a few.

        The clock moves only when all is quiet, so the same actions meet the same times.

        Raises:
            PageBroken: a page broke meanwhile.
        """
        until = asyncio.get_running_loop().time() + self.spec.settling
        await self._drained(until)
        for _ in range(_ROUNDS):
            before = self._activity()
            await self.pass_time(self.spec.tick)
            await self._drained(until)
            if self._activity() == before:
                return

    async def pass_time(self, milliseconds: int) -> None:
        """Move the pages' clock on; their timers run as they fall due.

        Raises:
            PageBroken: a page broke meanwhile.
        """
        if self._clock is not None:
            await self.guard(self._clock.advance([tab.page for tab in self.tabs], milliseconds))
        else:
            await self.guard(asyncio.sleep(min(milliseconds, 10_000) / 1000))

    async def guard(self, work: Awaitable[T], seconds: float | None = None) -> T:
        """Wait for something that a page has a part in.

        Args:
            work: what to wait for.
            seconds: how long at most; the spec's timeout by default.

        Raises:
            PageBroken: the page crashed, hung, or ran into a limit; the session is over.
            SandboxUnavailable: the browser itself is gone.
            EnvironmentFailure: a handler raised.
            playwright.async_api.Error: the browser refuses.
        """
        task = asyncio.ensure_future(work)
        try:
            self._raise_failure()
            either: set[asyncio.Future[Any]] = {task, self._broken}
            await asyncio.wait(either, timeout=seconds or self.spec.timeout, return_when="FIRST_COMPLETED")
            if not task.done() and not self._broken.done():
                self.breaks("hung")
            self._raise_failure()
            try:
                return task.result()
            except Error as error:
                await self._blame(error)
                raise
        finally:
            if not task.done():
                task.cancel()
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def breaks(self, reason: Reason) -> None:
        """End the session because of what a page did; a second reason changes nothing."""
        if not self._broken.done() and not self._closed:
            self._broken.set_result(reason)
            self._moved.set()
            self.browser.keep(self.close())

    def drain_events(self) -> list[str]:
        """What the browser did by itself since the last call."""
        events, self.events = self.events, []
        return events

    async def close(self, reusable: bool = False) -> None:
        """End the session; a second call does nothing.

        Args:
            reusable: keep the pages for the next session with the same `reuse` key, where that is possible.
        """
        if self._closed:
            return
        self._closed = True
        if self._end is not None:
            self._end.cancel()
        self.serve(NOTHING)
        if reusable and self.reuse is not None and not self._broken.done() and await self._emptied():
            self.browser.put_back(self)
            return
        self.browser.forget(self)
        self.browser.windows.unwatch(self._identity)
        for tab in self.tabs:
            tab.detach()
        with contextlib.suppress(Error, TimeoutError):
            async with asyncio.timeout(_CLOSING_SECONDS):
                await self._context.close()

    def discard(self) -> None:
        """Close the pages that were kept."""
        self._closed = False
        self.browser.keep(self.close())

    def reopen(self) -> None:
        """Begin another episode in the pages that were kept."""
        self.fresh, self._closed = False, False
        self.events, self.refused = [], []
        self._live()

    async def begin(self) -> None:
        """Set the context up; called once by the browser."""
        context = self._context
        context.on("page", self._opened)
        context.on("dialog", self._asked)
        await asyncio.gather(
            context.expose_binding(ASKED, self._tried),
            context.add_init_script(REFUSED),
            context.add_init_script(STILL),
            context.add_init_script(SEEDED.replace("SEED", str(self.spec.seed & 0xFFFFFFFF))),
            context.route("**/*", self._routed),
            context.route_web_socket("**/*", lambda socket: socket.close(code=1008, reason="closed network")),
        )
        if self._clock is not None:
            await self._clock.begin()
        await context.new_page()
        told = await self.tab.send("Target.getTargetInfo")
        self._identity = str(told["targetInfo"]["browserContextId"])
        self.browser.windows.watch(self._identity, self._counted)
        self._live()

    def _live(self) -> None:
        self._end = asyncio.get_running_loop().call_later(self.spec.time_to_live, self.breaks, "time_to_live")

    async def _emptied(self) -> bool:
        """Whether nothing of the episode is left but its first page."""
        try:
            async with asyncio.timeout(self.spec.timeout):
                first, *others = self.tabs
                await asyncio.gather(self._context.clear_cookies(), *(tab.page.close() for tab in others))
                await first.evaluate(FORGET)
                await first.forget_history()
        except (Error, TimeoutError, ScriptFailed, ValueError):
            return False
        self._active = first
        return not self._broken.done()

    async def _drained(self, until: float) -> None:
        """Wait until the tabs have dealt with their input and all that it started."""
        clock = asyncio.get_running_loop()
        while True:
            before = self._activity()
            try:
                await self.guard(self.tab.painted())
            except Error:
                self._raise_failure()  # a tab that was closed while we waited for it
                if not self.tabs:
                    await self.new_tab()
            while self._busy():
                left = until - clock.time()
                if left <= 0:
                    return
                self._moved.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._moved.wait()
                self._raise_failure()
            if self._activity() == before or clock.time() > until:
                return

    def _busy(self) -> bool:
        """Whether something is loading, or a window has been made of whose page nothing is known yet."""
        return any(tab.busy for tab in self.tabs) or self._windows > len(self.tabs)

    def _activity(self) -> tuple[int, int]:
        return len(self.tabs), sum(tab.activity for tab in self.tabs)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise EnvironmentFailure(f"A page's request could not be answered: {self._failure!r}") from self._failure
        if self._broken.done():
            raise PageBroken(self._broken.result())
        if not self.browser.alive:
            raise SandboxUnavailable("The browser ended unexpectedly; the next episode starts another one.")
        if self._closed:
            raise SandboxUnavailable("This browser session is closed.")

    async def _blame(self, error: Error) -> None:
        """Raise why the page is gone, if it is: the news of a crash may come a moment later than its effect."""
        if any(words in str(error) for words in ("crashed", "has been closed", "Connection closed")):
            await asyncio.wait({self._broken}, timeout=0.2)
            self._raise_failure()

    def _opened(self, page: Page) -> None:
        tab = Tab(page, self._moved.set)
        self.tabs.append(tab)
        self._active = tab
        page.on("crash", lambda _: self.breaks(self.browser.why_crashed()))
        page.on("close", lambda _: self._closed_tab(tab))
        page.on("download", lambda download: self.events.append(f"Refused to download {download.suggested_filename}."))

    def _tried(self, source: Any, deed: Any) -> None:
        """A page wants what it is refused; anything else that it says is no business of ours."""
        for reason in ("camera", "printed"):
            if deed == reason:
                self.events.append(f"Refused to {'print' if deed == 'printed' else 'record sound or pictures'}.")
                if deed not in self.spec.tolerates:
                    self.breaks(reason)

    def _counted(self, windows: int) -> None:
        self._windows = windows
        self._moved.set()
        if windows > self.spec.tabs:
            self.breaks("tabs")

    def _closed_tab(self, tab: Tab) -> None:
        if tab in self.tabs:
            self.tabs.remove(tab)
        self._moved.set()

    async def _asked(self, dialog: Dialog) -> None:
        """Say OK: nobody is there, and a page that asks would wait for ever."""
        self.events.append(f'The page said ({dialog.type}): "{dialog.message[:300]}". It was answered with OK.')
        with contextlib.suppress(Error):
            await dialog.accept(dialog.default_value)

    async def _routed(self, route: Route) -> None:
        url = route.request.url
        try:
            origin = origin_of(url)
            if origin in self._handlers:
                await answer(route, self._handlers)
            elif origin in self.spec.network:
                await route.continue_()
            else:
                self.refused.append(url)
                self.events.append(f"Refused to reach {url[:200]}: it is outside of this episode.")
                await route.abort("blockedbyclient")
        except Error:
            return  # the page left before it was answered
        except Exception as error:
            self._failure = error
            self._moved.set()
            with contextlib.suppress(Error):
                await route.abort()
