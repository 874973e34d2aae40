"""How a page of the shop looks: WebShop's observation modes, and the HTML that the browser is served."""

from __future__ import annotations

from html import escape
from typing import Literal

from arena.environments.web.shop._visit import SEARCH, Element, Visit

Mode = Literal["text", "text_rich", "html", "url"]
MODES: tuple[Mode, ...] = ("text", "text_rich", "html", "url")

_STYLE = (
    "body{font:16px/1.4 sans-serif;margin:1.5rem;max-width:52rem}button{margin:.15rem;padding:.25rem .6rem}"
    "button[aria-pressed=true]{background:#234;color:#fff}form{display:inline}p{margin:.3rem 0}"
)


def view(visit: Visit, mode: Mode) -> str:
    """The open page in one of the modes."""
    if mode == "url":
        return address(visit)
    if mode == "html":
        return html(visit)
    elements = visit.elements()
    if mode == "text":
        return " [SEP] ".join(element.text for element in elements)
    return "\n".join(_rich(element) for element in elements)


def address(visit: Visit) -> str:
    """The path of the open page; it names what is shown."""
    state = visit.state
    keywords = "+".join((state.keywords or "").split())
    parts = {
        "search": [],
        "results": [keywords, str(state.page)],
        "bought": [],
        "item": [state.product.asin if state.product else "", keywords, str(state.page)],
        "more": [state.product.asin if state.product else "", keywords, str(state.page), state.more],
    }
    return "/".join(["", {"search": "", "bought": "done"}.get(state.shown, state.shown), *parts[state.shown]])


def html(visit: Visit) -> str:
    """The open page; every button sends its action as a form."""
    lines = [_line(element) for element in visit.elements()]
    if visit.can_search:
        lines[-1] = (
            '<form action="/search" method="post"><input name="keywords" aria-label="Search for" autocomplete="off">'
            f"<button>{SEARCH}</button></form>"
        )
    body = "\n".join(lines)
    return (
        f"<!doctype html><html lang='en'><title>Arena Shop</title><style>{_STYLE}</style><body>\n{body}\n</body></html>"
    )


def _line(element: Element) -> str:
    if not element.click:
        return f"<p>{escape(element.text)}</p>"
    pressed = f' aria-pressed="{str(element.chosen).lower()}"' if element.group else ""
    return (
        f'<form action="/click" method="post"><button name="what" value="{escape(element.click)}"{pressed}>'
        f"{escape(element.text)}</button></form>"
    )


def _rich(element: Element) -> str:
    if not element.click and element.text != SEARCH:
        return element.text
    word = "clicked button" if element.chosen else "button"
    return f"[{word}] {element.text} [{word}_]"
