"""Checks on what comes back: observations, infos, rewards, ends and the brief."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from arena.core.checks._report import Violation
from arena.core.checks._subject import Subject, Walk
from arena.core.checks.order import grading_error
from arena.core.text import shorten

_TYPES: dict[str, type | tuple[type, ...]] = {
    "state_key": str,
    "valid": bool,
    "executed": str,
    "error": str,
    "results": (list, tuple),
    "player": str,
    "instance": str,
    "rewards": dict,
    "scores": dict,
}
"""The types of the info keys that mean something; see `arena.core.env.Info`."""


def observations_lie_in_their_space(subject: Subject) -> None:
    """Every observation is in `observation_space` and survives JSON."""
    space = subject.make().observation_space
    for where, raw, _ in _returned(subject):
        if not space.contains(raw):
            raise Violation(
                f"every observation lies in {space}",
                f"{where}: {shorten(repr(raw), 120)}",
                "return a str of valid Unicode (or {'text', 'image'} with observation_space = TextImage())",
            )
    for walk in subject.walks:
        written = json.dumps(space.to_jsonable([walk.first[0]]))
        if not space.contains(next(iter(space.from_jsonable(json.loads(written))))):
            raise Violation(
                "an observation survives JSON", f"it does not {_at(walk, 0)}", "use AnyText or TextImage as space"
            )


def infos_are_json(subject: Subject) -> None:
    """Every info serialises to JSON, and the keys that mean something have their types."""
    for where, _, info in _returned(subject):
        try:
            json.dumps(info, allow_nan=False)
        except (TypeError, ValueError) as error:
            culprit = next((key for key, value in info.items() if not _is_json(value)), "?")
            raise Violation(
                "every info serialises to JSON",
                f"{where}: info[{culprit!r}] does not: {error}",
                "use str, int, float, bool, list and dict; convert NumPy values and objects",
            ) from error
        for key, types in _TYPES.items():
            if key in info and info[key] is not None and not isinstance(info[key], types):
                raise Violation(
                    f"info[{key!r}] has the type that arena.core.env.Info gives it",
                    f"{where}: {info[key]!r}",
                    "convert it, or use another key",
                )


def rewards_are_finite(subject: Subject) -> None:
    """Every reward is a finite number that serialises to JSON."""
    for walk in subject.walks:
        for turn, (_, reward, _, _, info) in enumerate(walk.steps, 1):
            for value in (reward, *info.get("rewards", {}).values()):
                if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                    raise Violation(
                        "a reward is a finite float",
                        f"{value!r} of type {type(value).__name__} {_at(walk, turn)}",
                        "return float(…), and treat the case that divides by zero",
                    )


def ends_are_told_apart(subject: Subject) -> None:
    """`terminated` is an end by the game's rules, `truncated` a limit, never both, and an end carries its grades."""
    for walk in subject.walks:
        for turn, step in enumerate(walk.steps, 1):
            if wrong := _end_error(*step[2:]):
                raise Violation(
                    "terminated (an end by the game's own rules) or truncated (a limit), with success and score",
                    f"{wrong} {_at(walk, turn)}",
                    "return plain bools; limits of the task are the engine's: give them as max_turns; where the "
                    "environment itself gives up, return truncated with info['limit']",
                )
        _check_turn_limit(walk)


def brief_says_what_to_do(subject: Subject) -> None:
    """Reset's info carries a brief (several players: one each) with instructions, readable tools, limits and idle."""
    from arena.core.messages import Tool

    for walk in subject.walks:
        info = walk.first[1]
        briefs = info.get("briefs") or {"": info.get("brief")}
        if info.get("briefs") and info.get("player") not in briefs:
            raise _unbriefed(f"info['player'] is {info.get('player')!r}, the briefs are for {sorted(briefs)}")
        for brief in briefs.values():
            if not isinstance(brief, dict) or not str(brief.get("instructions", "")).strip():
                raise _unbriefed(f"brief = {shorten(repr(brief), 100)}")
            if not isinstance(brief.get("limits", {}), dict) or not isinstance(brief.get("idle", ""), str):
                raise _unbriefed(f"limits = {brief.get('limits')!r}, idle = {brief.get('idle')!r}")
            for tool in brief.get("tools", ()):
                Tool.model_validate(tool)


def _returned(subject: Subject) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for walk in subject.walks:
        yield _at(walk, 0), *walk.first
        for turn, (raw, _, _, _, info) in enumerate(walk.steps, 1):
            yield _at(walk, turn), raw, info


def _at(walk: Walk, turn: int) -> str:
    where = f"at turn {turn}" if turn else "at reset"
    return f"{where} of {walk.task.key} ({walk.kind})"


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _end_error(terminated: Any, truncated: Any, info: dict[str, Any]) -> str:
    if type(terminated) is not bool or type(truncated) is not bool:
        return f"the flags are {terminated!r} and {truncated!r}, not bools"
    if terminated and truncated:
        return "terminated and truncated are both true"
    if not terminated and not truncated:
        return ""
    if wrong := grading_error(info):
        return wrong
    if truncated and info["success"]:
        return "a success is reported as truncated"
    if truncated and not info.get("limit"):
        return "truncated without info['limit']: is it an end by the game's own rules"
    return ""


def _check_turn_limit(walk: Walk) -> None:
    """An environment that ends idle episodes exactly at the task's limit counts the limit itself."""
    limit = walk.task.max_turns
    if walk.kind != "idle" or limit is None or len(walk.steps) != limit or not walk.steps[-1][2]:
        return
    if not walk.steps[-1][4].get("success"):
        raise Violation(
            "the turn limit belongs to the task and is enforced by the engine alone",
            f"doing nothing is `terminated` exactly {_at(walk, limit)}, its max_turns",
            "do not count it in the environment; if it is a rule of the game, register a larger max_turns or none",
        )


def _unbriefed(found: str) -> Violation:
    return Violation(
        "reset's info carries a brief: {'instructions': non-empty text, 'tools': […], 'limits': {…}, 'idle': text}",
        found,
        "set `instructions` on the class or in _reset, or override `brief`",
    )
