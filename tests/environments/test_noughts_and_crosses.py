from __future__ import annotations

import itertools

import numpy as np
import pytest

from arena.core import registry
from arena.core.errors import UsageError
from arena.environments.text.noughts_and_crosses import (
    NoughtsAndCrosses,
    best_cell,
    openings,
    value,
    winner_of,
)


def at(board: str, player: str = "x") -> NoughtsAndCrosses:
    env = NoughtsAndCrosses()
    env.reset(seed=7)
    env.state.board, env.state.player = board, player
    return env


def test_each_player_is_briefed_and_the_evaluated_one_comes_first() -> None:
    _, info = NoughtsAndCrosses().reset(seed=7)
    assert list(info["briefs"]) == ["x", "o"]
    assert all(f"You are {player};" in brief["instructions"] for player, brief in info["briefs"].items())
    assert "brief" not in info
    assert info["player"] == "x"


def test_players_take_turns_and_see_what_the_other_did() -> None:
    env = at("x...o....")
    observation, reward, terminated, _, info = env.step("9")
    assert observation == "x played 9.\n\n x | 2 | 3\n---+---+---\n 4 | o | 6\n---+---+---\n 7 | 8 | x"
    assert (reward, terminated, info["player"], info["rewards"]) == (0.0, False, "o", {"x": 0.0, "o": 0.0})


@pytest.mark.parametrize(
    "action", ["5", "I play 5.", "cell 5", "place x in square 5", " 5\n", "My move is 5!", "**5**"]
)
def test_a_move_is_understood(action: str) -> None:
    assert at("." * 9).step(action)[4]["executed"] == "5"


def test_an_illegal_move_is_answered_and_the_same_player_acts_again() -> None:
    env = at("x...o....")
    observation, _, terminated, _, info = env.step("1")
    assert str(observation).startswith("Cell 1 is taken. Reply with the number of a free cell: 2, 3, 4, 6, 7, 8, 9.")
    assert (info["valid"], info["player"], terminated) == (False, "x", False)
    env.step("5")
    env.step("2")
    assert env.state.illegal == 0, "a legal move did not forgive the illegal ones before it"


@pytest.mark.parametrize(("player", "score"), [("x", 0.0), ("o", 1.0)])
def test_three_illegal_moves_in_a_row_lose(player: str, score: float) -> None:
    env = at("x...o....", player)
    assert [env.step("")[2] for _ in range(2)] == [False, False]
    _, reward, terminated, _, info = env.step("")
    assert (terminated, info["score"], reward) == (True, score, 2 * score - 1)
    assert info["scores"] == {"x": score, "o": 1 - score}


def test_win_draw_and_loss_are_scored_for_both() -> None:
    won = at("xx.oo....").step("3")[4]
    assert (won["success"], won["score"], won["rewards"]) == (True, 1.0, {"x": 1.0, "o": -1.0})
    lost = at("xx.oo...x", "o").step("6")[4]
    assert (lost["success"], lost["score"], lost["scores"]) == (False, 0.0, {"x": 0.0, "o": 1.0})
    drawn = at("xoxxoooxx"[:8] + ".").step("9")[4]
    assert (drawn["success"], drawn["score"], drawn["rewards"]) == (False, 0.5, {"x": 0.0, "o": 0.0})


def test_an_unfinished_game_earns_nothing() -> None:
    _, info = at("x...o....").conclude("turns")
    assert (info["score"], info["scores"]) == (0.0, {"x": 0.0, "o": 0.0})


def test_openings_are_won_by_force_but_not_at_once() -> None:
    boards = openings()
    assert len(boards) == len(set(boards)) == 272
    for board in boards:
        assert board.count("x") == board.count("o")
        assert value(board, "x") > 0
        assert winner_of(board) is None
        after = [board[:i] + "x" + board[i + 1 :] for i in range(9) if board[i] == "."]
        assert not any(map(winner_of, after))


def test_oracle_beats_every_defence() -> None:
    """Plays every reply of o to the oracle's x, in every opening."""
    for opening in openings():
        waiting = [opening]
        while waiting:
            board = waiting.pop()
            cell = best_cell(board, "x")
            board = board[:cell] + "x" + board[cell + 1 :]
            if winner_of(board) == "x":
                continue
            replies = [board[:i] + "o" + board[i + 1 :] for i in range(9) if board[i] == "."]
            assert replies, opening
            assert not any(winner_of(reply) for reply in replies), opening
            waiting += replies


def test_oracle_never_loses_from_the_empty_board() -> None:
    generator = np.random.default_rng(0)
    for oracle, _ in itertools.product("xo", range(50)):
        env = NoughtsAndCrosses(opening="empty")
        env.reset(seed=0)
        terminated = False
        while not terminated:
            action = env.oracle_action() if env.state.player == oracle else generator.choice(env.legal_actions())
            _, _, terminated, _, info = env.step(str(action))
        assert info["scores"][oracle] >= 0.5


def test_two_oracles_draw_from_the_empty_board() -> None:
    env = NoughtsAndCrosses(opening="empty")
    _, info = env.reset(seed=0)
    assert "instance" not in info
    while not env.step(env.oracle_action())[2]:
        pass
    assert winner_of(env.state.board) is None


def test_no_evaluated_opening_is_a_trained_one_turned_round() -> None:
    from arena.core.seeds import EVAL_SEEDS
    from arena.environments.text.noughts_and_crosses import _class_of

    classes = []
    for start in (0, EVAL_SEEDS):
        env = NoughtsAndCrosses()
        found = set()
        for seed in range(500):
            env.reset(seed=start + seed)
            found.add(_class_of(env.state.board))
        classes.append(found)
    assert not classes[0] & classes[1]
    assert [len(found) for found in classes] == [26, 12]


def test_the_empty_board_has_no_splits_and_other_openings_do_not_exist() -> None:
    with pytest.raises(UsageError, match="no split"):
        registry.tasks("arena/NoughtsAndCrosses-v0", "eval", 1, 0, {"opening": "empty"})
    with pytest.raises(UsageError, match="'winnable' or 'empty'"):
        NoughtsAndCrosses(opening="full")  # type: ignore[arg-type]
