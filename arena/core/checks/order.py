"""Checks on the order of calls: reset, step, conclude, close."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gymnasium.error

from arena.core.checks import _play
from arena.core.checks._report import Violation
from arena.core.checks._subject import Subject

_LONGEST = 200
"""Turns after which an episode that does not end by itself is concluded."""


def steps_only_inside_an_episode(subject: Subject) -> None:
    """`step` and `conclude` raise ResetNeeded before reset, after the end, after `conclude` and after `close`."""
    task = subject.tasks[0]
    env = subject.make(task)
    _refuses(env, "before reset")
    _to_the_end(subject, env)
    _refuses(env, "after the end")
    _play.start(env, task)
    _play.conclude(env)
    _refuses(env, "after conclude")
    _play.start(env, task)
    env.close()
    _refuses(env, "after close")


def closing_twice_does_nothing(subject: Subject) -> None:
    """`close` works before an episode, inside one and after one, and a second call does nothing."""
    task = subject.tasks[0]
    for state in ("a new", "a running", "an ended"):
        env = subject.make(task)
        if state == "a running":
            _play.start(env, task)
        elif state == "an ended":
            _to_the_end(subject, env)
        for call in ("close", "second close"):
            try:
                env.close()
            except Exception as error:
                raise Violation(
                    "close never raises, and a second one does nothing",
                    f"the {call} of {state} environment raised {type(error).__name__}: {error}",
                    "override _close, which is called once, and free only what exists",
                ) from error


def conclude_grades_at_any_turn(subject: Subject) -> None:
    """`conclude` gives a finite reward, `success` and a score in [0, 1] wherever the episode stands."""
    task = subject.tasks[0]
    actions = _play.explore(subject.make(task), task, subject.turns, "conclude").actions
    for turn in subject.rounds(range(len(actions) + 1), 0.5):
        env = subject.make(task)
        seen = _play.repeat(env, task, actions[:turn])
        if seen[-1].terminated or seen[-1].truncated:
            return
        reward, info = _play.conclude(env)
        wrong = grading_error(info)
        if not wrong and not (isinstance(reward, int | float) and math.isfinite(reward)):
            wrong = f"the reward is {reward!r}"
        if wrong:
            raise Violation(
                "conclude grades the state as it stands: a finite reward, success (bool), score in [0, 1]",
                f"after {turn} turns {wrong}",
                "override _conclude and return (reward, {'success': …, 'score': …})",
            )


def grading_error(info: dict[str, Any]) -> str:
    """What is wrong with the grades in an episode's last info; the empty string where nothing is."""
    success, score = info.get("success"), info.get("score")
    if not isinstance(success, bool):
        return f"info['success'] is {success!r}, not a bool"
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0.0 <= score <= 1.0:
        return f"info['score'] is {score!r}, not a number in [0, 1]"
    if success and score == 0:
        return "the episode is a success with score 0"
    return ""


def _refuses(env: Any, when: str) -> None:
    calls: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("step", lambda: env.step("look")),
        ("conclude", lambda: _play.conclude(env)),
    )
    for name, call in calls:
        try:
            call()
            found = f"{name} {when} was accepted"
        except gymnasium.error.ResetNeeded:
            continue
        except Exception as error:
            found = f"{name} {when} raised {type(error).__name__}: {error}"
        raise Violation(
            "outside an episode step and conclude raise ResetNeeded",
            found,
            "override _step and _conclude, not step and conclude; the base class keeps the order",
        )


def _to_the_end(subject: Subject, env: Any) -> None:
    """Play until the episode ends by itself (by the oracle where there is one), or conclude it."""
    task = subject.tasks[0]
    observation, info = _play.start(env, task)
    choose = _play.mind(env, info, "oracle", task) if subject.guided else _play.explorer(env, "end", task.key)
    ended = False
    for _, (_, _, terminated, truncated, _) in _play.steps(env, observation, info, choose, _LONGEST):
        ended = bool(terminated or truncated)
    if not ended:
        _play.conclude(env)
