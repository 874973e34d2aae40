"""Any page in a real browser, with a goal and a check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

from arena.core.errors import UnknownName, UsageError
from arena.core.registry import load
from arena.environments.web._acting import SUBSETS, vocabulary
from arena.environments.web._checks import Check, tidy
from arena.environments.web._directory import Directory, Errand, draw_errand
from arena.environments.web._env import DEFAULT_ACTIONS, ORIGIN, Verdict, WebEnv
from arena.environments.web._observe import Sight
from arena.environments.web._serving import Handler, folder
from arena.sandboxes.browser import BrowserSpec, origin_of

__all__ = ["Browser"]

PEOPLE = 16
"""Entries of the built-in directory."""


class Browser(WebEnv):
    """Act on pages in a real Chromium; reward 1 when the check holds.

    Without a site or a start, it is the staff directory of a small company, drawn from the seed: find a phone
    number, or enter a new room.

    Args:
        site: a folder of files, or `module:function` that answers requests (`Request -> Response`); it is served
            at `https://site.test`, without a socket.
        start: where an episode begins: a path of the site, or a URL of the real network, whose origin may then be
            reached.
        goal: what is to be done, in words.
        check: when it is done: conditions (`answer`, `url`, `title`, `text`, `script`, `infeasible`; all must hold),
            or `module:function`; see `arena.environments.web._checks.Check`.
        allow: more origins of the real network that may be reached; everything else is refused.
        actions: subsets of BrowserGym's functions (`bid`, `coord`, `nav`, `tab`, `chat`, `infeas`) or their names.
        viewport: width and height of the window.
        screenshot, marks, html, visible, text: how pages are shown; see `Sight`.

    Raises:
        UsageError: parameters that do not fit together.
    """

    oracle_from: Literal["anywhere", "start"] = "anywhere"

    def __init__(
        self,
        *,
        site: str | None = None,
        start: str = "/",
        goal: str | None = None,
        check: Mapping[str, Any] | str | None = None,
        allow: Sequence[str] = (),
        actions: Sequence[str] = DEFAULT_ACTIONS,
        viewport: Sequence[int] = (1280, 720),
        screenshot: bool = False,
        marks: bool = False,
        html: bool = False,
        visible: bool = True,
        text: int = 8000,
    ) -> None:
        real = bool(urlsplit(start).scheme)
        self._built_in = site is None and not real
        if self._built_in and (goal is not None or check is not None):
            raise UsageError("A goal or a check needs pages: name a site (a folder, module:function) or a start URL.")
        if not self._built_in and goal is None:
            raise UsageError(
                "Say what is to be done on these pages: goal='…' (and check={…}, which decides when it is)."
            )
        known = set(SUBSETS) | {name for names in SUBSETS.values() for name in names}
        if unknown := [name for name in actions if name not in known]:
            raise UnknownName("action or subset of actions", unknown[0], known)
        network = tuple(dict.fromkeys([*([origin_of(start)] if real else []), *allow]))
        super().__init__(
            spec=BrowserSpec(viewport=(int(viewport[0]), int(viewport[1])), network=network, clock=_clock(network)),
            sight=Sight(text, visible, screenshot or marks, marks, html),
            actions=vocabulary(*actions),
        )
        self._start, self._goal, self._check = start, goal, Check(check)
        self._site: Handler | None = None if site is None else _handler(site)
        self._errand: Errand | None = None
        self._directory: Directory | None = None

    async def begin(self, task: str | None) -> dict[str, Any]:
        """Serve the site and open its first page."""
        if task is not None:
            raise UnknownName("task", task, ())
        info: dict[str, Any] = {}
        handler, goal = self._site, self._goal
        if self._built_in:
            self._errand = self.draw(lambda generator: draw_errand(generator, PEOPLE), lambda errand: errand.digest)
            self._directory = Directory(self._errand)
            handler, goal = self._directory.answer, self._errand.goal
            info["instance"] = self._errand.digest
        self.session.serve({} if handler is None else {ORIGIN: handler})
        self.instructions = self.told(str(goal))
        await self.session.open(urljoin(ORIGIN, self._start))
        return info

    async def judge(self) -> Verdict:
        """Whether the check holds."""
        if self._errand is None or self._directory is None:
            return await self._check.judge(self.session, self.hands)
        errand, hands = self._errand, self.hands
        if errand.kind == "phone":
            right = bool(hands.messages) and tidy(hands.messages[0]) == errand.people[errand.number].phone
            return Verdict(float(right), bool(hands.messages) or hands.infeasible is not None)
        right = self._directory.rooms == {errand.number: errand.room}
        return Verdict(float(right), right or hands.infeasible is not None)

    def oracle_action(self) -> str:
        """The next step of the built-in errand; a page of the user's own has no oracle.

        Raises:
            UsageError: the pages are not the built-in ones.
        """
        errand = self._errand
        if errand is None:
            raise UsageError("The oracle knows the built-in directory only, not pages of your own.")
        place = f"{ORIGIN}/person/{errand.number}"
        if self.session.page.url != place:
            return f'goto("{place}")'
        if errand.kind == "phone":
            return f'send_msg_to_user("{errand.people[errand.number].phone}")'
        found = {(element.role, element.name): element for element in self.eyes.view.elements.values()}
        field = found["textbox", "New room"]
        if field.value != errand.room:
            return f'fill("{field.ref}", "{errand.room}")'
        return f'click("{found["button", "Save"].ref}")'


def _handler(site: str) -> Handler:
    if Path(site).is_dir():
        return folder(Path(site))
    if ":" not in site:
        raise UsageError(f"{site!r} is neither a folder nor module:function.")
    handler: Handler = load(site)
    return handler


def _clock(network: Sequence[str]) -> float | None:
    """A stopped clock for sites of our own; real ones need the real time."""
    return None if network else BrowserSpec.clock
