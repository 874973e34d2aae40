"""Where pages that nobody trusts are opened: one Chromium for all episodes of a process, a context for each.

    browser = Browser.shared()
    session = await browser.run(browser.session(BrowserSpec()))       # from any loop; browser.call(…) from any thread
    session.serve({"https://site.test": lambda request: Response("<h1>Hello</h1>")})
    await browser.run(session.open("https://site.test/"))
    await browser.run(session.close())

Playwright's objects belong to one event loop. The browser therefore has a thread with a loop of its own, and
everything that touches a page runs there, through `run` or `call`.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import shutil
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from playwright.async_api import Browser as Chromium
from playwright.async_api import BrowserContext, Error, Playwright, ProxySettings, async_playwright

from arena.core.errors import MissingPrerequisite, SandboxUnavailable
from arena.sandboxes._browser_network import Handler, Request, Response, origin_of
from arena.sandboxes._browser_session import BrowserSession
from arena.sandboxes._browser_spec import BrowserSpec, PageBroken, Reason
from arena.sandboxes._browser_tab import ScriptFailed, Tab
from arena.sandboxes._browser_usage import MemoryGuard, Windows

__all__ = [
    "Browser",
    "BrowserSession",
    "BrowserSpec",
    "BrowserStats",
    "Handler",
    "PageBroken",
    "Reason",
    "Request",
    "Response",
    "ScriptFailed",
    "Tab",
    "find_chromium",
    "origin_of",
]

T = TypeVar("T")

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PLACES = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/usr/lib/chromium/chromium")

_INSTALL = "apt-get install chromium fonts-dejavu-core     (or: playwright install --with-deps chromium)"

_NOWHERE: ProxySettings = {"server": "socks5://127.0.0.1:9", "bypass": "<-loopback>"}
"""A proxy that nobody is: what slips past the interception of requests (WebRTC, prefetching) ends there."""

_OFF = (
    "IsolateSandboxedIframes,PaintHolding,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,MediaRouter,OptimizationHints,"
    "ThirdPartyStoragePartitioning,LensOverlay,AvoidUnnecessaryBeforeUnloadCheckSync,NetworkTimeServiceQuerying,"
    "PreconnectToSearch,Translate,BackForwardCache,DestroyProfileOnBrowserClose"
)
_ARGUMENTS = (
    f"--disable-features={_OFF}",
    "--js-flags=--max-old-space-size=512",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--font-render-hinting=none",
    "--disable-smooth-scrolling",
    "--mute-audio",
)

_OPENING_SECONDS = 120.0
"""How long a new page may take on a busy machine."""

_KEPT = 8
"""How many sessions are kept for reuse."""


def find_chromium(bundled: str | None = None) -> Path:
    """The browser to start: `$ARENA_CHROMIUM`, the system's Chromium or Chrome, or Playwright's own.

    Args:
        bundled: where Playwright keeps its own.

    Raises:
        MissingPrerequisite: none of them is there.
    """
    if named := os.environ.get("ARENA_CHROMIUM"):
        found = shutil.which(named)
        if found is None:
            raise MissingPrerequisite(f"$ARENA_CHROMIUM is {named!r}, which is no program here.", _INSTALL)
        return Path(found)
    places = (*map(shutil.which, _NAMES), *_PLACES, bundled)
    for place in places:
        if place and Path(place).is_file():
            return Path(place)
    raise MissingPrerequisite("Web environments need Chromium, which was not found.", _INSTALL)


@dataclass(frozen=True)
class BrowserStats:
    """What the browser of this process holds.

    Attributes:
        sessions: in use.
        kept: waiting to be used again.
        contexts: all there are in Chromium.
        processes: of Chromium, 0 while it is not running.
        memory: their resident bytes; shared pages count in each.
    """

    sessions: int
    kept: int
    contexts: int
    processes: int
    memory: int


class Browser:
    """One Chromium on a loop thread of its own; it starts with the first session and ends with the process.

    Attributes:
        windows: tells sessions how many windows they have.
    """

    _shared: ClassVar[Browser | None] = None
    _making: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="arena-browser", daemon=True)
        self._thread.start()
        self._starting = asyncio.Lock()
        self._driver: Playwright | None = None
        self._chromium: Chromium | None = None
        self._memory: MemoryGuard | None = None
        self.windows = Windows()
        self._sessions: set[BrowserSession] = set()
        self._kept: list[BrowserSession] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        atexit.register(self.close)

    @classmethod
    def shared(cls) -> Browser:
        """The browser of this process."""
        with cls._making:
            if cls._shared is None or cls._shared._process != os.getpid() or not cls._shared._thread.is_alive():
                cls._shared = cls()
            return cls._shared

    @property
    def alive(self) -> bool:
        """Whether Chromium is running."""
        return self._chromium is not None and self._chromium.is_connected()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine on the browser's loop, from any loop; cancelling the wait cancels it."""
        if asyncio.get_running_loop() is self._loop:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the browser's loop and wait for it, from any thread but the browser's."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def session(self, spec: BrowserSpec, reuse: str | None = None) -> BrowserSession:
        """A session with a context of its own.

        Args:
            spec: what it is like.
            reuse: names pages that one episode may take over from another, which then brings them to their first
                state itself (`session.fresh` is False). Cookies, storage, other tabs and history are gone. None:
                nothing is shared.

        Raises:
            MissingPrerequisite: there is no browser.
            SandboxUnavailable: it does not start.
        """
        chromium = await self._started()
        for session in self._kept if reuse is not None else ():
            if session.reuse == reuse and session.spec == spec and session.broken is None:
                self._kept.remove(session)
                self._sessions.add(session)
                session.reopen()
                return session
        try:
            context = await _context(chromium, spec)
        except Error as error:
            raise SandboxUnavailable(f"The browser could not open a page: {error}") from error
        session = BrowserSession(self, context, spec, reuse)
        self._sessions.add(session)
        try:
            async with asyncio.timeout(_OPENING_SECONDS):
                await session.begin()
        except (Error, TimeoutError) as error:
            await session.close()
            raise SandboxUnavailable(f"The browser could not open a page: {error}") from error
        return session

    async def stats(self) -> BrowserStats:
        """What the browser holds now."""
        contexts = len(self._chromium.contexts) if self.alive and self._chromium is not None else 0
        sizes = await self._memory.sizes() if self.alive and self._memory is not None else {}
        return BrowserStats(len(self._sessions), len(self._kept), contexts, len(sizes), sum(sizes.values()))

    def close(self) -> None:
        """End Chromium and the thread, whatever is open; a second call does nothing."""
        atexit.unregister(self.close)
        if self._process != os.getpid() or not self._thread.is_alive():
            return
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(self.stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def stop(self) -> None:
        """End Chromium; the next session starts another one."""
        if self._memory is not None:
            self._memory.stop()
        for session in [*self._sessions, *self._kept]:
            await session.close()
        self._sessions.clear()
        self._kept.clear()
        if self._chromium is not None:
            with contextlib.suppress(Error):
                await self._chromium.close()
        if self._driver is not None:
            await self._driver.stop()
        self._driver = self._chromium = self._memory = None

    def put_back(self, session: BrowserSession) -> None:
        """Keep a session's pages for the next one with its `reuse` key."""
        self._sessions.discard(session)
        self._kept.append(session)
        while len(self._kept) > _KEPT:
            oldest = self._kept.pop(0)
            oldest.reuse = None
            oldest.discard()

    def forget(self, session: BrowserSession) -> None:
        """A session is over."""
        self._sessions.discard(session)
        if session in self._kept:
            self._kept.remove(session)

    def keep(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine that nobody waits for."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def why_crashed(self) -> Reason:
        """What to say of a page whose process has just died."""
        return "memory" if self._memory is not None and self._memory.just_ended_one() else "crashed"

    async def _started(self) -> Chromium:
        async with self._starting:
            if self._chromium is not None and not self._chromium.is_connected():
                await self.stop()
            if self._chromium is None:
                self._driver = self._driver or await async_playwright().start()
                path = find_chromium(self._driver.chromium.executable_path)
                try:
                    self._chromium = await self._driver.chromium.launch(
                        executable_path=str(path),
                        chromium_sandbox=_sandboxed(),
                        args=list(_ARGUMENTS),
                        handle_sigint=False,
                        handle_sigterm=False,
                        handle_sighup=False,
                    )
                except Error as error:
                    raise SandboxUnavailable(f"{path} does not start: {_reason(error)}") from error
                line = await self._chromium.new_browser_cdp_session()
                await self.windows.listen(line)
                self._memory = MemoryGuard(line)
                self._memory.start()
            return self._chromium


async def _context(chromium: Chromium, spec: BrowserSpec) -> BrowserContext:
    return await chromium.new_context(
        viewport={"width": spec.viewport[0], "height": spec.viewport[1]},
        device_scale_factor=spec.scale,
        locale=spec.locale,
        timezone_id=spec.timezone,
        color_scheme="light",
        reduced_motion="reduce",
        accept_downloads=False,
        service_workers="block",
        permissions=[],
        proxy=None if spec.network else _NOWHERE,
    )


def _sandboxed() -> bool:
    """Chromium's own sandbox is on, except for root, whom it refuses, or where `ARENA_CHROMIUM_SANDBOX=off`."""
    return os.geteuid() != 0 and os.environ.get("ARENA_CHROMIUM_SANDBOX") != "off"


def _reason(error: Error) -> str:
    """The lines that say something, of an error full of command lines."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if "sandbox" in line.lower() and not line.startswith("<launch")] or lines[:1]
    hint = " (ARENA_CHROMIUM_SANDBOX=off starts it without its own sandbox.)" if telling != lines[:1] else ""
    return telling[0][:300] + hint
