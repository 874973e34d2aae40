"""What a page asks for and what it gets: requests are answered by Python functions, without a socket.

A `Handler` answers for one origin; whatever has no handler is refused and noted. Redirects and cookies work as
with a server: a redirect of a document is carried out by the page (one more entry of history is not made), one of
a script's request is followed here.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urljoin, urlsplit

if TYPE_CHECKING:
    from playwright.async_api import Route

__all__ = ["Handler", "Request", "Response", "answer", "origin_of"]

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 10


@dataclass(frozen=True)
class Request:
    """One request of a page.

    Attributes:
        method: in capitals.
        url: absolute.
        headers: by lower-case name, the cookies of the episode among them.
        body: as sent.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path alone, such as `/items/3`."""
        return urlsplit(self.url).path or "/"

    @cached_property
    def query(self) -> dict[str, str]:
        """The query's fields; of a repeated one the last."""
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    @cached_property
    def form(self) -> dict[str, str]:
        """The fields of a posted form (url-encoded or JSON); of a repeated one the last."""
        text = self.body.decode("utf-8", "replace")
        if "json" in self.headers.get("content-type", ""):
            try:
                data = json.loads(text)
            except ValueError:
                return {}
            return {str(key): str(value) for key, value in data.items()} if isinstance(data, dict) else {}
        return dict(parse_qsl(text, keep_blank_values=True))

    @cached_property
    def cookies(self) -> dict[str, str]:
        """The cookies of the episode for this origin."""
        pairs = (part.partition("=") for part in self.headers.get("cookie", "").split(";") if "=" in part)
        return {name.strip(): value.strip() for name, _, value in pairs}


@dataclass(frozen=True)
class Response:
    """What a request gets; text is sent as UTF-8."""

    body: str | bytes = b""
    status: int = 200
    content_type: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def redirect(cls, location: str, cookies: Mapping[str, str] | None = None) -> Response:
        """Send the page elsewhere with GET, as after a form (303)."""
        headers = {"location": location}
        if cookies:
            headers["set-cookie"] = "\n".join(f"{name}={value}; Path=/" for name, value in cookies.items())
        return cls(status=303, headers=headers)

    @classmethod
    def of_json(cls, data: object, status: int = 200) -> Response:
        """Data for a script."""
        return cls(json.dumps(data), status, "application/json")

    @classmethod
    def not_found(cls, path: str) -> Response:
        """There is no such page."""
        return cls(f"There is no page {path} here.", 404, "text/plain; charset=utf-8")


Handler = Callable[[Request], Response | Awaitable[Response]]
"""Answers the requests to one origin, on the browser's loop: quickly, or as a coroutine function."""


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


async def answer(route: Route, handlers: Mapping[str, Handler]) -> None:
    """Fulfil an intercepted request from the handler of its origin.

    Raises:
        Exception: what a handler raised.
    """
    asked = route.request
    request = Request(asked.method, asked.url, await asked.all_headers(), asked.post_data_buffer or b"")
    document = asked.is_navigation_request()
    response = await _ask(handlers[origin_of(asked.url)], request)
    for _ in range(_MOST_REDIRECTS):
        if response.status not in _REDIRECTS:
            break
        target = urljoin(request.url, response.headers["location"])
        if document:
            response = _moving(target, response)
        elif origin_of(target) in handlers:
            request = _followed(request, response.status, target)
            response = await _ask(handlers[origin_of(target)], request)
        else:
            await route.abort("blockedbyclient")
            return
    headers = {"content-type": response.content_type, **response.headers}
    await route.fulfill(status=response.status, headers=headers, body=response.body)


async def _ask(handler: Handler, request: Request) -> Response:
    response = handler(request)
    return await response if inspect.isawaitable(response) else response


def _followed(request: Request, status: int, target: str) -> Request:
    keeps = status in (307, 308)
    return Request(request.method if keeps else "GET", target, request.headers, request.body if keeps else b"")


def _moving(target: str, response: Response) -> Response:
    """A document that goes on to `target` at once: the browser would follow a real redirect past the interception."""
    where = json.dumps(target).replace("<", "\\u003c")
    kept = {name: value for name, value in response.headers.items() if name != "location"}
    return Response(f"<script>location.replace({where})</script>", headers=kept)
