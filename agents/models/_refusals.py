"""What it means when a server does not answer with 2xx.

    408, 409, 425, 429, 5xx    tried again
    400, 422                   the model refuses, where a content filter says so; the conversation is too long;
                               or the request is wrong: this one, where others were taken, else all of them
    any other                  all requests are wrong: the key, the name, the URL

An account without credit (which some call 429 and some 400) is no matter of waiting, and ends a run. Whether a
conversation is too long, and often whether a filter stopped it, is only said in words, each server in its own.
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
from arena.core.errors import ArenaError, ContextOverflow, RequestRefused, UsageError

_RETRIED = frozenset({408, 409, 425, 429})
_ABOUT_THE_REQUEST = frozenset({400, 422})
_FILTERED = frozenset({"content_filter", "content_policy_violation", "data_inspection_failed"})
"""Codes of OpenAI, Azure and DashScope. `invalid_prompt` is OpenAI's too, but not only said of what is filtered."""
_FILTERED_WORDS = re.compile(
    r"ResponsibleAIPolicyViolation|ContentPolicyViolation|content management policy|content exists risk"
    r"|blocked by (our |the )?content filter|flagged as potentially violating",
    re.IGNORECASE,
)
_NO_CREDIT = re.compile(r"insufficient_quota|billing_error|credit balance", re.IGNORECASE)
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


class Filtered(ArenaError):
    """A content filter stopped the prompt or the answer: the model refuses."""


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

    def refusal(self, status: int, headers: Mapping[str, str], data: bytes, *, takes_others: bool) -> ArenaError:
        """The error that an answer's status and body stand for.

        Args:
            status: any but 2xx.
            headers: by lower-case name.
            data: the body.
            takes_others: the server has answered a request before.
        """
        codes, said = self._said(data)
        with contextlib.suppress(ValueError):
            said = f"{HTTPStatus(status).phrase}: {said}" if said else HTTPStatus(status).phrase
        words = f"{status} {said}".rstrip(" .")
        whole = f"{' '.join(codes)} {said}"
        without_credit = _NO_CREDIT.search(whole)
        if status in _ABOUT_THE_REQUEST and (_FILTERED.intersection(codes) or _FILTERED_WORDS.search(whole)):
            return Filtered(words)
        if status != 429 and (status == 413 or _OVERFLOW.search(whole)):
            return ContextOverflow(f"The conversation does not fit {self.model}: {words}.")
        if not without_credit and (status in _RETRIED or status >= 500):
            return Passing(words, retry_after(headers))
        if not without_credit and takes_others and status in _ABOUT_THE_REQUEST:
            return RequestRefused(f"{self.model} at {self.url} took other requests and refused this one. {words}.")
        return UsageError(f"{self.model} at {self.url} refused the request. {words}. {self._advice(status)}")

    def _said(self, data: bytes) -> tuple[list[str], str]:
        """The error's codes and its message, where the body is one of the usual forms; else the body."""
        try:
            error: Any = json.loads(data)
        except (ValueError, RecursionError):
            return [], self.excerpt(data)
        if isinstance(error, dict):
            error = error.get("error", error)
        if not isinstance(error, dict):
            return [], self.excerpt(str(error))
        said = error.get("message") or error.get("detail") or error
        inner = error.get("innererror")
        codes = [error.get("code"), error.get("type"), inner.get("code") if isinstance(inner, dict) else None]
        return [str(code) for code in codes if code], self.excerpt(str(said))

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
