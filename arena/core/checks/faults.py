"""Check that a failure underneath comes out as an error and is never scored."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import contextmanager
from types import FrameType
from typing import Any

from arena.core.checks import _play
from arena.core.checks._play import Step
from arena.core.checks._report import NotApplicable, Violation
from arena.core.checks._subject import Subject

Line = tuple[str, int]
"""file and line number"""


class InjectedFault(RuntimeError):
    """Stands for anything that can fail underneath an environment."""


def failures_are_not_scored(subject: Subject) -> str:
    """An error raised inside `_step` comes out as an error; it does not end the episode with a score."""
    if subject.registration.execution == "async":
        raise NotApplicable("its code runs on a thread of its own")
    files = _author_files(subject.make().unwrapped)
    usual, lines = _one_step(subject, files, None)
    injected = 0
    for line in subject.rounds(list(dict.fromkeys(lines)), 0.5):
        try:
            step, _ = _one_step(subject, files, line)
        except Exception:
            injected += 1
            continue
        ended = bool(step[2] or step[3])
        if ended and (not (usual[2] or usual[3]) or step[4].get("score") != usual[4].get("score")):
            raise Violation(
                "an error inside the environment comes out as an exception: a failure is data, never a score",
                f"an error at line {line[1]} of its code became the end of an episode with score "
                f"{step[4].get('score')!r}",
                "catch only what an action can cause; let everything else raise, the engine records it unscored",
            )
    return "" if injected else "no line of its own ran in a step"


def _one_step(subject: Subject, files: set[str], fault: Line | None) -> tuple[Step, list[Line]]:
    """Take a sensible first action, with an error raised at one line; also which lines ran."""
    task = subject.tasks[0]
    env = subject.make(task)
    observation, info = _play.start(env, task)
    choose = _play.mind(env, info, "oracle", task) if subject.guided else _play.explorer(env, "fault", nonsense=0.0)
    action = choose(observation, info)
    ran: list[Line] = []
    with _tracing(files, ran, fault):
        step: Step = env.step(action)
    return step, ran


def _author_files(env: Any) -> set[str]:
    """The files of the environment's own classes, without those of the core and of Gymnasium."""
    files = set()
    for kind in type(env).__mro__:
        if not kind.__module__.startswith(("arena.core.", "gymnasium.", "builtins", "typing", "abc")):
            try:
                files.add(inspect.getfile(kind))
            except (TypeError, OSError):
                continue
    return files


@contextmanager
def _tracing(files: set[str], ran: list[Line], fault: Line | None) -> Any:
    def lines(frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
        if event == "line":
            here = (frame.f_code.co_filename, frame.f_lineno)
            ran.append(here)
            if here == fault:
                raise InjectedFault(f"a failure injected at line {here[1]} by the contract check")
        return lines

    def calls(frame: FrameType, _event: str, _: Any) -> Callable[..., Any] | None:
        return lines if frame.f_code.co_filename in files else None

    kept = sys.gettrace()
    sys.settrace(calls)
    try:
        yield
    finally:
        sys.settrace(kept)
