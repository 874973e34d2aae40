"""Mazes in LMRL-Gym's words and rewards (Abdulhai et al., 2023, https://arxiv.org/abs/2311.18232).

`Maze` tells the goal, the position and the walls next to it; `MazePartial` only the walls. Beside
LMRL-Gym's two layouts there are generated mazes of any size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from arena.core.env import Env, RawObservation, StepResult
from arena.core.errors import UnknownName, UsageError
from arena.core.messages import Tool
from arena.core.seeds import Split, derive, task_seeds
from arena.core.snapshots import StateSnapshots
from arena.core.task import Task
from arena.core.text import shorten
from arena.environments.text._mazes import LAYOUTS, Grid, Square, carve, steps_to
from arena.environments.text._tasks import each_instance_once

Layout = Literal["generated", "double_t", "umaze"]
Reward = Literal["standard", "illegal_penalty", "diff_scale"]

REWARDS: dict[str, tuple[float, float, float]] = {
    "standard": (0.0, -1.0, -4.0),
    "illegal_penalty": (1.0, 0.0, -1.0),
    "diff_scale": (1.0, -1.0, -100.0),
}
"""name -> reward at the goal, of any other move, of an action that is no move (LMRL-Gym's functions)"""

MOVES: dict[str, Square] = {"move left": (0, -1), "move right": (0, 1), "move up": (-1, 0), "move down": (1, 0)}

_LAYOUT_TURNS = 100
_LARGEST = 200
_LONGEST_ACTION = 100
_SIDES = (("to your right", 0, 1), ("to your left", 0, -1), ("above you", -1, 0), ("below you", 1, 0))


@dataclass
class State:
    """The maze, where its goal is and where one stands."""

    instance: str
    grid: tuple[str, ...]
    goal: tuple[int, int]
    position: tuple[int, int]


class Maze(StateSnapshots, Env):
    """Walk to a goal; one is told the goal's position, one's own and the walls next to it.

    Actions are `move left`, `move right`, `move up` and `move down`. A move against a wall is legal
    and goes nowhere. Anything else is answered by the same observation and its own reward. As
    every position is told as `row, column` with spaces between the digits, 10 reads `1 0`.

    Args:
        layout: `generated`, or LMRL-Gym's `double_t` (10 x 13, goal at 8, 6) and `umaze` (5 x 5, goal at
            3, 3), of which an instance is a start position.
        size: squares per side of a generated maze, outer walls not counted.
        walls: share of a generated maze's inner walls that stay, in [0, 1]; 1 leaves a single path between
            two squares, 0 hardly any wall.
        distance: steps from start to goal, at least; a generated maze with no square that far off starts at
            one that is farthest. By default `size` for generated mazes, else 1.
        reward: `standard`, `illegal_penalty` or `diff_scale`; see `REWARDS`.

    Raises:
        UsageError: a value out of range.
    """

    state_type = State
    state: State
    oracle_from: Literal["anywhere", "start"] = "anywhere"
    tools = (
        Tool(
            name="move",
            description="Go one square in a direction.",
            parameters={
                "type": "object",
                "properties": {"direction": {"type": "string", "enum": ["left", "right", "up", "down"]}},
                "required": ["direction"],
            },
            template="move {direction}",
        ),
    )
    told = (
        "A position is a row, counted from the top, and a column, counted from the left, with spaces between the "
        "digits of a number. Each observation tells you the goal's position, your own, and on which of your four "
        "sides there is a wall."
    )

    def __init__(
        self,
        layout: Layout = "generated",
        size: int = 6,
        walls: float = 0.8,
        distance: int | None = None,
        reward: Reward = "standard",
    ) -> None:
        _check(layout, size, walls, distance, reward)
        self.layout = layout
        self.size = size
        self.walls = float(walls)
        self.distance = distance if distance is not None else size if layout == "generated" else 1
        self._at_goal, self._moved, self._illegal = REWARDS[reward]
        self._steps: dict[int, int] = {}
        self._steps_of = ""
        self.instructions = (
            f"You are in a maze and look for the goal. {self.told} Each turn, reply with one move and nothing else: "
            "move left, move right, move up or move down."
        )

    def _reset(self, task: str | None) -> tuple[RawObservation, dict[str, Any]]:
        if task is not None:
            raise UnknownName("task", task, ())
        self.state = self.draw(self._generate, lambda state: state.instance)
        return self._describe(), {"instance": self.state.instance, "state_key": self._key()}

    def _generate(self, generator: np.random.Generator) -> State:
        if self.layout == "generated":
            grid = carve(self.size, self.walls, generator)
            free = [(r, c) for r, row in enumerate(grid) for c, square in enumerate(row) if square == "."]
            goal = free[int(generator.integers(len(free)))]
        else:
            grid, goal = LAYOUTS[self.layout]
        steps = steps_to(grid, goal)
        least = min(self.distance, max(steps.values()))
        far = [square for square, count in steps.items() if count >= max(least, 1)]
        start = divmod(far[int(generator.integers(len(far)))], len(grid[0]))
        return State(f"{derive('Maze', grid, goal, start):016x}", grid, goal, start)

    def _step(self, action: str) -> StepResult:
        state = self.state
        text = action.strip().lower() if len(action) <= _LONGEST_ACTION else ""
        move = MOVES.get(text)
        if move is None:
            error = f"{shorten(action, 40)!r} is no move. The moves are {', '.join(MOVES)}."
            info: dict[str, Any] = {"valid": False, "error": error, "state_key": self._key()}
            return self._describe(), self._illegal, False, False, info
        row, column = state.position[0] + move[0], state.position[1] + move[1]
        if state.grid[row][column] != "#":
            state.position = (row, column)
        info = {"valid": True, "executed": text, "state_key": self._key()}
        if state.position == state.goal:
            info["success"] = True
            return "Success\n", self._at_goal, True, False, info
        return self._describe(), self._moved, False, False, info

    def _conclude(self, reason: str) -> tuple[float, dict[str, Any]]:
        return 0.0, {"success": False, "verdict": "Failure\n"}

    def _describe(self) -> str:
        state = self.state
        (row, column), (goal_row, goal_column) = state.position, state.goal
        return (
            f"The goal is at position {_digits(goal_row)}, {_digits(goal_column)}. Your current position is at "
            f"position {_digits(row)}, {_digits(column)}. {_walls(state.grid, row, column)}\n"
        )

    def _key(self) -> str:
        state = self.state
        return f"{state.instance}/{state.position[0]},{state.position[1]}"

    def legal_actions(self) -> Sequence[str]:
        """The four moves, those against a wall included."""
        return tuple(MOVES)

    def oracle_action(self) -> str:
        """The first move of a shortest path."""
        state = self.state
        if self._steps_of != state.instance:
            self._steps, self._steps_of = steps_to(state.grid, state.goal), state.instance
        steps = self._steps
        width = len(state.grid[0])
        row, column = state.position

        def after(move: str) -> float:
            down, right = MOVES[move]
            return steps.get((row + down) * width + column + right, float("inf"))

        return min(MOVES, key=after)


class MazePartial(Maze):
    """`Maze` told only the walls next to one: where one is must be worked out from the moves made.

    Args:
        layout, size, walls, distance, reward: as for `Maze`.
    """

    told = "Each observation tells you only on which of your four sides there is a wall."

    def _describe(self) -> str:
        state = self.state
        return _walls(state.grid, *state.position) + "\n"


def maze_tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """Tasks of `Maze`, with a turn limit that its layout or size sets."""
    return _tasks("arena/Maze-v0", Maze(**params), split, seed, params)


def partial_tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """Tasks of `MazePartial`; as `maze_tasks`."""
    return _tasks("arena/MazePartial-v0", MazePartial(**params), split, seed, params)


def _tasks(env: str, maze: Maze, split: Split, seed: int, params: dict[str, Any]) -> Iterator[Task]:
    if maze.layout != "generated":
        return each_instance_once(env, split, seed, params, _LAYOUT_TURNS)
    # Walking every passage of a tree to its end and back takes fewer moves than this.
    limit = max(20, 2 * maze.size**2)
    return (Task(env, candidate, params, None, limit) for candidate in task_seeds(split, seed))


def _check(layout: str, size: int, walls: float, distance: int | None, reward: str) -> None:
    if layout not in ("generated", *LAYOUTS):
        raise UnknownName("layout", layout, ("generated", *LAYOUTS))
    if reward not in REWARDS:
        raise UnknownName("reward", reward, REWARDS)
    if not isinstance(size, int) or not 2 <= size <= _LARGEST:
        raise UsageError(f"A maze takes a whole number from 2 to {_LARGEST} as its size, not {size!r}.")
    if not 0 <= walls <= 1:
        raise UsageError(f"A maze takes a share of walls from 0 to 1, not {walls}.")
    if distance is not None and distance < 1:
        raise UsageError(f"A maze takes a distance >= 1, not {distance}.")


def _digits(number: int) -> str:
    return str(number) if number < 10 else " ".join(str(number))


def _walls(grid: Grid, row: int, column: int) -> str:
    sides = [side for side, down, right in _SIDES if grid[row + down][column + right] == "#"]
    if not sides:
        return "There are no walls near you."
    if len(sides) == 1:
        return f"There is a wall {sides[0]}."
    return f"There are walls {', '.join(sides)}."
