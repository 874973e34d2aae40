"""Tasks written for BrowserGym, in Arena's browser.

A task is a class with `setup(page) -> (goal, info)` and `validate(page, chat_messages) -> (reward, done, message,
info)`, made as `Task(seed=…, **params)`. Both may be coroutine functions; plain ones get a page with Playwright's
synchronous API. What is different from BrowserGym: pages reach only what `site` serves and the origins in `allow`,
there is no chat window, and elements are numbered without an attribute in the page.

    register("my/Tasks-v0", "arena.environments.adapters.browsergym:BrowserGymTask", execution="async", extra="web")
    arena.make("my/Tasks-v0", task="my_tasks:OrderPizza", allow=["https://pizza.example"])

Source: BrowserGym (Chezelles et al., 2024, arXiv 2412.05467), `AbstractBrowserTask`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from arena.core.errors import EnvironmentFailure, UnknownName
from arena.core.registry import load
from arena.environments.adapters._sync_page import in_thread
from arena.environments.web._acting import vocabulary
from arena.environments.web._env import DEFAULT_ACTIONS, ORIGIN, Verdict, WebEnv
from arena.environments.web._observe import Sight
from arena.sandboxes.browser import BrowserSpec

__all__ = ["BrowserGymTask"]


class BrowserGymTask(WebEnv):
    """Plays one BrowserGym-style task.

    Args:
        task: the class, as `module:Class`.
        params: more keyword arguments of the class.
        site: `module:function` that answers requests to `https://site.test` (`Request -> Response`).
        allow: origins of the real network that may be reached.
        actions: subsets of BrowserGym's functions, or their names.
        screenshot, marks: as in `Sight`.
    """

    def __init__(
        self,
        task: str,
        *,
        params: Mapping[str, Any] | None = None,
        site: str | None = None,
        allow: Sequence[str] = (),
        actions: Sequence[str] = DEFAULT_ACTIONS,
        screenshot: bool = False,
        marks: bool = False,
    ) -> None:
        self._class, self._params = load(task), dict(params or {})
        self._site = load(site) if site is not None else None
        viewport = getattr(self._class, "viewport", None) or {"width": 1280, "height": 720}
        clock = None if allow else BrowserSpec.clock
        super().__init__(
            spec=BrowserSpec((viewport["width"], viewport["height"]), network=tuple(allow), clock=clock),
            sight=Sight(screenshot=screenshot or marks, marks=marks),
            actions=vocabulary(*actions),
        )
        self._task: Any = None

    async def begin(self, task: str | None) -> dict[str, Any]:
        """Make the task with this episode's seed, and have it set its page up."""
        if task is not None:
            raise UnknownName("task", task, ())
        self.session.serve({} if self._site is None else {ORIGIN: self._site})
        self._task = self._class(seed=int(self.np_random.integers(1 << 31)), **self._params)
        goal, _ = await self._ask("setup", self.session.page)
        self.instructions = self.told(goal if isinstance(goal, str) else _text_of(goal))
        await self.session.settle()
        return {}

    async def judge(self) -> Verdict:
        """What the task's `validate` says of the page and of what was said."""
        said = [{"role": "assistant", "message": text, "timestamp": 0.0} for text in self.hands.messages]
        if self.hands.infeasible is not None:
            said.append({"role": "infeasible", "message": self.hands.infeasible, "timestamp": 0.0})
        reward, done, message, _ = await self._ask("validate", self.session.page, said)
        score = min(max(float(reward), 0.0), 1.0)
        return Verdict(score, bool(done) or self.hands.infeasible is not None, float(reward), str(message or ""))

    async def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            return await self.session.guard(in_thread(getattr(self._task, method), *arguments), 60.0)
        except (TypeError, ValueError) as error:
            name = type(self._task).__name__
            raise EnvironmentFailure(f"{name}.{method} failed: {type(error).__name__}: {error}") from error


def _text_of(goal: Sequence[Mapping[str, Any]]) -> str:
    """The text of a goal in BrowserGym's list form."""
    return "\n".join(str(part.get("text", "")) for part in goal if part.get("type") == "text")
