"""Tasks on three applications in a browser: of WebArena's kind, reset in milliseconds, judged without a model."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any, Literal

from arena.core.env import StepResult
from arena.core.errors import EnvironmentFailure, UnknownName
from arena.core.seeds import Split, derive, task_seeds
from arena.core.task import Task
from arena.environments.web._env import Verdict, WebEnv
from arena.environments.web._observe import Sight
from arena.environments.web.workplace._evaluators import Ending
from arena.environments.web.workplace._forum_tasks import FORUM_TASKS
from arena.environments.web.workplace._infeasible_tasks import INFEASIBLE_TASKS
from arena.environments.web.workplace._joint_tasks import JOINT_TASKS
from arena.environments.web.workplace._mail_tasks import MAIL_TASKS
from arena.environments.web.workplace._moves import next_action
from arena.environments.web.workplace._question_tasks import QUESTION_TASKS
from arena.environments.web.workplace._site import ORIGINS
from arena.environments.web.workplace._tracker_tasks import TRACKER_TASKS
from arena.environments.web.workplace._world import Goal, Impossible, Make, World

__all__ = ["TASKS", "TURNS", "WebTasks", "drawn", "tasks"]

TURNS = 30
"""WebArena's limit."""

_GROUPS = (QUESTION_TASKS, FORUM_TASKS, MAIL_TASKS, TRACKER_TASKS, JOINT_TASKS, INFEASIBLE_TASKS)

TASKS: dict[str, Make] = {
    name: make
    for row in itertools.zip_longest(*(group.items() for group in _GROUPS))
    for name, make in filter(None, row)
}
"""Name of a task -> what draws it; the groups take turns, so that the first few are a mixture."""

_ATTEMPTS = 100


class WebTasks(WebEnv):
    """Do what a person asks for in their forum, mail and issue tracker.

    An episode ends when the agent sends a message (the answer, or that it is done) or reports that the task cannot be
    done. The score is 1 where every evaluator of the task holds, else 0; changes that nobody asked for make it 0.

    Args:
        screenshot: an image beside the text.
    """

    oracle_from: Literal["anywhere", "start"] = "start"

    def __init__(self, screenshot: bool = False) -> None:
        # The pages have no scripts and keep nothing in the browser, so that an episode can begin in those of another.
        super().__init__(sight=Sight(screenshot=screenshot), reuse="arena/WebTasks-v0")
        self.world: World | None = None

    async def begin(self, task: str | None) -> dict[str, Any]:
        """Fill the applications, draw a goal in them, and open the one it begins in."""
        if task is not None and task not in TASKS:
            raise UnknownName("task", task, TASKS)
        self._forget()
        name = task or list(TASKS)[int(self.np_random.integers(len(TASKS)))]
        for _ in range(_ATTEMPTS):
            seed = self.draw(lambda generator: int(generator.integers(1 << 62)), lambda seed: _digest(name, seed))
            with contextlib.suppress(Impossible):
                self.world, self.goal = drawn(name, seed)
                break
        else:
            raise EnvironmentFailure(f"No applications were drawn in which {name} can be asked for.")
        self._made, self._proposed = 0, ("", 0)
        self.session.serve(self.world.handlers)
        await self.session.open(f"{ORIGINS[self.goal.start]}/")
        self.instructions = self.told(_ASKED.format(name=self.world.me["name"], goal=self.goal.text, **ORIGINS))
        return {"instance": _digest(name, seed), "task": name}

    async def judge(self) -> Verdict:
        """Whether the goal is reached; it is over once the user was told something."""
        assert self.world is not None
        answers, infeasible = self.hands.messages, self.hands.infeasible
        ended = bool(answers) or infeasible is not None
        shown = str(await self.session.guard(self.session.tab.evaluate(_TEXT)))
        ending = Ending(
            answers[0] if answers else None, infeasible, self.session.page.url, shown, self.world.database.changes()
        )
        return Verdict(self.goal.score(ending), ended)

    def oracle_action(self) -> str:
        """The next of the goal's moves."""
        action, number = next_action(self.goal.moves[self._made :], self.eyes.view.elements.values())
        self._proposed = action, number
        return action

    async def _step(self, action: str) -> StepResult:
        result = await super()._step(action)
        proposed, number = self._proposed
        if action == proposed and result[4]["valid"]:
            self._made += number
        self._proposed = ("", 0)
        return result

    async def _close(self) -> None:
        await super()._close()
        self._forget()

    def _forget(self) -> None:
        if self.world is not None:
            self.world.database.close()
            self.world = None


def drawn(name: str, seed: int) -> tuple[World, Goal]:
    """The applications and the goal of a task, without a browser.

    Raises:
        Impossible: not in these applications.
    """
    world = World(seed)
    try:
        return world, TASKS[name](world)
    except Impossible:
        world.database.close()
        raise


def tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """Each of the tasks in turn, each time with other applications."""
    for name, candidate in zip(itertools.cycle(TASKS), task_seeds(split, seed), strict=False):
        yield Task("arena/WebTasks-v0", candidate, params, name, TURNS)


def _digest(name: str, seed: int) -> str:
    return f"{derive('WebTasks', name, seed):016x}"


_TEXT = "document.body ? document.body.innerText : ''"

_ASKED = """\
You act for {name} in three web applications: a forum ({Forum}), mail ({Mail}) and an issue tracker ({Tracker}).

Your task: {goal}

When you are finished, send the user a message, which ends the episode: the answer where something was asked, and \
otherwise that it is done. Do nothing that was not asked for. If the task cannot be done, use report_infeasible \
and say why."""
