"""Ways to play an episode without a model: exploring, repeating, doing nothing, following the oracle."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from arena.core import seeds
from arena.core.checks._trace import Played, Seen
from arena.core.env import LegalActions, Oracle, ability
from arena.core.task import Task

END_OF_PATIENCE = 500
"""Turns after which a proof is concluded where the task sets no limit."""

Step = tuple[Any, Any, Any, Any, dict[str, Any]]
"""observation, reward, terminated, truncated, info: exactly as returned"""

Choose = Callable[[Any, dict[str, Any]], str]
"""(observation, info) -> action"""


def start(env: Any, task: Task) -> tuple[Any, dict[str, Any]]:
    """Begin the task's episode."""
    observation, info = env.reset(seed=task.seed, options={"task": task.name} if task.name is not None else None)
    return observation, info


def conclude(env: Any, reason: str = "turns") -> tuple[Any, dict[str, Any]]:
    """End the episode from outside, through any wrapper."""
    reward, info = env.get_wrapper_attr("conclude")(reason)
    return reward, info


def steps(env: Any, observation: Any, info: dict[str, Any], choose: Choose, limit: int) -> Iterator[tuple[str, Step]]:
    """Play on until the episode ends or the limit is reached."""
    for _ in range(limit):
        action = choose(observation, info)
        result: Step = env.step(action)
        yield action, result
        observation, _, terminated, truncated, info = result
        if terminated or truncated:
            return


def explorer(env: Any, *salt: object, nonsense: float = 0.1) -> Choose:
    """Random legal actions (words just observed, where the environment lists none), and some nonsense."""
    draw = random.Random(seeds.derive("check", *salt))

    def choose(observation: Any, info: dict[str, Any]) -> str:
        if draw.random() < nonsense:
            return draw.choice(("", "xyzzy", "look around", '{"a": [1}', "7", "élan 🙂"))
        listed = ability(env, LegalActions)
        legal = list(listed.legal_actions()) if listed is not None else []
        if legal:
            return draw.choice(legal)
        words = str(observation["text"] if isinstance(observation, dict) else observation).split() or ["go"]
        return " ".join(draw.choice(words) for _ in range(draw.randint(1, 2)))

    return choose


def explore(env: Any, task: Task, turns: int, *salt: object, nonsense: float = 0.1) -> Played:
    """Begin the task and explore; the same salt makes the same choices as long as the environment does too."""
    observation, info = start(env, task)
    seen, actions = [Seen.of(observation, info)], []
    choose = explorer(env, task.key, *salt, nonsense=nonsense)
    for action, (raw, reward, terminated, truncated, after) in steps(env, observation, info, choose, turns):
        actions.append(action)
        seen.append(Seen.of(raw, after, reward, terminated, truncated))
    return Played(tuple(actions), tuple(seen))


def repeat(env: Any, task: Task, actions: Sequence[str], between: Callable[[], None] | None = None) -> tuple[Seen, ...]:
    """Begin the task and take the given actions, with something else happening before each of them."""
    observation, info = start(env, task)
    return (Seen.of(observation, info), *proceed(env, actions, between))


def proceed(env: Any, actions: Sequence[str], between: Callable[[], None] | None = None) -> Iterator[Seen]:
    """Take the given actions in an episode that runs, up to its end."""
    for action in actions:
        if between is not None:
            between()
        raw, reward, terminated, truncated, info = env.step(action)
        yield Seen.of(raw, info, reward, terminated, truncated)
        if terminated or truncated:
            return


def evaluated(info: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The evaluated player and its brief, from reset's info."""
    briefs = info.get("briefs")
    if briefs:
        player = next(iter(briefs))
        return player, briefs[player]
    return info.get("player", "agent"), info.get("brief", {})


def mind(env: Any, info: dict[str, Any], kind: Literal["oracle", "idle"], task: Task) -> Choose:
    """The evaluated player follows the oracle or does nothing; other players act by seeded random legal actions."""
    player, brief = evaluated(info)
    oracle = ability(env, Oracle)
    other = explorer(env, "opponent", task.key, nonsense=0.0)

    def choose(observation: Any, now: dict[str, Any]) -> str:
        if now.get("player", player) != player:
            return other(observation, now)
        if kind == "oracle" and oracle is not None:
            return oracle.oracle_action()
        return str(brief.get("idle", ""))

    return choose


def proof(env: Any, task: Task, kind: Literal["oracle", "idle"]) -> tuple[float, int]:
    """Play a whole task.

    Returns:
        The score, and after how many turns.
    """
    observation, info = start(env, task)
    choose = mind(env, info, kind, task)
    turns, ended = 0, False
    for _, result in steps(env, observation, info, choose, task.max_turns or END_OF_PATIENCE):
        turns, ended, info = turns + 1, bool(result[2] or result[3]), result[4]
    if not ended:
        _, info = conclude(env)
    return float(info["score"]), turns
