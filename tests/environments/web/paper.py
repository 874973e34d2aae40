"""A browser without a screen: enough of HTML to follow links and send forms, a thousand times as fast as a real one."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin

from arena.environments.web._acting import vocabulary
from arena.environments.web._env import DEFAULT_ACTIONS
from arena.environments.web.workplace._evaluators import Ending
from arena.environments.web.workplace._site import ORIGINS
from arena.environments.web.workplace._world import Goal, World
from arena.sandboxes.browser import Request, origin_of

ACTIONS = vocabulary(*DEFAULT_ACTIONS)
ROLES = {"a": "link", "button": "button", "input": "textbox", "textarea": "textbox", "select": "combobox"}


@dataclass
class Thing:
    """A link, button or field; roles and names as the browser's accessibility tree has them."""

    ref: str
    tag: str
    attributes: dict[str, str]
    form: dict[str, str] | None
    name: str = ""
    value: str = ""
    ticked: bool = False
    options: list[tuple[str, str]] = field(default_factory=list)

    @property
    def role(self) -> str:
        kind = self.attributes.get("type", "")
        return {"checkbox": "checkbox", "search": "searchbox", "date": "Date", "hidden": "hidden"}.get(
            kind, ROLES[self.tag]
        )


class Reader(HTMLParser):
    """Reads a page into its things and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.things: list[Thing] = []
        self.text: list[str] = []
        self.labels: dict[str, str] = {}
        self._form: dict[str, str] | None = None
        self._open: list[str] = []
        self._label = ""
        self.feed(html)
        for thing in self.things:
            label = self.labels.get(thing.attributes.get("id", ""), "")
            thing.name = " ".join((thing.attributes.get("aria-label") or label or thing.name).split())

    def handle_starttag(self, tag, attrs):
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = attributes
        elif tag == "label":
            self._label = attributes["for"]
        elif tag == "option":
            self.things[-1].options.append((attributes.get("value", ""), ""))
            if "selected" in attributes or len(self.things[-1].options) == 1:
                self.things[-1].value = attributes.get("value", "")
        elif tag in ROLES:
            thing = Thing(str(len(self.things) + 1), tag, attributes, self._form, value=attributes.get("value", ""))
            thing.ticked = "checked" in attributes
            self.things.append(thing)
        if tag in ("a", "button", "textarea", "option", "style", "title", "label"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        if tag == "form":
            self._form = None
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data):
        inside = self._open[-1] if self._open else ""
        if inside in ("a", "button"):
            self.things[-1].name += data
        elif inside == "textarea":
            self.things[-1].value += data
        elif inside == "option":
            value, _ = self.things[-1].options[-1]
            self.things[-1].options[-1] = (value, data)
        elif inside == "label":
            self.labels[self._label] = self.labels.get(self._label, "") + data
        if inside not in ("style", "title", "textarea", "option"):
            self.text.append(data)


class Paper:
    """Visits the applications of a world and acts on them by the strings an agent writes."""

    def __init__(self, world: World, goal: Goal) -> None:
        self.world, self.goal = world, goal
        self.answer: str | None = None
        self.infeasible: str | None = None
        self.open(f"{ORIGINS[goal.start]}/")

    def open(self, url: str, method: str = "GET", body: str = "") -> None:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        response = self.world.handlers[origin_of(url)](Request(method, url, headers, body.encode()))
        if response.status == 303:
            return self.open(urljoin(url, response.headers["location"]))
        assert response.status in (200, 404), (url, response.status)
        self.url, self.status = url, response.status
        self.html = response.body if isinstance(response.body, str) else response.body.decode()
        self.reader = Reader(self.html)
        return None

    @property
    def text(self) -> str:
        return "".join(self.reader.text)

    def act(self, action: str) -> None:
        for call in ACTIONS.read(action):
            arguments = dict(call.arguments)
            if call.name == "send_msg_to_user":
                self.answer = arguments["text"]
            elif call.name == "report_infeasible":
                self.infeasible = arguments["reason"]
            elif call.name == "goto":
                self.open(urljoin(self.url, arguments["url"]))
            else:
                self._on(call.name, self.reader.things[int(arguments["bid"]) - 1], arguments)

    def _on(self, verb, thing, arguments):
        if verb == "fill":
            thing.value = arguments["value"]
        elif verb == "select_option":
            thing.value = next(value for value, shown in thing.options if shown == arguments["options"])
        elif verb == "check":
            thing.ticked = True
        elif thing.tag == "a":
            self.open(urljoin(self.url, thing.attributes["href"]))
        else:
            self._send(thing)

    def _send(self, button):
        form = button.form
        fields = [one for one in self.reader.things if one.form is form and "name" in one.attributes]
        pairs = [
            (one.attributes["name"], one.value or "on" if one.role == "checkbox" else one.value)
            for one in fields
            if one is button or (one.role != "button" and (one.role != "checkbox" or one.ticked))
        ]
        target = urljoin(self.url, form.get("action") or self.url)
        if form.get("method") == "post":
            return self.open(target, "POST", urlencode(pairs))
        return self.open(f"{target.partition('?')[0]}?{urlencode(pairs)}")

    def ending(self) -> Ending:
        return Ending(self.answer, self.infeasible, self.url, self.text, self.world.database.changes())

    def score(self) -> float:
        return self.goal.score(self.ending())
