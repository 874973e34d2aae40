"""The browser of an episode: what its pages can reach, how they end, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

pytest.importorskip("playwright")

from arena.core.errors import EnvironmentFailure, MissingPrerequisite, SandboxUnavailable, UsageError
from arena.sandboxes import browser as module
from arena.sandboxes.browser import Browser, BrowserSpec, PageBroken, Request, Response, find_chromium

HOME = "https://site.test"


@pytest.fixture(scope="module")
def browser(require):
    require("chromium")
    return Browser.shared()


class Site:
    """Answers with a page of its own body, and keeps what was asked."""

    def __init__(self, body=""):
        self.body = body
        self.asked = []

    def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        if request.path == "/login":
            return Response.redirect("/hello", {"user": request.form["name"]})
        if request.path == "/moved":
            return Response.redirect("/data")
        if request.path == "/data":
            return Response.of_json({"method": request.method})
        if request.path == "/hello":
            return Response(f"<title>Hello {request.cookies.get('user')}</title>")
        if request.path == "/bug":
            raise RuntimeError("a bug in the site")
        return Response(f"<!doctype html><title>Home</title>{self.body}")


def visit(browser, body, *steps, spec=None, **handlers):
    """Open a page with this body, run some scripts in it, and give back their values and the (closed) session."""
    site = Site(body)

    async def there():
        session = await browser.session(spec or BrowserSpec())
        try:
            session.serve({HOME: site, **handlers})
            await session.open(f"{HOME}/")
            values = []
            for step in steps:
                values.append(await session.guard(session.page.evaluate(step)))
                await session.settle()
            return values, session, site, await session.page.title(), session.page.url
        finally:
            await session.close()

    return browser.call(there())


def test_only_the_episodes_own_site_answers(browser):
    """A page would reach this machine's services, or tell someone what it saw."""
    hits = []

    class Service(BaseHTTPRequestHandler):
        def do_GET(self):
            hits.append(self.path)

    service = HTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{service.server_port}"
    fetch = "url => fetch(url, {mode: 'no-cors'}).then(() => 'reached', () => 'refused')"
    socket = "url => new Promise(done => { const s = new WebSocket(url); s.onopen = s.onclose = e => done(e.type) })"
    (values, session, _, _, _) = visit(
        browser,
        f"<img src={here}/image><iframe src={here}/frame></iframe><link rel=prefetch href={here}/prefetch>",
        f"({fetch})('{here}/fetch')",
        f"({fetch})('https://example.org/')",
        f"({fetch})('file:///etc/passwd')",
        f"({socket})('ws://127.0.0.1:{service.server_port}/socket')",
        f"navigator.sendBeacon('{here}/beacon', 'x'), 'sent'",
    )
    service.shutdown()
    service.server_close()
    assert values[:3] == ["refused"] * 3
    assert values[3] != "open"
    assert hits == []
    assert {f"{here}/image", f"{here}/frame", f"{here}/fetch", "https://example.org/"} <= set(session.refused)
    assert any("outside of this episode" in event for event in session.events)


def test_forms_redirects_and_cookies_work_as_with_a_server(browser):
    form = "<form method=post action=/login><input name=name value='Ada Ω'></form>"
    values, _, site, title, url = visit(
        browser,
        form,
        "fetch('/moved', {method: 'POST', body: 'x'}).then(r => r.json())",
        "document.forms[0].submit()",
    )
    assert values[0] == {"method": "GET"}
    assert (title, url) == ("Hello Ada Ω", f"{HOME}/hello")
    assert [request.path for request in site.asked] == ["/", "/moved", "/data", "/login", "/hello"]
    assert site.asked[-1].cookies == {"user": "Ada Ω"}


def test_pages_are_denied_what_a_person_would_be_asked_for(browser):
    values, session, _, _, _ = visit(
        browser,
        "<a id=file href='data:text/plain,x' download='secret.txt'>file</a>",
        "navigator.mediaDevices.getUserMedia({video: true}).then(() => 'camera', error => error.name)",
        "new Promise(done => navigator.geolocation.getCurrentPosition(() => done('place'), e => done(e.code)))",
        "Notification.requestPermission()",
        "confirm('Really?')",
        "prompt('Name?', 'Ada')",
        "print(), 'printed'",
        "document.getElementById('file').click()",
        spec=BrowserSpec(tolerates=("camera", "printed")),
    )
    assert values[0] == "NotAllowedError"
    assert values[1:6] == [1, "denied", True, "Ada", "printed"]
    assert {"Refused to print.", "Refused to record sound or pictures."} <= set(session.events)
    assert any('(confirm): "Really?"' in event for event in session.events)
    assert any("download" in event and "secret.txt" in event for event in session.events)
    assert not Path("secret.txt").exists()


def test_popups_become_tabs_and_may_be_closed(browser):
    async def there():
        session = await browser.session(BrowserSpec())
        session.serve({HOME: Site("<a href=/hello target=_blank>more</a>")})
        await session.open(f"{HOME}/")
        await session.guard(session.page.click("a"))
        await session.settle()
        opened = [tab.page.url for tab in session.tabs], session.page.url
        await session.guard(session.page.close())
        await session.settle()
        left = session.page.url
        await session.close()
        return opened, left

    opened, left = browser.call(there())
    assert opened == ([f"{HOME}/", f"{HOME}/hello"], f"{HOME}/hello")
    assert left == f"{HOME}/"


def test_the_pages_clock_stands_still_and_their_chance_is_seeded(browser):
    """Nothing that depends on time or chance would come out the same when it is executed again."""
    late = "<script>setTimeout(() => document.title = 'late', 5000)</script>"
    seen = "[Date.now(), performance.now(), Math.random(), new Date().getTimezoneOffset(), document.title]"
    runs = [visit(browser, late, seen, seen, spec=BrowserSpec(seed=seed))[0] for seed in (3, 3, 4)]
    assert runs[0] == runs[1]
    assert runs[0][0][2] != runs[2][0][2]
    assert runs[0][1][0] - runs[0][0][0] == BrowserSpec().tick
    assert runs[0][1][4] == "Home"
    spec = BrowserSpec(tick=6000)
    assert visit(browser, late, seen, spec=spec)[3] == "late"


def test_a_page_settles_after_a_chain_of_timers_and_requests(browser):
    """What an agent sees would depend on how fast the machine is."""
    chain = """<script>
      function go() { setTimeout(() => fetch('/data').then(r => r.json()).then(() =>
        setTimeout(() => fetch('/data').then(() => document.title = 'done'), 300)), 300) }
    </script>"""
    assert visit(browser, chain, "go()")[3] == "done"


def test_a_bug_in_a_handler_is_the_environments(browser):
    with pytest.raises(EnvironmentFailure, match="a bug in the site"):
        visit(browser, "", "fetch('/bug').catch(() => 0)", "1")


def test_what_is_not_served_cannot_be_opened(browser):
    async def there():
        session = await browser.session(BrowserSpec())
        try:
            await session.open("https://elsewhere.test/")
        finally:
            await session.close()

    with pytest.raises(UsageError, match="outside of this episode"):
        browser.call(there())
    with pytest.raises(UsageError, match="no origin"):
        BrowserSpec(network=("https://a.test/path",))
    with pytest.raises(UsageError, match="positive"):
        BrowserSpec(tabs=0)


def test_nothing_is_handed_on_but_the_page_where_the_task_allows_it(browser):
    """An episode would find the cookies, the storage, the tabs or the history of the one before."""
    leave = """(() => { localStorage.a = 1; sessionStorage.b = 2; document.cookie = 'c=3'; window.name = 'd';
        history.pushState({}, '', '/e'); window.open('/hello') })()"""
    look = "[localStorage.length, sessionStorage.length, document.cookie, window.name, history.length]"

    async def episode(reuse):
        session = await browser.session(BrowserSpec(), reuse)
        session.serve({HOME: Site()})
        if session.fresh:
            await session.open(f"{HOME}/")
        found = await session.guard(session.page.evaluate(look)), len(session.tabs), session.fresh
        await session.guard(session.page.evaluate(leave))
        await session.settle()
        await session.close(reusable=True)
        return found

    first = browser.call(episode("a"))
    assert browser.call(episode("b"))[2]
    again = browser.call(episode("a"))
    assert (first[2], again[2]) == (True, False)
    assert again[0][:4] == [0, 0, "", ""]
    assert again[0][4] == 1
    assert again[1] == 1


LOOP = "setTimeout(() => { for (;;); }, 0)"
WINDOWS = "for (let n = 0; n < 100; n++) window.open('/?' + n)"
BUFFERS = (
    "(() => { const all = []; setInterval(() => { const b = new Uint8Array(3e7); b.fill(1); all.push(b) }, 1) })()"
)
HEAP = "(() => { const all = []; for (;;) all.push(new Array(1e6).fill(Math.random())) })()"


@pytest.mark.parametrize(
    ("script", "reasons"),
    [
        (LOOP, {"hung"}),
        (WINDOWS, {"tabs"}),
        (BUFFERS, {"memory"}),
        (HEAP, {"memory", "crashed"}),
        (None, {"crashed"}),
        ("print()", {"printed"}),
        ("navigator.mediaDevices.getUserMedia({audio: true}).catch(() => 0)", {"camera"}),
    ],
    ids=["loops", "opens windows", "fills memory", "fills the heap", "crashes", "prints", "asks for the microphone"],
)
def test_a_page_that_misbehaves_ends_its_own_session_alone(browser, script, reasons):
    """One bad page would cost all the episodes that run beside it."""

    async def bad():
        patience = 6 if reasons == {"hung"} else 60  # on a busy machine what takes long is no loop
        session = await browser.session(BrowserSpec(timeout=patience, tick=2000))
        session.serve({HOME: Site()})
        await session.open(f"{HOME}/")
        try:
            for _ in range(8):
                await session.guard(session.page.evaluate(script) if script else session.tab.send("Page.crash"))
                await session.settle()
                script_left = "1"
                await session.guard(session.page.evaluate(script_left))
        except PageBroken as broken:
            return broken.reason
        finally:
            await session.close()
        return None

    async def good(over):
        session = await browser.session(BrowserSpec())
        site = Site("<form method=post action=/login><input name=name value=Ada></form>")
        session.serve({HOME: site})
        titles = set()
        while not titles or not over.done():
            await session.open(f"{HOME}/")
            await session.guard(session.page.evaluate("document.forms[0].submit()"))
            await session.settle()
            titles.add(await session.guard(session.page.title()))
        await session.close()
        return titles

    async def together():
        over = asyncio.ensure_future(bad())
        beside = await asyncio.gather(good(over), good(over))
        return await over, beside

    reason, beside = browser.call(together())
    assert reason in reasons
    assert beside == [{"Hello Ada"}, {"Hello Ada"}]


def test_a_session_has_an_end_whatever_happens(browser):
    """Sessions that outlive their episode fill the machine."""

    async def there():
        session = await browser.session(BrowserSpec(time_to_live=0.3))
        with pytest.raises(PageBroken, match="longer than it may be"):
            await session.guard(asyncio.sleep(5))
        return session.broken, (await browser.stats()).sessions

    assert browser.call(there()) == ("time_to_live", 0)


@pytest.fixture
def short_folder():
    """A temporary folder with a short name: the browser's sockets lie in it, whose paths must not be long."""
    with tempfile.TemporaryDirectory(prefix="b-") as name:
        yield Path(name)


def test_nothing_is_left_of_sessions_and_of_the_browser(require, monkeypatch, short_folder):
    """Contexts, processes or folders would pile up over a thousand episodes."""
    require("chromium")
    monkeypatch.setenv("TMPDIR", str(short_folder))
    own = Browser()

    async def round():
        sessions = [await own.session(BrowserSpec()) for _ in range(3)]
        for session in sessions:
            session.serve({HOME: Site()})
            await session.open(f"{HOME}/")
            await session.close()
        await asyncio.sleep(1)
        return await own.stats()

    first, *_, last = [own.call(round()) for _ in range(3)]
    assert (last.sessions, last.kept, last.contexts) == (0, 0, 0)
    assert last.processes <= first.processes
    told = own.call(own._memory.sizes())
    assert list(short_folder.iterdir())
    own.close()
    own.close()
    for _ in range(100):  # processes that were told to end take their time on a busy machine
        left = [process for process in told if Path(f"/proc/{process}").exists()]
        if not left and not list(short_folder.iterdir()):
            break
        time.sleep(0.1)
    assert left == []
    assert list(short_folder.iterdir()) == []
    assert not any(thread.name == "arena-browser" and thread is own._thread for thread in threading.enumerate())


def test_a_browser_that_dies_costs_what_was_open_and_is_started_again(require):
    """A run would end with the first crash of Chromium."""
    require("chromium")
    own = Browser()

    async def killed():
        session = await own.session(BrowserSpec())
        session.serve({HOME: Site()})
        await session.open(f"{HOME}/")
        told = await own._memory._line.send("SystemInfo.getProcessInfo")
        [main] = [process["id"] for process in told["processInfo"] if process["type"] == "browser"]
        os.kill(main, signal.SIGKILL)
        with pytest.raises(SandboxUnavailable, match="ended unexpectedly"):
            await session.guard(asyncio.sleep(5))
        await session.close()

    async def again():
        session = await own.session(BrowserSpec())
        session.serve({HOME: Site()})
        await session.open(f"{HOME}/")
        title = await session.page.title()
        await session.close()
        return title

    own.call(killed())
    assert own.call(again()) == "Home"
    own.close()


def test_it_serves_threads_and_loops_at_once(browser):
    """Playwright's objects would be used on a loop that is not theirs."""
    titles = "document.title"

    async def notebook():
        async def one():
            session = await browser.session(BrowserSpec())
            session.serve({HOME: Site()})
            await session.open(f"{HOME}/")
            title = await session.tab.evaluate(titles)
            await session.close()
            return title

        return await asyncio.gather(browser.run(one()), browser.run(one()))

    with ThreadPoolExecutor(3) as threads:
        in_threads = [threads.submit(visit, browser, "", titles) for _ in range(2)]
        in_loop = threads.submit(asyncio.run, notebook())
        assert [future.result()[0] for future in in_threads] == [["Home"]] * 2
        assert in_loop.result() == ["Home", "Home"]


def test_the_browser_is_found_or_told_how_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("ARENA_CHROMIUM", str(tmp_path / "none"))
    with pytest.raises(MissingPrerequisite, match="ARENA_CHROMIUM"):
        find_chromium()
    monkeypatch.delenv("ARENA_CHROMIUM")
    monkeypatch.setattr(module, "_NAMES", ())
    monkeypatch.setattr(module, "_PLACES", ())
    own = tmp_path / "chrome"
    own.touch()
    assert find_chromium(str(own)) == own
    with pytest.raises(MissingPrerequisite, match="apt-get install chromium"):
        find_chromium(str(tmp_path / "none"))
