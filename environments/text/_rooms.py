"""The room graphs of `KeyDoor`: a corridor with side rooms, a locked door at its end and keys in the rooms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arena.environments.text._graph import distances

COLOURS = ("red", "blue", "green", "yellow", "white", "black", "purple", "golden")

_QUALITIES = (
    *("bright", "cold", "crooked", "damp", "dim", "dusty", "empty", "grand", "hidden", "high"),
    *("long", "low", "narrow", "old", "painted", "quiet", "round", "small", "stone", "warm"),
)
_PLACES = (
    *("attic", "bedroom", "cellar", "chamber", "chapel", "closet", "den", "gallery", "hall", "kitchen"),
    *("larder", "library", "lounge", "nursery", "office", "parlour", "pantry", "stable", "studio", "workshop"),
)
MOST_ROOMS = len(_QUALITIES) * len(_PLACES)

_AHEAD = {"north": ("south", "east", "west"), "east": ("west", "north", "south")}
_AHEAD |= {"south": ("north", "west", "east"), "west": ("east", "south", "north")}
OPPOSITE = {ahead: behind for ahead, (behind, _, _) in _AHEAD.items()}


@dataclass
class House:
    """Rooms by number, with their names and exits (direction -> room), and where everything is at first.

    `keys` says for each colour in which room the key lies. Only the key of the door's colour opens it.
    """

    names: list[str]
    exits: list[dict[str, int]]
    door: int
    colour: str
    keys: dict[str, int]
    start: int

    def steps_to(self, room: int) -> dict[int, int]:
        """Steps from every room to one of them."""
        return distances(room, lambda here: self.exits[here].values())


def build(length: int, branching: int, keys: int, generator: np.random.Generator) -> House:
    """A random house.

    The corridor has `length` + 1 rooms, each with `branching` side rooms; the door is in its last room. The
    key that fits lies exactly `length` steps from there, the others and the start anywhere.
    """
    count = (length + 1) * (1 + branching)
    ahead = str(generator.choice(tuple(_AHEAD)))
    behind, *sides = _AHEAD[ahead]
    exits: list[dict[str, int]] = [{} for _ in range(count)]
    for room in range(length):
        exits[room][ahead] = room + 1
        exits[room + 1][behind] = room
    side_room = length + 1
    for room in range(length + 1):
        first = int(generator.integers(2))
        for branch in range(branching):
            direction = sides[(first + branch) % 2]
            exits[room][direction] = side_room
            exits[side_room][OPPOSITE[direction]] = room
            side_room += 1
    house = House(_name(count, generator), exits, length, "", {}, int(generator.integers(count)))
    colours = [COLOURS[i] for i in generator.permutation(len(COLOURS))[:keys]]
    house.colour = colours[0]
    far = [room for room, steps in house.steps_to(length).items() if steps == length]
    house.keys[house.colour] = far[int(generator.integers(len(far)))]
    for colour in colours[1:]:
        house.keys[colour] = int(generator.integers(count))
    house.keys = dict(sorted(house.keys.items()))
    return house


def _name(count: int, generator: np.random.Generator) -> list[str]:
    chosen = generator.permutation(MOST_ROOMS)[:count].tolist()
    return [f"{_QUALITIES[i // len(_PLACES)]} {_PLACES[i % len(_PLACES)]}" for i in chosen]
