"""Sites that are answered by Python, on the episode's own origin and without a socket.

    session.serve({ORIGIN: folder(Path("my_site"))})             # files
    session.serve({"https://mail.test": mail.answer, "https://forum.test": forum.answer})

A handler is a function `Request -> Response`; `Pages` is one that chooses by method and path:

    pages = Pages()

    @pages.get("/items/{number}")
    def item(request, number):
        return Response(f"<h1>Item {number}</h1>")
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from arena.core.errors import UsageError
from arena.sandboxes.browser import Handler, Request, Response

__all__ = ["Handler", "Pages", "Request", "Response", "folder"]

Answer = Callable[..., Response]
A = TypeVar("A", bound=Answer)

_PLACE = re.compile(r"\{(\w+)\}")
_TEXTS = ("text/", "application/javascript", "application/json", "image/svg")


def folder(root: Path) -> Handler:
    """Serve the files under a folder; `/` and other folders are their `index.html`.

    Raises:
        UsageError: there is no such folder.
    """
    if not root.is_dir():
        raise UsageError(f"There is no folder {root} to serve.")
    inside = root.resolve()

    def answer(request: Request) -> Response:
        path = (inside / unquote(request.path).lstrip("/")).resolve()
        if path.is_dir():
            path /= "index.html"
        if not path.is_relative_to(inside) or not path.is_file():
            return Response.not_found(request.path)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        if kind.startswith(_TEXTS):
            kind += "; charset=utf-8"
        return Response(path.read_bytes(), content_type=kind, headers={"cache-control": "max-age=3600"})

    return answer


class Pages:
    """A handler made of functions, one for each method and form of path.

    A function gets the request, and the parts of the path in braces by name; what it does not answer is 404.
    """

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Answer]] = []

    def get(self, path: str) -> Callable[[A], A]:
        """The decorated function answers GET requests for a path such as `/items/{number}`."""
        return self._route("GET", path)

    def post(self, path: str) -> Callable[[A], A]:
        """The decorated function answers POST requests for a path."""
        return self._route("POST", path)

    def __call__(self, request: Request) -> Response:
        """Answer a request."""
        method = "GET" if request.method == "HEAD" else request.method
        for wanted, pattern, answer in self._routes:
            found = pattern.fullmatch(request.path) if wanted == method else None
            if found:
                return answer(request, **{name: unquote(part) for name, part in found.groupdict().items()})
        return Response.not_found(request.path)

    def _route(self, method: str, path: str) -> Callable[[A], A]:
        pattern = "".join(
            f"(?P<{part}>[^/]+)" if number % 2 else re.escape(part) for number, part in enumerate(_PLACE.split(path))
        )

        def keep(answer: A) -> A:
            self._routes.append((method, re.compile(pattern), answer))
            return answer

        return keep
