"""Grids for the mazes: LMRL-Gym's two fixed ones, and generated ones of any size.

A grid is a tuple of rows, `#` a wall and `.` a free square, with walls all around. A square is known by
(row, column), counted from 0 at the top left, outer walls included; in graphs by row * width + column.
"""

from __future__ import annotations

import numpy as np

from arena.environments.text._graph import distances

Grid = tuple[str, ...]
Square = tuple[int, int]

LAYOUTS: dict[str, tuple[Grid, Square]] = {
    "double_t": (
        (
            "#############",
            "#.....#.....#",
            "###.#####.###",
            "###.#####.###",
            "###.#####.###",
            "###.......###",
            "######.######",
            "######.######",
            "######.######",
            "#############",
        ),
        (8, 6),
    ),
    "umaze": (("#####", "#...#", "#.#.#", "#.#.#", "#####"), (3, 3)),
}
"""LMRL-Gym's mazes with their goals; the larger one is the double T maze of mazelab."""


def steps_to(grid: Grid, goal: Square) -> dict[int, int]:
    """Steps to the goal from every square that reaches it, nearest first."""
    width = len(grid[0])
    free = {r * width + c for r, row in enumerate(grid) for c, square in enumerate(row) if square == "."}
    moves = (1, -1, -width, width)
    return distances(
        goal[0] * width + goal[1], lambda square: [square + move for move in moves if square + move in free]
    )


def carve(size: int, walls: float, generator: np.random.Generator) -> Grid:
    """A random maze in which every free square reaches every other, in time proportional to its squares.

    First a tree is dug: from its newest end, or the last one that can still go on, to a square that no
    other part of it touches. Then each inner wall beside a free square is taken down with
    probability 1 - `walls`, which opens loops.

    Args:
        size: squares per side, without the outer walls.
        walls: share of the inner walls that stay, in [0, 1]; 1 leaves one path between any two squares.
        generator: where the randomness comes from.
    """
    width = size + 2
    squares = width * width
    wall = bytearray(b"\x01") * squares
    border = bytearray(squares)
    border[:width] = border[-width:] = b"\x01" * width
    border[::width] = border[width - 1 :: width] = b"\x01" * width
    row, column = generator.integers(1, size + 1, 2).tolist()
    orders = generator.integers(0, len(_ORDERS), squares).tolist()
    offsets = (1, -1, -width, width)
    start = row * width + column
    wall[start] = 0
    path = [start]
    while path:
        here = path[-1]
        for direction in _ORDERS[orders[here]]:
            there = here + offsets[direction]
            if not border[there] and wall[there]:
                around = wall[there + 1] + wall[there - 1] + wall[there - width] + wall[there + width]
                if around == 3:
                    wall[there] = 0
                    path.append(there)
                    break
        else:
            path.pop()
    if walls < 1:
        for square, chance in enumerate(generator.random(squares).tolist()):
            if wall[square] and not border[square] and chance >= walls:
                around = wall[square + 1] + wall[square - 1] + wall[square - width] + wall[square + width]
                wall[square] = around == 4
    text = wall.translate(_LETTERS).decode()
    return tuple(text[r : r + width] for r in range(0, squares, width))


_ORDERS = tuple(
    (a, b, c, d) for a in range(4) for b in range(4) for c in range(4) for d in range(4) if len({a, b, c, d}) == 4
)
_LETTERS = bytes([ord("."), ord("#"), *range(2, 256)])
