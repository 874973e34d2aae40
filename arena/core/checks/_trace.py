"""What an environment returned, in the form that is compared between two runs of the same actions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from arena.core.text import shorten


@dataclass(frozen=True, slots=True)
class Seen:
    """What one `reset`, `step` or `conclude` returned, as far as a replay compares it; plain JSON values."""

    text: str | None = None
    image: str | None = None
    reward: float | None = None
    terminated: bool = False
    truncated: bool = False
    success: bool | None = None
    score: float | None = None
    state_key: str | None = None
    valid: bool | None = None
    player: str | None = None

    @classmethod
    def of(
        cls, raw: Any, info: Mapping[str, Any], reward: Any = None, terminated: Any = False, truncated: Any = False
    ) -> Seen:
        """Read what was returned, however wrong its types are; those are another check's business."""
        image = raw.get("image") if isinstance(raw, Mapping) else None
        return cls(
            text=str(raw.get("text") if isinstance(raw, Mapping) else raw),
            image=None if image is None else _digest(image),
            reward=None if reward is None else float(reward),
            terminated=bool(terminated),
            truncated=bool(truncated),
            **{key: info.get(key) for key in ("success", "score", "state_key", "valid", "player")},
        )


def _digest(image: Any) -> str:
    array = np.ascontiguousarray(image)
    return f"{array.shape} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Played:
    """An episode: `seen[0]` is what `reset` returned, `seen[i + 1]` what `actions[i]` led to."""

    actions: tuple[str, ...]
    seen: tuple[Seen, ...]


def difference(expected: Sequence[Seen], found: Sequence[Seen], volatile: Mapping[str, str] | None = None) -> str:
    """Where two runs of the same actions first differ, in words; the empty string where they do not.

    Args:
        expected: the first run.
        found: the second run.
        volatile: patterns of text that may differ.
    """
    for turn, (one, other) in enumerate(zip(expected, found, strict=False)):
        for field in fields(Seen):
            left, right = getattr(one, field.name), getattr(other, field.name)
            if field.name == "text":
                left, right = _steady(left, volatile), _steady(right, volatile)
            if left != right and repr(left) != repr(right):  # NaN equals itself here
                where = f"at turn {turn}" if turn else "in what reset returned"
                return f"{where} the {field.name} is {_around(right, left)} instead of {_around(left, right)}"
    if len(expected) != len(found):
        return f"the episode takes {len(found) - 1} turns instead of {len(expected) - 1}"
    return ""


def _steady(text: str | None, volatile: Mapping[str, str] | None) -> str | None:
    for pattern in volatile or ():
        text = text if text is None else re.sub(pattern, "…", text)
    return text


def _around(value: Any, other: Any) -> str:
    """The value, a long text only from shortly before the place where it differs from the other."""
    if not isinstance(value, str) or not isinstance(other, str) or max(len(value), len(other)) < 100:
        return repr(value) if not isinstance(value, str) else repr(shorten(value, 100))
    start = next((i for i, (a, b) in enumerate(zip(value, other, strict=False)) if a != b), min(len(value), len(other)))
    start = max(0, start - 30)
    return f"{'…' if start else ''}{shorten(value[start : start + 90], 90)!r} ({len(value)} characters)"
