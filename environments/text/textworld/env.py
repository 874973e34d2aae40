"""TextWorld's challenges as environments: coin collector, treasure hunter, the simple game, cooking, custom worlds.

Games are generated from the episode's seed, compiled by Inform 7 once (about a second) and kept in the
cache folder. The reward of a step is the share of the game's points that it earned, so an episode's
rewards sum to its score.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from arena.core.errors import UsageError
from arena.core.seeds import Split, task_seeds
from arena.core.task import Task
from arena.environments.text.textworld._base import TextWorld


class CoinCollector(TextWorld):
    """Find a coin at the end of a chain of rooms.

    Args:
        level: the number of rooms, from 1 to 100; the coin is `level` commands away.
    """

    challenge = "coin_collector"

    def __init__(self, level: int = 5) -> None:
        _in_range("level", level, 1, 100)
        super().__init__(level=level)


class TreasureHunter(TextWorld):
    """Find one thing in a maze and take it; taking the wrong thing loses the game.

    Args:
        level: 1 to 10: 5 rooms; 11 to 20: 10 rooms with closed doors and containers; 21 to 30: 20 rooms, some
            of them locked. Within each ten the thing gets farther away. From 26 on making a game takes long.
    """

    challenge = "treasure_hunter"

    def __init__(self, level: int = 5) -> None:
        _in_range("level", level, 1, 30)
        super().__init__(level=level)


class Simple(TextWorld):
    """Leave the bedroom, find a certain food and put it on the stove.

    Args:
        rewards: dense (points for each step of the solution), balanced, or sparse (one point at the end).
        goal: whether the opening tells the solution (detailed), the aim (brief) or nothing (none).
    """

    challenge = "simple"

    def __init__(
        self,
        rewards: Literal["dense", "balanced", "sparse"] = "dense",
        goal: Literal["detailed", "brief", "none"] = "detailed",
    ) -> None:
        _one_of("rewards", rewards, ("dense", "balanced", "sparse"))
        _one_of("goal", goal, ("detailed", "brief", "none"))
        if goal == "none":
            self.goal = "Nobody says what to do: look around and find out."
        super().__init__(rewards=rewards, goal=goal, test=False)


class Cooking(TextWorld):
    """Gather the ingredients of a recipe, prepare each as it says, then cook and eat the meal.

    The games of the First TextWorld Problems competition. A wrongly prepared ingredient loses the game.

    Args:
        recipe: number of ingredients, from 1 to 5.
        take: how many of them must be found.
        open: whether doors and containers are closed.
        cook: whether ingredients must be cooked.
        cut: whether ingredients must be cut.
        drop: whether one can carry only a few things.
        go: number of rooms: 1, 6, 9 or 12.
    """

    challenge = "cooking"
    more = ", cook THING with PLACE, chop / slice / dice THING with THING, prepare meal, eat THING"
    oracle_from: Literal["anywhere", "start"] = "start"

    def __init__(
        self,
        *,
        recipe: int = 1,
        take: int = 1,
        open: bool = False,
        cook: bool = False,
        cut: bool = False,
        drop: bool = False,
        go: int = 1,
    ) -> None:
        _in_range("recipe", recipe, 1, 5)
        _in_range("take", take, 0, recipe)
        _one_of("go", go, (1, 6, 9, 12))
        for name, value in (("open", open), ("cook", cook), ("cut", cut), ("drop", drop)):
            _one_of(name, value, (True, False))
        skills = {"open": bool(open), "cook": bool(cook), "cut": bool(cut), "drop": bool(drop)}
        super().__init__(recipe=recipe, take=take, go=go, **skills, recipe_seed=0, split=None)


class Custom(TextWorld):
    """A generated house with a generated quest.

    Args:
        rooms: from 1 to 30.
        objects: from 1 to 50; those that the quest needs come on top.
        quest_length: commands of the quest, from 1 to 20; a chain may come out shorter.
    """

    challenge = "custom"
    more = ", lock THING with KEY, eat THING"
    oracle_from: Literal["anywhere", "start"] = "start"

    def __init__(self, rooms: int = 5, objects: int = 10, quest_length: int = 5) -> None:
        _in_range("rooms", rooms, 1, 30)
        _in_range("objects", objects, 1, 50)
        _in_range("quest_length", quest_length, 1, 20)
        super().__init__(rooms=rooms, objects=objects, quest_length=quest_length)


def _in_range(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(f"{name} is a whole number from {low} to {high}, not {value!r}.")


def _one_of(name: str, value: Any, choices: Sequence[Any]) -> None:
    if value not in choices:
        raise UsageError(f"{name} is one of {', '.join(map(repr, choices))}, not {value!r}.")


def coin_collector_tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """Three times the way to the coin, and twenty turns to look around."""
    return _tasks("arena/TWCoinCollector-v0", split, seed, params, 20 + 3 * params.get("level", 5))


def treasure_hunter_tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """40, 80 or 160 turns for 5, 10 or 20 rooms."""
    rooms = 5 * 2 ** ((params.get("level", 5) - 1) // 10)
    return _tasks("arena/TWTreasureHunter-v0", split, seed, params, 8 * rooms)


def simple_tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """60 turns; 100 where the opening does not tell the solution."""
    limit = 60 if params.get("goal", "detailed") == "detailed" else 100
    return _tasks("arena/TWSimple-v0", split, seed, params, limit)


def cooking_tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """More turns for each ingredient and each room, from 50 to 185: about three times the way to the meal."""
    limit = 30 + 20 * params.get("recipe", 1) + 5 * (params.get("go", 1) - 1)
    return _tasks("arena/TWCooking-v0", split, seed, params, limit)


def custom_tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """Four turns for each room and each command of the quest, and twenty more."""
    limit = 20 + 4 * (params.get("rooms", 5) + params.get("quest_length", 5))
    return _tasks("arena/TWCustom-v0", split, seed, params, limit)


def _tasks(env: str, split: Split, seed: int, params: Mapping[str, Any], limit: int) -> Iterator[Task]:
    return (Task(env, candidate, params, None, limit) for candidate in task_seeds(split, seed))
