"""Lights Out: pressing a light switches it and its neighbours; turn all of them off. The board is drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from arena.core.env import Env, RawObservation, StepResult
from arena.core.errors import UnknownName, UsageError
from arena.core.messages import Tool
from arena.core.seeds import Split, derive
from arena.core.snapshots import StateSnapshots
from arena.core.spaces import TextImage
from arena.core.task import Task
from arena.environments.text._lights_out_board import draw_board, presses_of, shortest_solution
from arena.environments.text._tasks import each_instance_once

ID = "arena/LightsOut-v0"

_SMALLEST, _LARGEST = 2, 7
_LONGEST = 100
_PRESS = re.compile(
    r"\W*(?:press\b)?\W*(?:row\b)?\W*([1-9])\b\W*(?:and\b)?\W*(?:col(?:umn)?\b)?\W*([1-9])\W*", re.IGNORECASE
)


@dataclass
class State:
    """The lights as a string of "0" and "1" by rows."""

    lights: str


class LightsOut(StateSnapshots, Env):
    """Turn all lights off. The observation is a text and an image of the board; reward 1 when all are off.

    Every board can be solved: it is made by pressing lights of a dark one. A press is given as a row
    and a column ("press 2 3", "2 3") or as a call of the tool `press`.

    Args:
        size: rows and columns, 2 to 7.
        presses: how many different lights were pressed to make the board; by default any number.
        describe: whether the text shows the board too, so that a model without eyes can play.

    Raises:
        UsageError: a size or number of presses that cannot be.
    """

    state_type = State
    state: State
    observation_space = TextImage()
    oracle_from: Literal["anywhere", "start"] = "anywhere"

    def __init__(self, size: int = 3, presses: int | None = None, describe: bool = True) -> None:
        if not _SMALLEST <= size <= _LARGEST:
            raise UsageError(f"LightsOut takes a size from {_SMALLEST} to {_LARGEST}, not {size}.")
        if presses is not None and not 1 <= presses <= size * size:
            raise UsageError(f"LightsOut of size {size} takes 1 to {size * size} presses, not {presses}.")
        self.size, self.presses, self.describe = size, presses, describe
        self._actions = tuple(f"press {r} {c}" for r in range(1, size + 1) for c in range(1, size + 1))
        seen = "The text shows the board too: # is a light that is on, . one that is off.\n" if describe else ""
        self.instructions = _INSTRUCTIONS.format(size=size, seen=seen)
        self.tools = (_press_tool(size),)

    def _reset(self, task: str | None) -> tuple[RawObservation, dict[str, Any]]:
        if task is not None:
            raise UnknownName("task", task, ())
        lights = self.draw(self._generate, self._digest)
        self.state = State(lights)
        observation = self._observation("Turn all lights off.")
        return observation, {"instance": self._digest(lights), "state_key": lights}

    def _generate(self, generator: np.random.Generator) -> str:
        cells = self.size * self.size
        while True:
            if self.presses is None:
                pressed = generator.integers(0, 2, cells).nonzero()[0].tolist()
            else:
                pressed = generator.permutation(cells)[: self.presses].tolist()
            lights = 0
            for cell in pressed:
                lights ^= presses_of(self.size)[cell]
            if lights:
                return "".join("1" if lights >> cell & 1 else "0" for cell in range(cells))

    def _digest(self, lights: str) -> str:
        return f"{derive('LightsOut', lights):016x}"

    def _observation(self, text: str) -> dict[str, Any]:
        if self.describe:
            text = f"{text}\n\n{self._described()}"
        return {"text": text, "image": draw_board(self.state.lights, self.size)}

    def _described(self) -> str:
        size, shown = self.size, self.state.lights.replace("1", "#").replace("0", ".")
        head = "  " + " ".join(str(column + 1) for column in range(size))
        rows = [f"{row + 1} " + " ".join(shown[row * size : (row + 1) * size]) for row in range(size)]
        return "\n".join([head, *rows])

    def _refuse(self, error: str) -> RawObservation:
        return self._observation(error)

    def _step(self, action: str) -> StepResult:
        state, size = self.state, self.size
        found = _PRESS.fullmatch(action) if len(action) <= _LONGEST else None
        row, column = (int(found[1]), int(found[2])) if found else (0, 0)
        if not (1 <= row <= size and 1 <= column <= size):
            error = f"Reply with a row and a column from 1 to {size}, such as: press 1 {size}"
            return (
                self._observation(error),
                0.0,
                False,
                False,
                {"valid": False, "error": error, "state_key": state.lights},
            )
        pressed = presses_of(size)[(row - 1) * size + column - 1]
        switched = ["10"[int(light)] if pressed >> i & 1 else light for i, light in enumerate(state.lights)]
        state.lights = "".join(switched)
        solved = "1" not in state.lights
        text = "All lights are off." if solved else f"You pressed row {row}, column {column}."
        info = {"valid": True, "executed": f"press {row} {column}", "state_key": state.lights, "success": solved}
        return self._observation(text), float(solved), solved, False, info

    def legal_actions(self) -> Sequence[str]:
        """Every light can be pressed at any time."""
        return self._actions

    def oracle_action(self) -> str:
        """The first press of a shortest solution."""
        return self._actions[shortest_solution(self.state.lights, self.size)[0]]


def tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """Tasks that show every board of the split before repeating one; twice as many turns as there are lights."""
    yield from each_instance_once(ID, split, seed, params, 2 * LightsOut(**params).size ** 2)


_INSTRUCTIONS = """\
A board of {size} by {size} lights, some of them on. Turn all lights off.
Pressing a light switches it and the lights directly above, below, left and right of it: on becomes off, off becomes on.
The image shows the board: a yellow light is on, a dark one off. Rows are numbered from the top, columns from the left.
{seen}Reply with the row and the column of one light, such as: press 1 {size}"""


def _press_tool(size: int) -> Tool:
    number = {"type": "integer", "minimum": 1, "maximum": size}
    parameters = {
        "type": "object",
        "properties": {"row": number, "column": number},
        "required": ["row", "column"],
        "additionalProperties": False,
    }
    return Tool(name="press", description="Press one light.", parameters=parameters, template="press {row} {column}")
