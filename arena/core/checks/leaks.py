"""Check that the answer is not shown to the agent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from arena.core import registry
from arena.core.checks import _play
from arena.core.checks._report import NotApplicable, Violation
from arena.core.checks._subject import Subject


def answer_is_not_shown(subject: Subject) -> str:
    """The declared secrets stand in no brief and no observation before the player wrote them or the episode ended."""
    path = subject.registration.secret
    if path is None:
        raise NotApplicable("it declares no secret")
    found = 0
    for task in subject.rounds(subject.tasks, 1.0):
        for kind in ("explorer", "idle"):
            env = subject.make(task)
            observation, info = _play.start(env, task)
            inner = env.unwrapped
            secrets = registry.load(path)(getattr(inner, "inner", inner))
            patterns = {secret: _word(secret) for secret in ([secrets] if isinstance(secrets, str) else secrets)}
            found += len(patterns)
            choose = _play.explorer(env, "leak", task.key)
            if kind == "idle":
                choose = _play.mind(env, info, "idle", task)
            taken = _play.steps(env, observation, info, choose, subject.turns)
            for where, text in _shown((observation, info), taken, patterns):
                if leaked := next((secret for secret, pattern in patterns.items() if pattern.search(text)), None):
                    raise Violation(
                        "the secret is not shown before the episode ends or the player names it",
                        f"{leaked!r} stands in {where} of {task.key}",
                        "keep it out of observations, briefs and errors; declare only what gives the answer away",
                    )
    if not found:
        raise Violation("the declared `secret` function names secrets", "none on any task", f"let {path} return them")
    return ""


def _shown(
    first: tuple[Any, dict[str, Any]], taken: Iterable[tuple[str, _play.Step]], patterns: dict[str, re.Pattern[str]]
) -> Iterator[tuple[str, str]]:
    """(where, text) of everything the agent sees, as long as it could not know the secret."""
    observation, info = first
    for brief in (info.get("briefs") or {"": info.get("brief", {})}).values():
        yield "the brief", repr(brief)
    yield "the first observation", _text(observation)
    for turn, (action, step) in enumerate(taken, 1):
        raw, _, terminated, truncated, after = step
        if terminated or truncated or any(pattern.search(action) for pattern in patterns.values()):
            return
        yield f"the observation of turn {turn}", _text(raw)
        yield f"the error of turn {turn}", str(after.get("error", ""))
        yield f"the results of turn {turn}", "\n".join(map(str, after.get("results", ())))


def _word(secret: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(secret)}(?!\w)", re.IGNORECASE)


def _text(raw: Any) -> str:
    return str(raw["text"] if isinstance(raw, dict) else raw)
