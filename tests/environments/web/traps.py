"""Sites that do on purpose what a browser environment must survive, and one that counts clicks."""

from __future__ import annotations

import asyncio
from typing import Any

from arena.core.registry import register
from arena.environments.web._acting import SUBSETS, vocabulary
from arena.environments.web._env import ORIGIN, Verdict, WebEnv
from arena.environments.web._observe import Sight
from arena.sandboxes.browser import BrowserSpec, Request, Response

SCRIPTS = {
    "loops": "for (;;);",
    "opens windows": "for (let n = 0; n < 100; n++) window.open('/?' + n)",
    "fills memory": "const all = []; setInterval(() => { const b = new Uint8Array(4e7); b.fill(1); all.push(b) }, 1)",
    "prints": "print()",
    "asks for the camera": "navigator.mediaDevices.getUserMedia({video: true}).then(show, show)",
    "asks": "show(confirm('Sure?'))",
    "crashes": "fetch('/crash').then(show, show)",
    "prints in a frame": "document.body.appendChild(document.createElement('iframe')).contentWindow.print()",
}


class Trap(WebEnv):
    """A button that springs a trap (a key of `SCRIPTS`), and one that ends the task well."""

    def __init__(self, trap: str = "prints") -> None:
        # Patient but with the loop: on a busy machine a page takes its time to fill the memory.
        super().__init__(spec=BrowserSpec(timeout=6 if trap == "loops" else 60, tick=200, tabs=4))
        self.trap = trap

    async def begin(self, task: str | None) -> dict[str, Any]:
        self.done = False
        self.session.serve({ORIGIN: self.answer})
        await self.session.open(ORIGIN)
        self.instructions = self.told("Press the buttons.")
        return {}

    def answer(self, request: Request) -> Response:
        if request.method == "POST":
            self.done = True
            return Response.redirect("/")
        script = (
            f"function spring() {{ {SCRIPTS.get(self.trap, '')} }}; function show(x) {{ document.title = String(x) }}"
        )
        if request.path == "/crash":
            crashing = asyncio.ensure_future(self.session.tab.send("Page.crash"))
            crashing.add_done_callback(lambda done: done.cancelled() or done.exception())
        return Response(
            f"<script>{script}</script><button onclick='spring()'>Spring</button>"
            "<form method=post action='/'><button>End</button></form>"
        )

    async def judge(self) -> Verdict:
        return Verdict.of(self.done)


PAGE = """<!doctype html><title>Parts</title><h1>Parts</h1>
<p>One <b>two</b> <a href="/two">three</a>.</p>
<form method=post action="/sent"><label>Name <input name=name maxlength=8></label>
<label><input type=checkbox name=yes> Agree</label> <input type=date aria-label=Day>
<select aria-label=Size name=size><option>small<option>large<option disabled>huge</select>
<button>Send</button> <button disabled>Never</button></form>
<div onclick="document.title = 'hit'">A reacting box</div>
<div style="position:relative"><button>Under</button><div style="position:absolute;inset:0" id=lid>lid</div></div>
<table><tr><th>Colour<td>red<tr><th>Weight<td>2 kg</table>
<div style="height:40px;overflow:auto"><p>first<p>second<p>third<p>fourth<p>fifth</div>
<iframe srcdoc="<button onclick=&quot;this.textContent='pressed'&quot;>In a frame</button>"></iframe>
<input type=file aria-label=Upload>
<div style="height:1500px"></div><a href="/end">The end</a>"""


class Parts(WebEnv):
    """A page with one of everything; done when the form was sent with large and agreement."""

    def __init__(self, **sight: Any) -> None:
        super().__init__(sight=Sight(**sight), actions=vocabulary(*SUBSETS))

    async def begin(self, task: str | None) -> dict[str, Any]:
        self.sent: dict[str, str] = {}
        self.session.serve({ORIGIN: self.answer})
        await self.session.open(f"{ORIGIN}/")
        self.instructions = self.told("Send the form.")
        return {}

    def answer(self, request: Request) -> Response:
        if request.path == "/sent":
            self.sent = dict(request.form)
            return Response.redirect("/two")
        if request.path == "/long":
            return Response("<title>Long</title>" + "".join(f"<p>Paragraph {n} of a long text." for n in range(300)))
        if request.path != "/":
            return Response(f"<title>{request.path}</title><h1>{request.path}</h1>")
        return Response(PAGE)

    async def judge(self) -> Verdict:
        return Verdict.of(self.sent.get("size") == "large" and "yes" in self.sent)


register("trap/Trap-v0", "traps:Trap", execution="async", extra="web")
register("trap/Parts-v0", "traps:Parts", execution="async", extra="web")


class Borrowed:
    """A task as BrowserGym's are written: for the synchronous API of Playwright."""

    viewport = {"width": 800, "height": 600}

    def __init__(self, seed: int, word: str = "large") -> None:
        self.word = word
        self.seed = seed

    def setup(self, page: Any) -> tuple[str, dict[str, Any]]:
        page.goto(f"{ORIGIN}/")
        return f"Choose {page.locator('option').nth(1).inner_text()} and say done.", {}

    def validate(self, page: Any, chat: list[dict[str, Any]]) -> tuple[float, bool, str, dict[str, Any]]:
        chosen = page.locator("select").input_value() == self.word
        done = bool(chat) and chat[-1]["message"] == "done"
        return float(chosen and done), done, "" if done else "Say done when you are.", {}


class Later(Borrowed):
    """The same for the asynchronous API."""

    async def setup(self, page: Any) -> tuple[str, dict[str, Any]]:  # type: ignore[override]
        await page.goto(f"{ORIGIN}/")
        return "Choose large and say done.", {}

    async def validate(self, page: Any, chat: list[dict[str, Any]]) -> Any:  # type: ignore[override]
        chosen = await page.locator("select").input_value() == self.word
        done = bool(chat) and chat[-1]["message"] == "done"
        return float(chosen and done), done, "", {}


def parts_site(request: Request) -> Response:
    return Response(PAGE)


register("trap/Borrowed-v0", "arena.environments.adapters.browsergym:BrowserGymTask", execution="async", extra="web")
