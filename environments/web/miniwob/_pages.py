"""The pages of the `miniwob` package, from where it is installed; its Python code, made for Selenium, is not used."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from arena.core.errors import MissingPrerequisite
from arena.environments.web._serving import Handler, folder
from arena.sandboxes.browser import Request, Response

__all__ = ["address", "names", "root", "site"]

_UNSEEN = b"""
#reward-display, #click-canvas, #sync-task-cover { display: none !important }
"""
"""No score, no clock, no start button, as in BrowserGym. The goal stays: on some pages it shows a colour or an icon
that no words tell."""


@cache
def root() -> Path:
    """The folder of the pages and what they load.

    Raises:
        MissingPrerequisite: the package is not installed.
    """
    found = importlib.util.find_spec("miniwob")
    places = found.submodule_search_locations if found is not None else None
    if not places:
        raise MissingPrerequisite("The pages of MiniWoB++ were not found.", "pip install 'arena-gym[web]'")
    return Path(next(iter(places))) / "html"


@cache
def names() -> tuple[str, ...]:
    """All pages, in alphabetical order."""
    return tuple(sorted(page.stem for page in (root() / "miniwob").glob("*.html")))


def address(name: str) -> str:
    """Where a page is on the site."""
    return f"/miniwob/{name}.html"


def site() -> Handler:
    """Serves the pages, without what is shown to people only."""
    files = folder(root())

    def answer(request: Request) -> Response:
        response = files(request)
        assert isinstance(response, Response)
        if request.path == "/core/core.css":
            assert isinstance(response.body, bytes)
            return Response(response.body + _UNSEEN, response.status, response.content_type, response.headers)
        return response

    return answer
