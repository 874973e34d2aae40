"""What every environment in a browser is made of: pages of its own, eyes, hands, and a task that is judged.

Subclass `WebEnv` and write `begin` and `judge`; both run on the browser's loop, where Playwright's objects may be
used directly. The rest (parsing actions, observing, what a broken page means) is done here:

    class Counter(WebEnv):
        async def begin(self, task):
            self.clicks = 0
            self.session.serve({ORIGIN: self.answer})                  # who answers the pages' requests
            await self.session.open(f"{ORIGIN}/")
            self.instructions = self.told("Press the button three times.")
            return {}                                                  # more of reset's info, such as `instance`

        def answer(self, request: Request) -> Response:
            if request.method == "POST":
                self.clicks += 1
                return Response.redirect("/")
            return Response('<form method=post action="/"><button>Press</button></form>')

        async def judge(self):
            return Verdict.of(self.clicks == 3)

    register("my/Counter-v0", "my_module:Counter", execution="async", extra="web", packages=("playwright",))
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from arena.core.env import AsyncEnv, RawObservation, StepResult
from arena.core.errors import SandboxUnavailable
from arena.core.spaces import AnyText, TextImage
from arena.core.tools import read_calls
from arena.environments.web._acting import Hands, vocabulary
from arena.environments.web._actions import ActionError, Call, Vocabulary
from arena.environments.web._legal import legal_calls
from arena.environments.web._observe import Eyes, Sight, View
from arena.sandboxes.browser import Browser, BrowserSession, BrowserSpec, PageBroken

__all__ = ["DEFAULT_ACTIONS", "ORIGIN", "Verdict", "WebEnv"]

T = TypeVar("T")

ORIGIN = "https://site.test"
"""Where an episode's own site is, by convention; `.test` exists nowhere else."""

DEFAULT_ACTIONS = ("bid", "nav", "tab", "chat", "infeas")
"""BrowserGym's default subsets."""

_ENDED_BY_LIMIT = {
    "camera": "page_camera",
    "hung": "page_time",
    "memory": "page_memory",
    "printed": "page_print",
    "tabs": "tabs",
    "time_to_live": "time_to_live",
}
"""Why a page was closed -> the limit that truncated its episode; a crash is a failure instead."""


@dataclass(frozen=True)
class Verdict:
    """How the task stands.

    Attributes:
        score: in [0, 1], as if the episode ended now.
        done: whether the episode ends now.
        reward: what the last action earned; the score at the end by default, else 0.
        say: a line for the agent.
    """

    score: float = 0.0
    done: bool = False
    reward: float | None = None
    say: str = ""

    @classmethod
    def of(cls, solved: bool) -> Verdict:
        """A task that is over once it is solved."""
        return cls(float(solved), solved)

    @property
    def earned(self) -> float:
        """The reward of the last action."""
        return self.reward if self.reward is not None else self.score if self.done else 0.0


class WebEnv(AsyncEnv):
    """An environment whose world is a page in a browser.

    Args:
        spec: what the browser is like; its seed is set anew for every episode.
        sight: how pages are shown.
        actions: which functions an agent has.
        reuse: names pages that episodes may hand on to one another, for tasks that restart inside of their page;
            such a page keeps the seed of its first episode, and `session.fresh` tells whether it was just made.

    Attributes:
        session: the browser of this episode; `session.page` is Playwright's page.
        eyes: looks at it; `eyes.view` is the last look.
        hands: acts on it; `hands.messages` and `hands.infeasible` are what the agent told the user.
    """

    idle = "noop()"
    session: BrowserSession
    eyes: Eyes
    hands: Hands

    def __init__(
        self,
        *,
        spec: BrowserSpec | None = None,
        sight: Sight | None = None,
        actions: Vocabulary | None = None,
        reuse: str | None = None,
    ) -> None:
        self.spec = spec or BrowserSpec()
        self.sight = sight or Sight()
        self.actions = actions or vocabulary(*DEFAULT_ACTIONS)
        self.reuse = reuse
        self.tools = self.actions.tools()
        self.observation_space = TextImage() if self.sight.screenshot else AnyText()
        self._open: BrowserSession | None = None

    async def begin(self, task: str | None) -> dict[str, Any]:
        """Serve and open the first page, and set `instructions`.

        Args:
            task: the name of a task, where this environment has some; refuse what is not known with `UnknownName`.

        Returns:
            More of reset's info: `instance`, and whatever else is JSON.
        """
        raise NotImplementedError

    async def judge(self) -> Verdict:
        """How the task stands; asked after every call of an action and at the end."""
        raise NotImplementedError

    def told(self, goal: str) -> str:
        """Instructions: the goal, and how a page is told and acted on."""
        return f"{goal}\n\n{_INSTRUCTIONS}"

    async def there(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the browser's loop; for abilities that look at the page, such as `oracle_action`."""
        return await Browser.shared().run(work)

    async def legal_actions(self) -> Sequence[str]:
        """Actions on what was last seen: clicks where something would be hit, fields with words of the page, keys."""
        return await self.there(legal_calls(self.session, self.eyes, self.hands, self.actions))

    async def _reset(self, task: str | None) -> tuple[RawObservation, dict[str, Any]]:
        return await self.there(self._reset_there(task))

    async def _step(self, action: str) -> StepResult:
        return await self.there(self._step_there(action))

    async def _conclude(self, reason: str) -> tuple[float, dict[str, Any]]:
        return await self.there(self._conclude_there())

    async def _close(self) -> None:
        if self._open is not None:
            await self.there(self._let_go())

    async def _let_go(self) -> None:
        if self._open is not None:
            session, self._open = self._open, None
            await session.close(reusable=True)

    async def _reset_there(self, task: str | None) -> tuple[RawObservation, dict[str, Any]]:
        await self._let_go()
        seeded = self.spec if self.reuse else replace(self.spec, seed=int(self.np_random.spawn(1)[0].integers(1 << 32)))
        self._open = self.session = await Browser.shared().session(seeded, self.reuse)
        self.eyes = Eyes(self.session, self.sight)
        self.hands = Hands(self.session, self.eyes)
        try:
            info = await self.begin(task)
            await self.session.tab.forget_history()
            self.session.drain_events()
            view = await self.eyes.look()
        except PageBroken as broken:
            raise SandboxUnavailable(f"The first page could not be shown. {broken}") from broken
        return _observation(view), {"state_key": view.key, **info}

    async def _step_there(self, action: str) -> StepResult:
        try:
            calls = self.actions.read(action)
        except ActionError as error:
            return await self._refused(action, error)
        try:
            result = await self._perform(calls)
        except PageBroken as broken:
            return self._ended_by(broken)
        if read_calls(action) is None:
            del result[4]["results"]
        return result

    async def _refused(self, action: str, error: ActionError) -> StepResult:
        """The answer to an action that could not be read: nothing was done."""
        view = await self.eyes.look([f"Error: {error}"])
        info: dict[str, Any] = {"valid": False, "error": str(error), "state_key": view.key}
        if told := read_calls(action):
            info["results"] = [*["Not done."] * (len(told) - 1), view.text]
        return _observation(view), 0.0, False, False, info

    async def _perform(self, calls: Sequence[Call]) -> StepResult:
        """Do one call after the other, up to the first that fails or ends the episode."""
        ran: list[str] = []
        notes: list[str] = []
        results: list[str] = []
        total, error, verdict = 0.0, "", Verdict()
        for call in calls:
            try:
                await self.hands.perform(call)
                ran.append(str(call))
            except ActionError as failure:
                error = str(failure)
            events = [*self.session.drain_events(), *([f"Error: {error}"] if error else [])]
            verdict = await self.judge()
            total += verdict.earned
            events += [verdict.say] if verdict.say else []
            notes += events
            results.append("\n".join(events) or "Done.")
            if error or verdict.done:
                break
        view = await self.eyes.look(notes)
        results[-1] = view.text
        info: dict[str, Any] = {"valid": not error, "executed": "\n".join(ran), "state_key": view.key}
        info["results"] = [*results, *["Not done."] * (len(calls) - len(results))]
        if error:
            info["error"] = error
        if verdict.done:
            info |= {"success": verdict.score == 1.0, "score": verdict.score}
        return _observation(view), float(total), verdict.done, False, info

    async def _conclude_there(self) -> tuple[float, dict[str, Any]]:
        try:
            verdict = await self.judge()
        except PageBroken as broken:
            return 0.0, {"success": False, "page": broken.reason}
        reward = verdict.reward if verdict.reward is not None else verdict.score
        return reward, {"success": verdict.score == 1.0, "score": verdict.score}

    def _ended_by(self, broken: PageBroken) -> StepResult:
        """A page that the action broke ends its episode: by failure if it crashed, else by the limit it ran into."""
        info: dict[str, Any] = {"valid": True, "error": str(broken), "success": False, "page": broken.reason}
        limit = _ENDED_BY_LIMIT.get(broken.reason)
        if limit is not None:
            info["limit"] = limit
        last = replace(self.eyes.view, text=str(broken))
        return _observation(last), 0.0, limit is None, limit is not None, info


def _observation(view: View) -> RawObservation:
    return view.text if view.image is None else {"text": view.text, "image": view.image}


_INSTRUCTIONS = """\
You see a page in a browser as lines of text: each element has a number in brackets, its role, its name in quotes and \
what it holds. Elements inside of others are indented. Only what is in the window is shown.
An action is a function call, or several, one per line. Elements are named by their numbers: click("12"). \
What went wrong with an action is said at the top of the next page."""
