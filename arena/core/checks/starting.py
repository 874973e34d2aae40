"""Checks that an environment starts, anywhere, and keeps its abilities behind wrappers and specs."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from typing import Any

import gymnasium
from gymnasium.utils.env_checker import check_env

from arena.core.checks import _play
from arena.core.checks._report import NotApplicable, Violation
from arena.core.checks._subject import Subject
from arena.core.checks._trace import Seen, difference
from arena.core.env import LegalActions, Oracle, Snapshots, ability
from arena.core.errors import MissingPrerequisite


def starts(subject: Subject) -> None:
    """Making it, a reset and one random action work."""
    task = subject.tasks[0]
    try:
        env = subject.make(task)
        _play.explore(env, task, 1, nonsense=0.0)
    except MissingPrerequisite:
        raise  # nothing can be said about an environment whose declared extra is not installed
    except Exception as error:
        raise Violation(
            "make, reset and one random action work after a plain install",
            f"{type(error).__name__}: {error}",
            "ship what it needs as package data or declare `extra=`; download nothing and accept your own actions",
        ) from error


def works_offline(subject: Subject) -> str:
    """Whole episodes run in a process that has no network but loopback."""
    found = subject.elsewhere
    if found.offline:
        raise Violation(
            "make, reset and step work with the network cut off",
            found.offline,
            "ship the data with the package; what must be fetched belongs behind an explicit command",
        )
    if found.error:
        raise NotApplicable("it does not run in a second process at all; see same_in_another_process")
    if found.uncut:
        raise NotApplicable(found.uncut)
    return ""


def spec_is_portable(subject: Subject) -> None:
    """Its Gymnasium spec survives pickle and JSON and makes the same environment again."""
    task = subject.tasks[0]
    env = subject.make(task)
    expected = _seen_at_reset(env, subject)
    if env.spec is None:
        raise Violation("gymnasium.make sets env.spec", "None", "let gymnasium.make build it; do not clear `spec`")
    try:
        spec = pickle.loads(pickle.dumps(env.spec))
        written = gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json())
    except Exception as error:
        raise Violation(
            "env.spec can be pickled and written as JSON, so that other processes can make the environment",
            f"{type(error).__name__}: {error}",
            'register an entry point as "module:Class" and take plain JSON values as parameters, no functions',
        ) from error
    for name, again in (("pickled", spec), ("JSON", written)):
        other = gymnasium.make(again)
        try:
            wrong = difference([expected], [_seen_at_reset(other, subject)])
        finally:
            other.close()
        if wrong:
            raise Violation(
                f"the {name} spec makes the same environment again",
                wrong,
                "hand every parameter to the constructor; keep nothing outside it",
            )
    json.dumps(task.to_json())


def passes_gymnasium_check(subject: Subject) -> None:
    """`gymnasium.utils.env_checker.check_env` finds no error."""
    env = subject.make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(env.unwrapped, skip_render_check=True, skip_close_check=True)


def works_behind_wrappers(subject: Subject) -> None:
    """Abilities are found through wrappers, and no layer shows an old copy of what has changed underneath."""
    task = subject.tasks[0]
    actions = _play.explore(subject.make(task), task, 8, "wrappers", nonsense=0.0).actions
    env = subject.make(task)
    fresh: dict[tuple[int, str], Any] = {}
    _compare_layers(env, -1, fresh)
    _play.start(env, task)
    inner, wrapped = env.unwrapped, gymnasium.Wrapper(gymnasium.wrappers.OrderEnforcing(env))
    for turn in range(len(actions) + 1):
        _compare_layers(env, turn, fresh)
        for protocol in (LegalActions, Oracle, Snapshots):
            if (ability(inner, protocol) is None) != (ability(wrapped, protocol) is None):
                raise _lost(f"{protocol.__name__} is found on only one of the bare and the wrapped environment")
        listed, below = ability(wrapped, LegalActions), ability(inner, LegalActions)
        if turn < len(actions) and listed is not None and below is not None:
            outer_list, inner_list = list(listed.legal_actions()), list(below.legal_actions())
            if outer_list != inner_list:
                raise _lost(f"after {turn} turns the wrapper lists {outer_list[:5]}, the environment {inner_list[:5]}")
        if turn < len(actions):
            env.step(actions[turn])


def _compare_layers(env: Any, turn: int, fresh: dict[tuple[int, str], Any]) -> None:
    """Look for attributes that a wrapper and the environment both hold and that drift apart."""
    inner = vars(env.unwrapped)
    layer, depth = env, 0
    while layer is not env.unwrapped:
        for name, value in vars(layer).items():
            if name not in inner or name in ("spec", "env") or not isinstance(value, int | float | str | list | dict):
                continue
            now = inner[name]
            before = fresh.setdefault((depth, name), copy.deepcopy(now))
            if value == before and value != now:
                raise _lost(f"after {turn} turns the wrapper's {name} is {value!r}, the environment's {now!r}")
        layer, depth = layer.env, depth + 1


def _lost(found: str) -> Violation:
    return Violation(
        "a wrapper shows the environment as it is now",
        found,
        "keep no copies in a wrapper: read through `self.env`, and find abilities with arena.core.env.ability()",
    )


def _seen_at_reset(env: gymnasium.Env[Any, str], subject: Subject) -> Seen:
    return Seen.of(*_play.start(env, subject.tasks[0]))
