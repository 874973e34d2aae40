"""Checks that nothing grows: the time of a reset and the size of an observation."""

from __future__ import annotations

import statistics
import time
from typing import Any

from arena.core.checks import _play
from arena.core.checks._report import Violation
from arena.core.checks._subject import Subject
from arena.core.task import Task


def resets_come_in_time(subject: Subject) -> str:
    """A reset stays within its bound of CPU time, for any seed."""
    bound = subject.registration.reset_seconds
    slowest = 0.0
    tasks = [*subject.tasks, *(subject.drawn("train", subject.some(20, 200)) if _cheap(subject) else [])]
    for task in subject.rounds(tasks, 1.0):
        env = subject.make(task)
        slowest = max(slowest, _reset_time(env, task))
        env.close()
        if slowest > bound:
            raise Violation(
                f"a reset takes at most {bound:g} s of CPU once it is warm",
                f"{slowest:.2f} s for {task.key}",
                "bound the number of attempts of the generator; a reset that must be slow declares `reset_seconds=`",
            )
    return f"{1000 * slowest:.3g} ms at most" if slowest > 0.01 else ""


def resets_do_not_slow_down(subject: Subject) -> None:
    """The hundredth reset of an instance takes no longer than the first ones."""
    task = subject.tasks[0]
    env = subject.make(task)
    _reset_time(env, task)
    times = []
    for _ in subject.rounds(range(subject.some(100, 400)), 0.5, at_least=12):
        times.append(_reset_time(env, task))
        env.step("look")
    quarter = max(3, len(times) // 4)
    first, last = statistics.median(times[:quarter]), statistics.median(times[-quarter:])
    if last > 2 * first + 0.002:
        raise Violation(
            "a reset takes the same time again and again",
            f"{1000 * first:.1f} ms at first, {1000 * last:.1f} ms after {len(times)} resets",
            "let nothing pile up in the instance: set it anew in _reset",
        )


def observations_do_not_grow(subject: Subject) -> None:
    """The first observations of an instance's episodes stay the same size."""
    task = subject.tasks[0]
    env = subject.make(task)
    sizes = []
    for _ in range(6):
        played = _play.explore(env, task, 6, "sizes")
        sizes.append(sum(len(seen.text or "") for seen in played.seen[:2]))
    if sizes[-1] > sizes[0] and sizes == sorted(sizes):
        raise Violation(
            "an observation holds what happened since the last action, never an earlier episode",
            f"the first two observations of six episodes have {', '.join(map(str, sizes))} characters",
            "leave history to the agent; clear what was collected in _reset",
        )


def _cheap(subject: Subject) -> bool:
    """Whether a few more tasks can be made in a moment (a compiled game takes seconds each, outside this process)."""
    task = subject.tasks[-1]
    began = time.monotonic()
    env = subject.make(task)
    _play.start(env, task)
    env.close()
    return time.monotonic() - began < 0.05


def _reset_time(env: Any, task: Task) -> float:
    began = time.process_time()
    _play.start(env, task)
    return time.process_time() - began
