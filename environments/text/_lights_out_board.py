"""The board of Lights Out: what a press does, how to solve it, and how to draw it.

A board of n by n lights is a vector over GF(2), as an int whose bit i is light i, by rows. Presses
commute and undo themselves, so a solution is a set of lights x with A x = b, where column i of A is
what pressing light i switches.
"""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np

_CELL = 20
_MARGIN = 14
_BACKGROUND = (255, 255, 255)
_INK = (20, 20, 20)
_LINE = (120, 120, 120)
_ON = (255, 210, 40)
_OFF = (45, 50, 70)
_GLYPHS = {
    1: ("010", "110", "010", "010", "111"),
    2: ("111", "001", "111", "100", "111"),
    3: ("111", "001", "111", "001", "111"),
    4: ("101", "101", "111", "001", "001"),
    5: ("111", "100", "111", "001", "111"),
    6: ("111", "100", "111", "101", "111"),
    7: ("111", "001", "010", "010", "010"),
}


@cache
def presses_of(size: int) -> tuple[int, ...]:
    """What pressing each light switches, as bits: itself and its neighbours."""
    masks = []
    for row, column in itertools.product(range(size), repeat=2):
        near = [(row, column), (row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        masks.append(sum(1 << r * size + c for r, c in near if 0 <= r < size and 0 <= c < size))
    return tuple(masks)


@cache
def _solver(size: int) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """Gaussian elimination, once per size.

    Returns:
        (lights, presses) pairs in echelon form, where pressing `presses` switches exactly `lights`, and all
        sets of presses that switch nothing.
    """
    echelon: list[tuple[int, int]] = []
    kernel: list[int] = []
    for cell, switched in enumerate(presses_of(size)):
        lights, presses = switched, 1 << cell
        for pivot_lights, pivot_presses in echelon:
            if lights ^ pivot_lights < lights:
                lights, presses = lights ^ pivot_lights, presses ^ pivot_presses
        if lights:
            echelon.append((lights, presses))
            echelon.sort(reverse=True)
        else:
            kernel.append(presses)
    silent = [0]
    for presses in kernel:
        silent += [presses ^ other for other in silent]
    return tuple(echelon), tuple(silent)


def shortest_solution(lights: str, size: int) -> list[int]:
    """The fewest lights to press to turn all off, as indices in order; empty for a dark board.

    Args:
        lights: "0" or "1" per light, by rows; a board that presses of a dark one can make.
        size: rows and columns.
    """
    rest, solution = sum(1 << i for i, light in enumerate(lights) if light == "1"), 0
    echelon, silent = _solver(size)
    for pivot_lights, pivot_presses in echelon:
        if rest ^ pivot_lights < rest:
            rest, solution = rest ^ pivot_lights, solution ^ pivot_presses
    best = min((solution ^ nothing for nothing in silent), key=lambda presses: (presses.bit_count(), presses))
    return [i for i in range(size * size) if best >> i & 1]


def draw_board(lights: str, size: int) -> np.ndarray:
    """The board with numbered rows and columns.

    Returns:
        uint8 array of shape (height, width, 3), height = width = 14 + 20 size + 1.
    """
    image = _frame(size).copy()
    for cell, light in enumerate(lights):
        if light == "1":
            row, column = divmod(cell, size)
            top, left = _MARGIN + row * _CELL + 2, _MARGIN + column * _CELL + 2
            image[top : top + _CELL - 3, left : left + _CELL - 3] = _ON
    return image


@cache
def _frame(size: int) -> np.ndarray:
    """The image of a dark board."""
    length = _MARGIN + _CELL * size + 1
    image = np.full((length, length, 3), _BACKGROUND, dtype=np.uint8)
    image[_MARGIN:, _MARGIN:] = _LINE
    for i in range(size):
        glyph = np.kron([[int(bit) for bit in row] for row in _GLYPHS[i + 1]], np.ones((2, 2), dtype=int)).astype(bool)
        start = _MARGIN + i * _CELL
        image[2:12, start + 7 : start + 13][glyph] = _INK
        image[start + 5 : start + 15, 4:10][glyph] = _INK
        for j in range(size):
            left = _MARGIN + j * _CELL
            image[start + 2 : start + _CELL - 1, left + 2 : left + _CELL - 1] = _OFF
    return image
