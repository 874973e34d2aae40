"""What the three applications share: pages from templates, lists in portions, and the links between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import urlencode

import jinja2

from arena.environments.web._serving import Pages, Request, Response
from arena.environments.web.workplace._database import ME, Database

__all__ = ["ORIGINS", "Portion", "Site", "field", "portion"]

ORIGINS = {"Forum": "https://forum.test", "Mail": "https://mail.test", "Tracker": "https://tracker.test"}
"""Where each application is."""

_LONGEST = 4000
"""Characters of a field; the rest is dropped."""


@dataclass(frozen=True)
class Portion:
    """The rows of one page of a list.

    Attributes:
        number, last: which page, of how many; from 1.
        all: how many rows there are on all pages.
        previous, next: the addresses of the pages beside it; None at the ends.
    """

    rows: Sequence[Mapping[str, Any]]
    number: int
    last: int
    all: int
    previous: str | None
    next: str | None


def portion(request: Request, rows: Sequence[Mapping[str, Any]], size: int = 10) -> Portion:
    """The page of a list that the address asks for (`?page=2`)."""
    last = max(1, -(-len(rows) // size))
    asked = request.query.get("page", "1")
    number = min(max(int(asked), 1), last) if asked.isascii() and asked.isdigit() and len(asked) < 6 else 1
    others = {name: value for name, value in request.query.items() if name != "page" and value}

    def address(page: int) -> str | None:
        if not 1 <= page <= last:
            return None
        return f"{request.path}?{urlencode({**others, 'page': page})}"

    start = (number - 1) * size
    return Portion(rows[start : start + size], number, last, len(rows), address(number - 1), address(number + 1))


def field(request: Request, name: str) -> str:
    """A field of a posted form: its lines without spaces at their ends."""
    lines = request.form.get(name, "")[:_LONGEST].replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip()


class Site:
    """One application on its own origin.

    Args:
        database: what it shows and changes.

    Attributes:
        name: a key of `ORIGINS`.
        pages: answers requests.
    """

    name: ClassVar[str]

    def __init__(self, database: Database) -> None:
        self.database = database
        self.pages = Pages()
        self._notice = ""

    def page(self, template: str, title: str, **values: Any) -> Response:
        """A page from a template of this application, such as `thread`."""
        return Response(self._rendered(f"{self.name.lower()}_{template}", title, **values))

    def beside(self) -> dict[str, Any]:
        """What every page of this application shows beside its own matter."""
        return {}

    def moved(self, path: str, notice: str) -> Response:
        """Go on to a page after a form was sent; it begins with the notice."""
        self._notice = notice
        return Response.redirect(path)

    def missing(self, what: str) -> Response:
        """A page that says that there is nothing here."""
        return Response(self._rendered("missing", "Not found", what=what), status=404)

    def _rendered(self, template: str, title: str, **values: Any) -> str:
        notice, self._notice = self._notice, ""
        common = {"title": title, "app": self.name, "origins": ORIGINS, "me": self.database.row("people", ME)}
        found = _templates().get_template(f"{template}.html.j2")
        return found.render(**common, **self.beside(), notice=notice, **values)


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("arena.environments.web.workplace", "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
