"""The environment under check: its instances, its tasks, and episodes that several checks look at."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from arena.core import registry
from arena.core.checks import _play
from arena.core.checks._play import Step
from arena.core.env import Oracle, ability
from arena.core.errors import UsageError
from arena.core.seeds import Split
from arena.core.task import Task

if TYPE_CHECKING:
    from arena.core.checks._elsewhere import Elsewhere

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Walk:
    """An episode with everything exactly as the environment returned it."""

    task: Task
    kind: Literal["explorer", "idle", "oracle"]
    first: tuple[Any, dict[str, Any]]
    steps: tuple[Step, ...]


class Subject:
    """An environment under check.

    Attributes:
        tasks: the tasks its episodes are taken from, of both splits.
        turns: how long an exploring episode is at most.
    """

    def __init__(self, id: str, deep: bool, params: Mapping[str, Any], chosen_seeds: Sequence[int]) -> None:
        self.registration = registry.registration(id)
        self.id = self.registration.id
        self.deep = deep
        self.params = dict(params)
        self.turns = 100 if deep else 25
        self._open: list[Any] = []
        limit = self.registration.max_turns
        self.tasks = [Task(self.id, seed, self.params, None, limit) for seed in chosen_seeds] or self._drawn_tasks()

    def some(self, quick: int, deep: int) -> int:
        """How many of something to look at."""
        return deep if self.deep else quick

    def rounds(self, items: Iterable[T], seconds: float, at_least: int = 2) -> Iterator[T]:
        """The items, until the time is up (four times as much in a deep check)."""
        until = time.monotonic() + self.some(1, 4) * seconds
        for count, item in enumerate(items):
            if count >= at_least and time.monotonic() > until:
                return
            yield item

    def make(self, task: Task | None = None) -> Any:
        """A new instance for a task, closed when the check that asked for it ends."""
        return self.keep(registry.make(self.id, **(task or self.tasks[0]).params))

    def keep(self, env: Any) -> Any:
        """Have an environment closed when the check that made it ends."""
        self._open.append(env)
        return env

    def close(self) -> None:
        """Close the instances that are still open; what goes wrong then is another check's business."""
        while self._open:
            with contextlib.suppress(Exception):
                self._open.pop().close()

    def drawn(self, split: Split, n: int) -> list[Task]:
        """Up to n tasks of the environment's own source."""
        while True:
            try:
                return registry.tasks(self.id, split, n, 0, self.params)
            except UsageError:
                if n <= 1:
                    raise
                n -= 1

    @cached_property
    def proved(self) -> list[Task]:
        """The tasks of the environment's proved suite; without one (or with parameters), of its own source."""
        name = self.registration.suite
        if name is None or self.params:
            return self.drawn("eval", self.some(3, 20))
        suite = registry.suite(name)
        return [task for task in suite.tasks if registry.registration(task.env).id == self.id]

    @cached_property
    def guided(self) -> bool:
        """Whether there is an oracle to play by; one that raises is the business of `oracle_scores_one`."""
        env = self.make()
        if ability(env, Oracle) is None:
            return False
        try:
            _play.proof(env, self.tasks[0], "oracle")
        except Exception:
            return False
        return True

    @cached_property
    def walks(self) -> list[Walk]:
        """Episodes of an explorer, of doing nothing, and of the oracle, on each task."""
        found = []
        for task in self.rounds(self.tasks, 1.0, at_least=1):
            for kind in ("explorer", "idle", "oracle"):
                if kind != "oracle" or self.guided:
                    found.append(self._walk(self.make(task), task, kind))
        return found

    @cached_property
    def elsewhere(self) -> Elsewhere:
        """The same episodes here and in a second process."""
        from arena.core.checks._elsewhere import play_elsewhere

        played = [
            (task, _play.explore(self.make(task), task, self.turns, "elsewhere"))
            for task in self.rounds(self.tasks, 2.0, at_least=1)
        ]
        return play_elsewhere(self.registration, played, timeout=self.some(120, 600))

    def _walk(self, env: Any, task: Task, kind: Literal["explorer", "idle", "oracle"]) -> Walk:
        first = _play.start(env, task)
        choose = _play.explorer(env, "walk", task.key) if kind == "explorer" else _play.mind(env, first[1], kind, task)
        limit = task.max_turns or (self.turns if kind == "explorer" else 100)
        taken = _play.steps(env, *first, choose, limit + 1)
        return Walk(task, kind, first, tuple(step for _, step in taken))

    def _drawn_tasks(self) -> list[Task]:
        try:
            return [*self.drawn("eval", self.some(2, 20)), *self.drawn("train", self.some(1, 10))]
        except Exception:
            # A broken source of tasks is the business of `tasks_are_reproducible`; the other checks go on without it.
            return [Task(self.id, seed, self.params, None, self.registration.max_turns) for seed in (2**31, 0, 1)]
