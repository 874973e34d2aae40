"""Actions that can be done to a page as it is: what a random agent draws from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from arena.environments.web._actions import Call, Vocabulary

if TYPE_CHECKING:
    from arena.environments.web._acting import Hands
    from arena.environments.web._observe import Eyes
    from arena.environments.web._telling import Element
    from arena.sandboxes.browser import BrowserSession

__all__ = ["legal_calls"]

_FIELDS = {"textbox", "searchbox", "textarea"}
_MOST_ELEMENTS = 60
_MOST_WORDS = 4


async def legal_calls(session: BrowserSession, eyes: Eyes, hands: Hands, actions: Vocabulary) -> list[str]:
    """Calls on the elements that were last seen, each of which can be done; at least one."""
    view, known = eyes.view, set(actions.names)
    words = list(dict.fromkeys(re.findall(r"[^\W\d_]{3,}", view.text)))[:_MOST_WORDS]
    calls: list[Call] = []
    for element in [e for e in view.elements.values() if e.box is not None][:_MOST_ELEMENTS]:
        if "disabled" in element.states or not await hands.reachable(element.ref):
            continue
        calls += _on(element, words)
    if "(Not shown" in view.text:
        step = int(0.8 * session.spec.viewport[1])
        calls += [Call("scroll", {"delta_x": 0, "delta_y": down}, 2) for down in (step, -step)]
    calls += [Call("go_back", {}), Call("noop", {})] if await _can_go_back(session) else [Call("noop", {})]
    legal = [str(call) for call in calls if call.name in known]
    return legal or [str(Call(actions.names[0], {}))]


def _on(element: Element, words: list[str]) -> list[Call]:
    """What can be done to one element."""
    ref = element.ref
    if element.options:
        return [Call("select_option", {"bid": ref, "options": option}, 2) for option in element.options if option]
    if element.role in _FIELDS and "read-only" not in element.states:
        typed = [Call("fill", {"bid": ref, "value": word}, 2) for word in words]
        return [*typed, Call("press", {"bid": ref, "key_comb": "Enter"}, 2)]
    return [Call("click", {"bid": ref}, 1)]


async def _can_go_back(session: BrowserSession) -> bool:
    history = await session.guard(session.tab.send("Page.getNavigationHistory"))
    return bool(history["currentIndex"] > 0)
