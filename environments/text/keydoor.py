"""A house with a locked door: the key must be fetched many steps before it is of any use.

A test bed for credit assignment. The only reward comes with the door; what earned it, taking the
right key and keeping it, lies `length` steps or more before. States recur: across episodes of one task, and
within an episode whenever one walks in a circle.
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
from arena.environments.text._rooms import COLOURS, MOST_ROOMS, OPPOSITE, House, build

_LONGEST_ACTION = 100
_OPEN = "open door"
_LOOK = "look"


@dataclass
class State:
    """The house, the room one is in, the colour of the key one carries ("" for none) and where the others lie."""

    instance: str
    house: House
    room: int
    carried: str
    keys: dict[str, int]


def _tool(name: str, description: str, template: str, **values: Sequence[str]) -> Tool:
    properties = {key: {"type": "string", "enum": list(choices)} for key, choices in values.items()}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return Tool(name=name, description=description, parameters=parameters, template=template)


class KeyDoor(StateSnapshots, Env):
    """Find the key that fits, carry it to the door at the end of the corridor and open it.

    Actions: `go north`, `take red key`, `open door`, `look`. One can carry a single key: taking another leaves
    the first behind. A key fits the door of its own colour, which the rules tell. Reward 1 when the door
    opens, 0 before.

    Args:
        length: the corridor has `length` + 1 rooms; the right key lies exactly `length` steps from the door.
        branching: side rooms of each room of the corridor: 0, 1 or 2.
        keys: how many keys there are, from 1 to 8; all but one are of no use.

    Raises:
        UsageError: a value out of range, or more than 400 rooms.
    """

    state_type = State
    state: State
    oracle_from: Literal["anywhere", "start"] = "anywhere"
    idle = _LOOK
    tools = (
        _tool("go", "Go to the next room in a direction.", "go {direction}", direction=tuple(OPPOSITE)),
        _tool("take", "Take a key; one that you carry already is left behind.", "take {colour} key", colour=COLOURS),
        _tool("open", "Open the door with the key that you carry.", _OPEN),
        _tool("look", "Look around.", _LOOK),
    )

    def __init__(self, length: int = 4, branching: int = 1, keys: int = 3) -> None:
        if length < 1 or branching not in (0, 1, 2) or not 1 <= keys <= len(COLOURS):
            found = f"length={length!r}, branching={branching!r}, keys={keys!r}"
            raise UsageError(
                f"KeyDoor takes length >= 1, branching 0, 1 or 2 and 1 to {len(COLOURS)} keys, not {found}."
            )
        if _rooms(length, branching) > MOST_ROOMS:
            raise UsageError(f"KeyDoor has at most {MOST_ROOMS} rooms, not {_rooms(length, branching)}.")
        self.length = length
        self.branching = branching
        self.keys = keys
        self._steps: dict[int, dict[int, int]] = {}
        self._steps_of = ""

    def _reset(self, task: str | None) -> tuple[RawObservation, dict[str, Any]]:
        if task is not None:
            raise UnknownName("task", task, ())
        house = self.draw(self._generate, _name_house)
        self.state = State(_name_house(house), house, house.start, "", dict(house.keys))
        self.instructions = (
            f"You are in a house. At the end of a corridor is a locked {house.colour} door; open it. Only the "
            f"{house.colour} key fits, and you can carry one key at a time: taking another leaves the first behind. "
            "Each turn, reply with one action and nothing else: go DIRECTION, take COLOUR key, open door, or look."
        )
        return self._describe(), {"instance": self.state.instance, "state_key": self._key()}

    def _generate(self, generator: np.random.Generator) -> House:
        return build(self.length, self.branching, self.keys, generator)

    def _step(self, action: str) -> StepResult:
        text = " ".join(action.split()).lower() if len(action) <= _LONGEST_ACTION else ""
        verb, _, rest = text.partition(" ")
        if text == _LOOK:
            return self._did(text, self._describe())
        if text == _OPEN:
            return self._open()
        if verb == "go" and rest in OPPOSITE:
            return self._go(rest)
        if verb == "take" and rest.removesuffix(" key") in COLOURS:
            return self._take(rest.removesuffix(" key"))
        return self._refused(
            f"{shorten(action, 40)!r} is no action. The actions are: go DIRECTION, take COLOUR key, open door, look."
        )

    def _go(self, direction: str) -> StepResult:
        state = self.state
        exits = state.house.exits[state.room]
        if direction not in exits:
            return self._refused(f"You cannot go {direction} from here.")
        state.room = exits[direction]
        return self._did(f"go {direction}", self._describe())

    def _take(self, colour: str) -> StepResult:
        state = self.state
        if state.carried == colour:
            return self._refused(f"You carry the {colour} key already.")
        if state.keys.get(colour) != state.room:
            return self._refused(f"There is no {colour} key here.")
        left = ""
        if state.carried:
            state.keys[state.carried] = state.room
            left = f" and leave the {state.carried} key here"
        del state.keys[colour]
        state.carried = colour
        return self._did(f"take {colour} key", f"You take the {colour} key{left}.\n{self._describe()}")

    def _open(self) -> StepResult:
        state = self.state
        house = state.house
        if state.room != house.door:
            return self._refused("There is no door here.")
        if state.carried == house.colour:
            info = {"valid": True, "executed": _OPEN, "state_key": f"{self._key()}/open", "success": True}
            return f"The {house.colour} key turns and the door opens. You are out.", 1.0, True, False, info
        why = f"the {state.carried} key does not fit" if state.carried else "you carry no key"
        return self._did(_OPEN, f"The {house.colour} door stays shut: {why}.\n{self._describe()}")

    def _did(self, executed: str, text: str) -> StepResult:
        return text, 0.0, False, False, {"valid": True, "executed": executed, "state_key": self._key()}

    def _refused(self, error: str) -> StepResult:
        info = {"valid": False, "error": error, "state_key": self._key()}
        return f"{error}\n{self._describe()}", 0.0, False, False, info

    def _describe(self) -> str:
        state = self.state
        house = state.house
        here = [f"a {colour} key" for colour in self._keys_here()]
        if state.room == house.door:
            here.append(f"a locked {house.colour} door")
        seen = f" You see {' and '.join(here)}." if here else ""
        carried = f"the {state.carried} key" if state.carried else "nothing"
        exits = ", ".join(house.exits[state.room])
        return f"You are in the {house.names[state.room]}.{seen} Exits: {exits}. You carry {carried}."

    def _keys_here(self) -> list[str]:
        """Colours in an order that does not depend on what happened to the keys: equal states read alike."""
        state = self.state
        return [colour for colour in state.house.keys if state.keys.get(colour) == state.room]

    def _key(self) -> str:
        """Names the state: where one is, what one carries and where every other key lies."""
        state = self.state
        keys = ",".join([f"{colour}:{state.keys[colour]}" for colour in state.house.keys if colour in state.keys])
        return f"{state.instance}/{state.room}/{state.carried}/{keys}"

    def legal_actions(self) -> Sequence[str]:
        """The exits, the keys that lie here, and the door where there is one."""
        state = self.state
        actions = [f"go {direction}" for direction in state.house.exits[state.room]]
        actions += [f"take {colour} key" for colour in self._keys_here()]
        if state.room == state.house.door:
            actions.append(_OPEN)
        return actions

    def oracle_action(self) -> str:
        """The next action of a shortest solution."""
        state = self.state
        house = state.house
        target = house.door if state.carried == house.colour else state.keys[house.colour]
        if state.room == target:
            return _OPEN if state.carried == house.colour else f"take {house.colour} key"
        if self._steps_of != state.instance:
            self._steps, self._steps_of = {}, state.instance
        if target not in self._steps:
            self._steps[target] = house.steps_to(target)
        steps = self._steps[target]
        exits = house.exits[state.room]
        return f"go {min(exits, key=lambda direction: steps[exits[direction]])}"


def tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """Tasks whose turn limit lets one see the whole house and still fetch the key and open the door."""
    game = KeyDoor(**params)
    limit = 4 * _rooms(game.length, game.branching) + 4
    return (Task("arena/KeyDoor-v0", candidate, params, None, limit) for candidate in task_seeds(split, seed))


def _rooms(length: int, branching: int) -> int:
    return (length + 1) * (1 + branching)


def _name_house(house: House) -> str:
    return f"{derive('KeyDoor', house):016x}"
