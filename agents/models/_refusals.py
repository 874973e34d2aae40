"""What it means when a server does not answer with 2xx.

Tried again: 408, 409, 425, 429 and every 5xx. Any other status says that the request itself is wrong, and an
account without credit (which some call 429) is no matter of waiting either. Whether a conversation is too
long is only said in words, each server in its own.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from arena.agents.models._key import Key
from arena.core.errors import ArenaError, ContextOverflow, UsageError

_RETRIED = frozenset({408, 409, 425, 429})
_OVERFLOW = re.compile(
    r"context[ _-]?(length|window|size|limit)|exceed_context|maximum (model|sequence|prompt) length"
    r"|(prompt|input) (is|was) too long|too many (input |prompt )?tokens"
    r"|exceeds? (the )?(maximum|max)\b.{0,40}\btokens",
    re.IGNORECASE,
)
_EXCERPT = 300


class Passing(ArenaError):
    """An attempt failed in a way that another one may not; `wait` is what the server asked for, in seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Words:
    """Puts what a server said into errors, without the key.

    Attributes:
        model: the model, as its spec names it.
        url: where requests go.
        key: where the key is, or None.
    """

    model: str
    url: str
    key: Key | None = None

    def excerpt(self, text: str | bytes) -> str:
        """The beginning of a text, without the key."""
        text = text if isinstance(text, str) else text.decode(errors="replace")
        text = text.encode(errors="replace").decode().strip()
        text = self.key.hide(text) if self.key else text
        return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…"

    def refusal(self, status: int, headers: Mapping[str, str], data: bytes) -> ArenaError:
        """The error that an answer's status and body stand for."""
        code, said = self._said(data)
        with contextlib.suppress(ValueError):
            said = f"{HTTPStatus(status).phrase}: {said}" if said else HTTPStatus(status).phrase
        words = f"{status} {said}".rstrip(" .")
        if status != 429 and (status == 413 or _OVERFLOW.search(f"{code} {said}")):
            return ContextOverflow(f"The conversation does not fit {self.model}: {words}.")
        if code != "insufficient_quota" and (status in _RETRIED or status >= 500):
            return Passing(words, retry_after(headers))
        return UsageError(f"{self.model} at {self.url} refused the request. {words}. {self._advice(status)}")

    def _said(self, data: bytes) -> tuple[str, str]:
        """The error's code and its message, where the body is one of the usual forms; else the body."""
        try:
            error: Any = json.loads(data)
        except (ValueError, RecursionError):
            return "", self.excerpt(data)
        if isinstance(error, dict):
            error = error.get("error", error)
        if not isinstance(error, dict):
            return "", self.excerpt(str(error))
        said = error.get("message") or error.get("detail") or error
        return str(error.get("code") or error.get("type") or ""), self.excerpt(str(said))

    def _advice(self, status: int) -> str:
        if status in {401, 403}:
            if self.key is None:
                return "Name the variable that holds its key with the option key_env=VARIABLE."
            return f"The key is the one in the variable {self.key.variable}: check that it is right for this URL."
        if status == 404:
            return "Check the model's name and the URL."
        if 300 <= status < 400:
            return "Redirects are not followed: give the final URL."
        return "Change what the server names, or leave that option out."


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks to wait: a number, or the time until an HTTP date (RFC 9110, section 10.2.3)."""
    said = headers.get("retry-after", "").strip()
    with contextlib.suppress(ValueError):
        seconds = float(said)
        return seconds if 0 <= seconds < float("inf") else None
    with contextlib.suppress(ValueError):
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    return None
