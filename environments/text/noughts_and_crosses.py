"""Noughts and crosses (tic-tac-toe) for two players."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from arena.core.env import Env, RawObservation, StepResult
from arena.core.errors import UnknownName, UsageError
from arena.core.seeds import Split, derive
from arena.core.snapshots import StateSnapshots
from arena.core.task import Task
from arena.environments.text._tasks import each_instance_once

ID = "arena/NoughtsAndCrosses-v0"

_EMPTY = "." * 9
_OTHER = {"x": "o", "o": "x"}
_LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))
_ILLEGAL_ALLOWED = 2
_LONGEST = 100
_MOVE = re.compile(
    r"\W*(?:(?:i|my|move|is|play|mark|take|choose|place|put|an?|the|cell|square|position|in|on|to|at|x|o|number)\b\W*)*"
    r"([1-9])\W*",
    re.IGNORECASE,
)


@dataclass
class State:
    """Nine cells of ".", "x" or "o" by rows, who acts, and how many illegal moves in a row that player has made."""

    board: str
    player: str
    illegal: int


class NoughtsAndCrosses(StateSnapshots, Env):
    """Three in a row wins. "x" is the evaluated player: score 1 for a win, 0.5 for a draw, 0 for a loss.

    Rewards come at the end: 1 to the winner and -1 to the loser, 0 to both for a draw. A player who
    makes three illegal moves in a row loses.

    Args:
        opening: "winnable" starts from a drawn position with one or two moves each, from which x, to move,
            can force a win but not at once; "empty" starts from the empty board, a draw under best play.

    Raises:
        UsageError: another opening.
    """

    state_type = State
    state: State
    oracle_from: Literal["anywhere", "start"] = "anywhere"

    def __init__(self, opening: Literal["winnable", "empty"] = "winnable") -> None:
        if opening not in ("winnable", "empty"):
            raise UsageError(f"NoughtsAndCrosses takes opening='winnable' or 'empty', not {opening!r}.")
        self.opening = opening

    def brief_of(self, player: str) -> dict[str, Any]:
        """What `player` is told."""
        return {**self.brief(), "instructions": _INSTRUCTIONS.format(player=player, other=_OTHER[player])}

    def _reset(self, task: str | None) -> tuple[RawObservation, dict[str, Any]]:
        if task is not None:
            raise UnknownName("task", task, ())
        info: dict[str, Any] = {"briefs": {player: self.brief_of(player) for player in _OTHER}}
        board = _EMPTY
        if self.opening == "winnable":
            board = self.draw(_generate, _class_of)
            info["instance"] = f"{derive('NoughtsAndCrosses', board):016x}"
        self.state = State(board, "x", 0)
        return f"You play x.\n\n{drawn(board)}", info | self._next()

    def _next(self) -> dict[str, Any]:
        state = self.state
        return {"player": state.player, "state_key": f"{state.board}{state.player}{state.illegal}"}

    def _step(self, action: str) -> StepResult:
        state, player = self.state, self.state.player
        cell = _read(action)
        if cell is None:
            return self._illegal("That is not a move.")
        if state.board[cell] != ".":
            return self._illegal(f"Cell {cell + 1} is taken.")
        state.board = state.board[:cell] + player + state.board[cell + 1 :]
        state.player, state.illegal = _OTHER[player], 0
        winner, full = winner_of(state.board), "." not in state.board
        moved = f"{player} played {cell + 1}."
        if winner is None and not full:
            text = f"{moved}\n\n{drawn(state.board)}"
            info = {"valid": True, "executed": str(cell + 1), "rewards": {"x": 0.0, "o": 0.0}} | self._next()
            return text, 0.0, False, False, info
        verdict = "It is a draw." if winner is None else f"{winner} wins."
        return self._over(f"{moved} {verdict}", winner, {"valid": True, "executed": str(cell + 1)})

    def _illegal(self, wrong: str) -> StepResult:
        state = self.state
        state.illegal += 1
        free = ", ".join(self.legal_actions())
        error = f"{wrong} Reply with the number of a free cell: {free}."
        info: dict[str, Any] = {"valid": False, "error": error}
        if state.illegal > _ILLEGAL_ALLOWED:
            lost = f"{wrong} {state.player} has made three illegal moves in a row and loses."
            return self._over(lost, _OTHER[state.player], info)
        text = f"{error}\n\n{drawn(state.board)}"
        return text, 0.0, False, False, info | {"rewards": {"x": 0.0, "o": 0.0}} | self._next()

    def _over(self, text: str, winner: str | None, info: dict[str, Any]) -> StepResult:
        rewards = {player: 0.0 if winner is None else 1.0 if player == winner else -1.0 for player in _OTHER}
        scores = {player: (reward + 1) / 2 for player, reward in rewards.items()}
        info |= {"rewards": rewards, "scores": scores, "success": winner == "x", "score": scores["x"]} | self._next()
        return f"{text}\n\n{drawn(self.state.board)}", rewards["x"], True, False, info

    def _conclude(self, reason: str) -> tuple[float, dict[str, Any]]:
        return 0.0, {"success": False, "score": 0.0, "scores": {"x": 0.0, "o": 0.0}}

    def legal_actions(self) -> Sequence[str]:
        """The free cells."""
        return [str(i + 1) for i, mark in enumerate(self.state.board) if mark == "."]

    def oracle_action(self) -> str:
        """The best move of whoever acts: the quickest forced win, else a draw, else the slowest loss."""
        return str(best_cell(self.state.board, self.state.player) + 1)


def tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """Tasks that show every opening of the split before repeating one (180 to train on, 92 to evaluate on)."""
    if NoughtsAndCrosses(**params).opening == "empty":
        raise UsageError("The empty board is one task, in no split: name a seed instead of a split.")
    yield from each_instance_once(ID, split, seed, params, MAX_TURNS)


MAX_TURNS = 27
"""Nine cells, each after at most two illegal moves."""

_INSTRUCTIONS = """\
You play noughts and crosses against another player. You are {player}; the other player is {other}; x moves first.
Three of your marks in a row, column or diagonal win. A board without free cells and without a row of three is a draw.
The board shows the marks, and the numbers of the free cells. Reply with the number of the cell you mark.
Three illegal moves in a row lose the game."""


def drawn(board: str) -> str:
    """The board as text; a free cell shows its number."""
    cells = [mark if mark != "." else str(i + 1) for i, mark in enumerate(board)]
    return "\n---+---+---\n".join(" " + " | ".join(cells[i : i + 3]) for i in (0, 3, 6))


def winner_of(board: str) -> str | None:
    """The player with three in a row."""
    for a, b, c in _LINES:
        if board[a] != "." and board[a] == board[b] == board[c]:
            return board[a]
    return None


@cache
def value(board: str, player: str) -> int:
    """Worth of a position to the player who acts: positive for a win, more for a quicker one; 0 for a draw."""
    free = board.count(".")
    if winner_of(board) is not None:
        return -1 - free
    return max((-value(after, _OTHER[player]) for _, after in _moves(board, player)), default=0)


@cache
def best_cell(board: str, player: str) -> int:
    """The cell of the best move, the first of several."""
    return max(_moves(board, player), key=lambda move: -value(move[1], _OTHER[player]))[0]


@cache
def openings() -> tuple[str, ...]:
    """All boards with one or two marks of each player from which x, to move, wins by force, but not at once."""
    found = []
    for each in (1, 2):
        for xs in itertools.combinations(range(9), each):
            for os in itertools.combinations(sorted(set(range(9)) - set(xs)), each):
                board = "".join("x" if i in xs else "o" if i in os else "." for i in range(9))
                wins_at_once = any(winner_of(after) for _, after in _moves(board, "x"))
                if value(board, "x") > 0 and not wins_at_once:
                    found.append(board)
    return tuple(found)


def _moves(board: str, player: str) -> list[tuple[int, str]]:
    return [(i, board[:i] + player + board[i + 1 :]) for i, mark in enumerate(board) if mark == "."]


def _generate(generator: np.random.Generator) -> str:
    boards = openings()
    return boards[int(generator.integers(len(boards)))]


@cache
def _class_of(board: str) -> str:
    """Names a board up to rotation and reflection, so that no evaluated position is a trained one turned round."""
    turned = [board]
    for _ in range(3):
        turned.append("".join(turned[-1][i] for i in (6, 3, 0, 7, 4, 1, 8, 5, 2)))
    mirrored = ["".join(b[i] for i in (2, 1, 0, 5, 4, 3, 8, 7, 6)) for b in turned]
    return f"{derive('NoughtsAndCrosses', min(turned + mirrored)):016x}"


def _read(action: str) -> int | None:
    """The index of the cell named, or None where the text names none."""
    found = _MOVE.fullmatch(action) if len(action) <= _LONGEST else None
    return None if found is None else int(found[1]) - 1
