"""MiniWoB++: 130 small tasks on web pages, from one click to a booked flight.

The pages are those of the `miniwob` package (Shi et al., 2017; Liu et al., 2018, arXiv 1802.08802; Farama), the
rules those of BrowserGym: the goal is what the page says, the reward 1 if the page's own raw reward is positive,
ten turns. A page is started anew in place, without loading it again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import urldefrag, urljoin

from playwright.async_api import Error

from arena.core.errors import UnknownName, UsageError
from arena.core.seeds import Split, task_seeds
from arena.core.task import Task
from arena.environments.web._acting import vocabulary
from arena.environments.web._env import ORIGIN, Verdict, WebEnv
from arena.environments.web._observe import Sight
from arena.environments.web.miniwob import _pages
from arena.environments.web.miniwob.oracles import ORACLES, Desk
from arena.sandboxes.browser import BrowserSpec

__all__ = ["MiniWoB", "tasks"]

TURNS = 10
"""BrowserGym's limit for these tasks."""

_SEEDS = 1_000_000
"""How many instances a page has, as in BrowserGym."""

_MODIFIERS = ("Shift", "Control", "Alt", "Meta")


class MiniWoB(WebEnv):
    """Do what a small page asks for. The task (`options={"task": …}`) names the page; without one it is drawn.

    Args:
        reward: `binary` is 1 where the page's raw reward is positive, as in BrowserGym; `raw` is the page's own reward
            in [-1, 1], the less of it the more of `time_limit` went by. Success and score are always the binary ones.
        time_limit: milliseconds of the page's clock after which it ends the episode. The clock moves by half a second
            with an action, and with `noop`.
        screenshot: an image beside the text.
        marks: draw the elements' numbers into the image.
        html: the page's source too.

    Raises:
        UsageError: a reward that does not exist, or no time.
    """

    oracle_from: Literal["anywhere", "start"] = "start"

    def __init__(
        self,
        *,
        reward: Literal["binary", "raw"] = "binary",
        time_limit: int = 1_000_000,
        screenshot: bool = False,
        marks: bool = False,
        html: bool = False,
    ) -> None:
        if reward not in ("binary", "raw"):
            raise UnknownName("reward", str(reward), ("binary", "raw"))
        if time_limit < 1000:
            raise UsageError(f"time_limit is in milliseconds and at least 1000, not {time_limit}.")
        super().__init__(
            spec=BrowserSpec(viewport=(332, 214)),
            sight=Sight(screenshot=screenshot or marks, marks=marks, html=html),
            actions=vocabulary("bid", "coord", without=("upload_file",)),
            reuse="miniwob",
        )
        self._raw = reward == "raw"
        self._time_limit = time_limit
        self._page = ""
        self._turn = 0

    async def begin(self, task: str | None) -> dict[str, Any]:
        """Bring the page up, or back to its beginning if an episode before has left it open, and start it."""
        self._page, self._turn = self._drawn(task), 0
        number = self.draw(lambda generator: int(generator.integers(_SEEDS)), lambda n: f"{self._page}:{n}")
        await self._bring_up()
        start = {"seed": number, "limit": self._time_limit}
        await self.session.guard(self.session.page.evaluate(_START, start))
        await self.session.settle()
        told = await self.session.guard(self.session.page.evaluate("core.getUtterance()"))
        self.goal = str(told["utterance"] if isinstance(told, dict) else told)
        self.instructions = f"{self.told(self.goal)}\n{_COORDINATES}"
        return {"instance": f"{self._page}:{number}", "goal": self.goal}

    async def judge(self) -> Verdict:
        """What the page says; an agent that left it has failed."""
        try:
            told = await self.session.guard(self.session.page.evaluate(_REWARD))
        except Error:
            told = None
        if told is None or urldefrag(self.session.page.url).url != self._address:
            return Verdict(0.0, True, say="The page of the task was left.")
        raw, scaled, done = told
        return Verdict(
            float(raw > _FOR_NOTHING.get(self._page, 0.0)), done, float(scaled) if self._raw and done else None
        )

    async def oracle_action(self) -> str:
        """The next step of a solution.

        Raises:
            UsageError: nobody has solved this page yet.
        """
        solve = ORACLES.get(self._page)
        if solve is None:
            raise UsageError(f"The oracle cannot solve {self._page}; it is in the unproved suite.")
        desk = Desk(self.session, self.eyes, self.goal, self._turn)
        self._turn += 1
        return await self.there(solve(desk))

    @property
    def _address(self) -> str:
        return urljoin(ORIGIN, _pages.address(self._page))

    def _drawn(self, task: str | None) -> str:
        known = _pages.names()
        if task is None:
            return known[int(self.np_random.integers(len(known)))]
        if task not in known:
            raise UnknownName("task", task, known)
        return task

    async def _bring_up(self) -> None:
        session = self.session
        session.serve({ORIGIN: _pages.site()})
        if session.page.url != self._address or self._page in _RELOADED:
            await session.open(self._address)
        else:
            await session.guard(session.page.mouse.up())
            for key in _MODIFIERS:
                await session.guard(session.page.keyboard.up(key))
        await session.guard(session.page.mouse.move(331, 213))


def tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """The pages of the proved suite in turn, each time with another seed."""
    pages = itertools.cycle(sorted(ORACLES))
    return (
        Task("arena/MiniWoB-v0", candidate, params, page, TURNS)
        for candidate, page in zip(task_seeds(split, seed), pages, strict=False)
    )


_RELOADED = frozenset(
    {
        "book-flight",
        "book-flight-nodelay",
        "choose-date",
        "choose-date-easy",
        "choose-date-medium",
        "focus-text-2",
        "search-engine",
        "stock-market",
        "use-autocomplete",
        "use-autocomplete-nodelay",
        "use-spinner",
    }
)
"""Pages that an episode leaves different from how they were loaded."""

_FOR_NOTHING = {"chase-circle": 0.1}
"""Raw rewards that are earned by doing nothing, and that BrowserGym counts as success; here more is asked for."""

_COORDINATES = "What has no number is reached by its place: mouse_click(80, 100). The task is in the left 160 pixels."

_START = """({seed, limit}) => {
  document.activeElement?.blur();
  for (const touched of document.querySelectorAll('[data-tampered]')) delete touched.dataset.tampered;
  const form = document.body.appendChild(document.createElement('form'));
  const loose = [...document.querySelectorAll('input, textarea, select')].filter(field => !field.form);
  form.id = 'arena-form';
  for (const field of loose) field.setAttribute('form', form.id);
  for (const each of document.forms) each.reset();
  for (const field of loose) field.removeAttribute('form');
  form.remove();
  for (const shown of document.querySelectorAll('#reward-last, #reward-avg')) {
    shown.removeAttribute('style');
    shown.textContent = '-';
  }
  core.wob_latest = '-';
  core.wob_scores = [];
  WOB_EPISODE_ID = 0;
  document.getElementById('episode-id').textContent = '0';
  Math.seedrandom(seed);
  core.EPISODE_MAX_TIME = limit;
  core.startEpisodeReal();
}"""
"""Start an episode, without a trace of those before. A field that was typed into shows what a page writes into it
only once a form has reset it."""

_REWARD = """() => globalThis.core && core.ept0 !== null
  ? [WOB_RAW_REWARD_GLOBAL, WOB_REWARD_GLOBAL, WOB_DONE_GLOBAL] : null"""
