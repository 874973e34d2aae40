"""Whether a page and what was said fulfil a task: conditions as plain data, or a function."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin

from arena.core.errors import UsageError
from arena.core.registry import load
from arena.environments.web._acting import Hands
from arena.environments.web._env import Verdict
from arena.sandboxes.browser import BrowserSession

__all__ = ["KEYS", "Check", "tidy"]

KEYS = {
    "answer": "the user is told exactly this, apart from case and spaces; the first message is the answer",
    "url": "the page looked at has this address (a path belongs to the site)",
    "title": "the page looked at has this title",
    "text": "this stands on the page looked at",
    "script": "this JavaScript expression is true in the page looked at",
    "infeasible": "the agent says that the task cannot be done",
}
"""What a check may demand; all of it must hold."""


def tidy(text: str) -> str:
    """A text without what does not matter in an answer: case, spaces around and between words, a last full stop."""
    return re.sub(r"\s+", " ", text).strip().removesuffix(".").casefold()


class Check:
    """Judges an episode.

    Args:
        demands: conditions (see `KEYS`), or `module:function`, called as `f(session, messages)` and returning a
            bool or a score in [0, 1], or a coroutine of one. None: nothing is ever achieved.

    Raises:
        UsageError: a condition that does not exist.
    """

    def __init__(self, demands: Mapping[str, Any] | str | None) -> None:
        self._demands: dict[str, Any] = dict(demands) if isinstance(demands, Mapping) else {}
        self._function: Callable[..., Any] | None = load(demands) if isinstance(demands, str) else None
        if unknown := set(self._demands) - set(KEYS):
            raise UsageError(f"A check has no condition {sorted(unknown)[0]!r}. There is: {', '.join(KEYS)}.")

    async def judge(self, session: BrowserSession, hands: Hands) -> Verdict:
        """How the task stands."""
        gave_up = hands.infeasible is not None
        if self._function is not None:
            found = self._function(session, list(hands.messages))
            score = float(await found if inspect.isawaitable(found) else found)
            return Verdict(score, score == 1.0 or gave_up)
        if self._demands.get("infeasible"):
            return Verdict(float(gave_up), gave_up or bool(hands.messages))
        answered = bool(hands.messages)
        met = not gave_up and bool(self._demands) and await self._met(session, hands)
        return Verdict(float(met), met or gave_up or (answered and ("answer" in self._demands or not self._demands)))

    async def _met(self, session: BrowserSession, hands: Hands) -> bool:
        demands = self._demands
        if "answer" in demands and (not hands.messages or tidy(hands.messages[0]) != tidy(str(demands["answer"]))):
            return False
        page, tab = session.page, session.tab
        if "url" in demands and urljoin(page.url, str(demands["url"])) != page.url:
            return False
        if "title" in demands and await session.guard(page.title()) != demands["title"]:
            return False
        if "text" in demands:
            shown = await session.guard(tab.evaluate("document.body ? document.body.innerText : ''"))
            if tidy(str(demands["text"])) not in tidy(str(shown)):
                return False
        return "script" not in demands or bool(await session.guard(tab.evaluate(f"Boolean({demands['script']})")))
