"""Checks that an episode depends on its seed and its actions, and on nothing else."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from arena.core import registry
from arena.core.checks import _play
from arena.core.checks._report import NotApplicable, Violation
from arena.core.checks._subject import Subject
from arena.core.checks._trace import Seen, difference
from arena.core.env import Oracle, ability
from arena.core.task import Task

_OWN_GENERATOR = "draw from self.np_random only, and keep no state in the class, the module or the process"


def same_seed_same_episode(subject: Subject) -> None:
    """The same seed and actions give the same episode, in this instance and in a fresh one."""
    for task in subject.rounds(subject.tasks, 1.0):
        env = subject.make(task)
        first = _play.explore(env, task, subject.turns)
        for where, other in (("this instance", env), ("a fresh instance", subject.make(task))):
            if wrong := difference(first.seen, _play.repeat(other, task, first.actions)):
                raise Violation(
                    "the same seed and actions give the same episode",
                    f"when {task.key} is repeated in {where}, {wrong}",
                    _OWN_GENERATOR,
                )


def alone_or_in_company(subject: Subject) -> None:
    """An episode is the same with another environment, of this or of another id, stepped in between."""
    sibling = _sibling(subject)
    for task in subject.rounds(subject.tasks, 1.0):
        alone = _play.explore(subject.make(task), task, subject.turns)
        other_task = next((other for other in subject.tasks if other.key != task.key), task)
        company = {
            "another instance of the same environment": _Other(subject.make(other_task), other_task).turn,
            "an environment that seeds the process's random generators": _scramble,
        }
        if sibling is not None:
            company[f"{sibling[1].env}"] = _Other(*sibling).turn
        for who, turn in company.items():
            with _kept_global_state():
                wrong = difference(alone.seen, _play.repeat(subject.make(task), task, alone.actions, turn))
            if wrong:
                raise Violation(
                    "an episode does not notice what other environments do",
                    f"with {who} stepped in between, {wrong}",
                    _OWN_GENERATOR,
                )


def no_leak_across_resets(subject: Subject) -> None:
    """The fifth episode of an instance equals the first of a fresh one."""
    task = subject.tasks[0]
    fresh = _play.explore(subject.make(task), task, subject.turns, "fifth")
    used = subject.make(task)
    for earlier in range(4):
        _play.explore(used, task, 5 + earlier, earlier)
    if wrong := difference(fresh.seen, _play.repeat(used, task, fresh.actions)):
        raise Violation(
            "the fifth episode of an instance equals the first of a fresh instance",
            wrong,
            "set everything that changes in _reset: history, counters, caches, collected text",
        )


def seeds_matter(subject: Subject) -> str:
    """Different tasks give different episodes, so no seed is accepted and dropped."""
    tasks = subject.drawn("train", 12)
    if len(tasks) < 2:
        raise NotApplicable("its source has a single task")
    first = _fingerprint(subject, tasks[0])
    for task in subject.rounds(tasks[1:], 2.0):
        if _fingerprint(subject, task) != first:
            return ""
    raise Violation(
        "different seeds give different episodes",
        f"{len(tasks)} tasks give the same first observation, instance, legal actions and answers",
        "draw the episode's content from self.np_random in _reset; if there is nothing to draw, register a "
        "`source` with the tasks there are",
    )


def _fingerprint(subject: Subject, task: Task) -> tuple[Any, ...]:
    """What shows of a task's content: to the same choices, made without looking at the seed."""
    env = subject.make(task)
    observation, info = _play.start(env, task)
    oracle = ability(env, Oracle)
    solution = oracle.oracle_action() if subject.guided and oracle is not None else None
    choose = _play.explorer(env, "seeds matter", nonsense=0.0)
    taken = [
        (action, Seen.of(raw, after, reward, terminated, truncated))
        for action, (raw, reward, terminated, truncated, after) in _play.steps(env, observation, info, choose, 10)
    ]
    return info.get("instance"), Seen.of(observation, info), solution, taken


def global_random_state_is_left_alone(subject: Subject) -> None:
    """Nothing it does seeds, draws from or resets the process's random generators."""
    task = subject.tasks[0]
    for name, read in (("random", random.getstate), ("numpy.random", _numpy_state)):
        before = read()
        for step, state in _states(subject, task, read):
            if state != before:
                raise Violation(
                    f"the process's generator `{name}` is as it was",
                    f"it has changed after {step}",
                    _OWN_GENERATOR,
                )


def same_in_another_process(subject: Subject) -> str:
    """A second process with another clock, folder, hash seed, time zone and locale sees the same episodes."""
    known = subject.registration
    if known.replay != "exact":
        raise NotApplicable(f"declared as replay = {known.replay!r}")
    found = subject.elsewhere
    if found.error:
        raise Violation(
            "the recorded actions run in a second process",
            found.error,
            "register with an entry point that can be imported anywhere, and read files relative to the module",
        )
    for (task, here), there in zip(found.here, found.there, strict=True):
        if wrong := difference(here.seen, there, known.volatile):
            raise Violation(
                "a second process with another clock, working folder, hash seed, time zone and locale sees the same",
                f"in {task.key} {wrong}",
                "use no clock, no folder and no order of a set; what must differ is declared in `volatile=`",
            )
    return "; ".join(f"but for {pattern!r}: {reason}" for pattern, reason in known.volatile.items())


class _Other:
    """Another environment, played on for one turn at a time; its own mistakes are not looked at here."""

    def __init__(self, env: Any, task: Task) -> None:
        self._env = env
        self._task = task
        self._choose = _play.explorer(env, "other", task.key)
        self._now: tuple[Any, dict[str, Any]] | None = None

    def turn(self) -> None:
        """Begin an episode or take a turn."""
        now, self._now = self._now, None
        with contextlib.suppress(Exception):
            if now is None:
                self._now = _play.start(self._env, self._task)
                return
            raw, _, terminated, truncated, info = self._env.step(self._choose(*now))
            self._now = None if terminated or truncated else (raw, info)


def _sibling(subject: Subject) -> tuple[Any, Task] | None:
    """An environment of another id that is defined in the same module: what could share state with this one."""
    module, _, _ = subject.registration.entry_point.partition(":")
    for other in registry.environments().values():
        if other.id != subject.id and other.entry_point.partition(":")[0] == module:
            with contextlib.suppress(Exception):
                task = registry.tasks(other.id, "train", 1)[0]
                env = subject.keep(registry.make(other.id, **task.params))
                _play.start(env, task)
                return env, task
    return None


def _scramble() -> None:
    """What a badly behaved neighbour does: seed the process's generators."""
    random.setstate(random.Random(7).getstate())
    np.random.set_state(np.random.RandomState(7).get_state())


@contextmanager
def _kept_global_state() -> Iterator[None]:
    kept, kept_numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(kept)
        np.random.set_state(kept_numpy)


def _numpy_state() -> str:
    name, keys, *rest = np.random.get_state(legacy=True)
    return repr((name, np.asarray(keys).tolist(), rest))


def _states(subject: Subject, task: Task, read: Any) -> Iterator[tuple[str, Any]]:
    env = subject.make(task)
    yield "make", read()
    _play.start(env, task)
    yield "reset", read()
    _play.explore(env, task, subject.turns)
    yield "an episode", read()
    env.close()
    yield "close", read()
