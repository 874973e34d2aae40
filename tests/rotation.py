"""Which tenth of a large parameter list runs today: `make test` stays short and nothing is left out for long."""

from __future__ import annotations

import datetime
import os
import random
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def rotation() -> int | None:
    """The number of this rotation: `ARENA_ROTATION`, else the day; None (`ARENA_FULL=1`) where everything runs."""
    if os.environ.get("ARENA_FULL") == "1":
        return None
    return int(os.environ.get("ARENA_ROTATION") or datetime.date.today().toordinal())


def rotating(items: Iterable[T], share: int = 10) -> list[T]:
    """One in `share` of the items, in their order; `share` rotations in a row cover every item.

    Meant for `@pytest.mark.parametrize("task", rotating(all_tasks))`.
    """
    items = list(items)
    number = rotation()
    if number is None or not items:
        return items
    shuffled = list(range(len(items)))
    random.Random(len(items)).shuffle(shuffled)
    parts = min(share, len(items))
    return [items[index] for index in sorted(shuffled[number % parts :: parts])]
