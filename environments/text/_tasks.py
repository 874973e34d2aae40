"""A task source for games with few instances: every instance of a split once before any of them twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from arena.core import registry
from arena.core.seeds import Split, task_seeds
from arena.core.task import Task

_PATIENCE = 20


def each_instance_once(
    env: str, split: Split, seed: int, params: Mapping[str, Any], max_turns: int | None
) -> Iterator[Task]:
    """Tasks without end, in rounds; within a round no two have the same `instance`.

    A plain run of seeds would repeat itself long before it has shown a small split: 40 draws from 40
    instances show about 25 of them. A round is over when 20 times as many draws as it has tasks
    brought nothing new.
    """
    game = registry.make_raw(env, **params)
    seen: set[str] = set()
    repeats = 0
    for candidate in task_seeds(split, seed):
        _, info = game.reset(seed=candidate)
        if info["instance"] in seen:
            repeats += 1
            if repeats <= _PATIENCE * len(seen):
                continue
            seen.clear()
        repeats = 0
        seen.add(info["instance"])
        yield Task(env, candidate, params, None, max_turns)
