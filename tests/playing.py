"""Episodes that tests play to their ends."""

from __future__ import annotations

from typing import Any

from arena.core.env import Oracle, ability


def oracle_and_idle(env: Any, task: str) -> list[dict[str, Any]]:
    """What the last turn says of the oracle's episode, and of one in which nothing is done but handing in."""
    oracle = ability(env, Oracle)
    assert oracle is not None
    found = []
    for action in (oracle.oracle_action, lambda: "submit"):
        env.reset(seed=2**31, options={"task": task})
        ended = False
        while not ended:
            _, _, ended, _, info = env.step(action())
        found.append(info)
    return found
