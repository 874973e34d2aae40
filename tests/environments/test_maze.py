"""Maze and MazePartial."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import arena
from arena.core.errors import UnknownName, UsageError
from arena.core.tools import canonical
from arena.environments.text._mazes import LAYOUTS, carve, steps_to

MAZE, PARTIAL = "arena/Maze-v0", "arena/MazePartial-v0"


def standing(row, column, env_id=MAZE, layout="double_t", **params):
    """An environment in which one stands on a square."""
    env = arena.make(env_id, layout=layout, **params).unwrapped
    env.reset(seed=1)
    env.state.position = (row, column)
    return env


@pytest.mark.parametrize(
    ("row", "column", "action", "position", "walls"),
    [
        (6, 6, "move up", "5, 6", "There is a wall above you."),
        (1, 9, "move down", "2, 9", "There are walls to your right, to your left."),
        (1, 9, "move right", "1, 1 0", "There are walls above you, below you."),
        (1, 10, "move right", "1, 1 1", "There are walls to your right, above you, below you."),
        (1, 1, "move up", "1, 1", "There are walls to your left, above you, below you."),
    ],
)
def test_observations_are_lmrl_gyms_to_the_letter(row, column, action, position, walls):
    observation, reward, terminated, truncated, _ = standing(row, column).step(action)
    assert observation == f"The goal is at position 8, 6. Your current position is at position {position}. {walls}\n"
    assert (reward, terminated, truncated) == (-1.0, False, False)


def test_a_square_without_walls_says_so():
    env = arena.make(MAZE, size=5, walls=0.0).unwrapped
    env.reset(seed=1)
    env.state.grid = ("#######", *["#.....#"] * 5, "#######")
    env.state.goal, env.state.position = (1, 1), (3, 2)
    assert env.step("move right")[0].endswith("at position 3, 3. There are no walls near you.\n")


def test_the_partial_maze_tells_only_the_walls():
    env = standing(6, 6, PARTIAL)
    assert env.step("move up")[0] == "There is a wall above you.\n"
    assert env.step("move left")[0] == "There are walls above you, below you.\n"


@pytest.mark.parametrize("action", ["move down\n", "move down", "  Move Down "])
def test_reaching_the_goal_is_success(action):
    observation, reward, terminated, truncated, info = standing(7, 6).step(action)
    assert (observation, reward, terminated, truncated) == ("Success\n", 0.0, True, False)
    assert (info["success"], info["score"], info["executed"]) == (True, 1.0, "move down")


def test_running_out_of_turns_is_lmrl_gyms_failure():
    reward, info = standing(1, 1).conclude("turns")
    assert (reward, info["verdict"], info["score"]) == (0.0, "Failure\n", 0.0)


@pytest.mark.parametrize(
    ("reward", "goal", "move", "illegal"),
    [("standard", 0.0, -1.0, -4.0), ("illegal_penalty", 1.0, 0.0, -1.0), ("diff_scale", 1.0, -1.0, -100.0)],
)
def test_rewards_are_lmrl_gyms(reward, goal, move, illegal):
    env = standing(7, 6, reward=reward)
    assert env.step("move left")[1] == move  # against a wall
    before = env._describe()
    observation, got, *_, info = env.step("go home")
    assert (observation, got, info["valid"]) == (before, illegal, False)
    assert "move left, move right, move up, move down" in info["error"]
    assert env.step("move down")[1] == goal


def test_the_layouts_are_lmrl_gyms():
    grid, goal = LAYOUTS["double_t"]
    assert (len(grid), len(grid[0]), goal) == (10, 13, (8, 6))
    assert {divmod(square, 13) for square in steps_to(grid, goal)} == {
        *[(1, c) for c in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11)],
        *[(r, c) for r in (2, 3, 4) for c in (3, 9)],
        *[(5, c) for c in range(3, 10)],
        *[(r, 6) for r in (6, 7, 8)],
    }
    grid, goal = LAYOUTS["umaze"]
    assert (grid, goal) == (("#####", "#...#", "#.#.#", "#.#.#", "#####"), (3, 3))


def test_layout_tasks_have_lmrl_gyms_limit_and_generated_ones_grow_with_size():
    assert {task.max_turns for task in arena.tasks(MAZE, params={"layout": "double_t"})} == {100}
    assert {task.max_turns for task in arena.tasks(PARTIAL, params={"size": 10})} == {200}


@pytest.mark.parametrize(("size", "walls"), [*itertools.product([2, 3, 6, 7, 20], [0.0, 0.5, 1.0])])
def test_generated_mazes_are_closed_connected_and_as_dense_as_asked(size, walls):
    for seed in range(10):
        grid = carve(size, walls, np.random.default_rng(seed))
        assert {len(row) for row in grid} == {len(grid)} == {size + 2}
        border = grid[0] + grid[-1] + "".join(row[0] + row[-1] for row in grid)
        assert set(border) == {"#"}
        free = [(r, c) for r, row in enumerate(grid) for c, square in enumerate(row) if square == "."]
        assert len(steps_to(grid, free[0])) == len(free)
        doors = sum(grid[r][c + 1] == "." for r, c in free) + sum(grid[r + 1][c] == "." for r, c in free)
        if walls == 1.0:
            assert doors == len(free) - 1  # a tree: one path between any two squares
        if walls == 0.0:
            assert len(free) >= 0.9 * size**2


def test_the_start_is_far_enough_from_the_goal():
    env = arena.make(MAZE, size=8, distance=10).unwrapped
    for seed in range(30):
        env.reset(seed=seed)
        steps = steps_to(env.state.grid, env.state.goal)
        start = env.state.position[0] * 10 + env.state.position[1]
        assert steps[start] >= 10 or steps[start] == max(steps.values())


def test_the_oracle_takes_a_shortest_path_from_anywhere():
    env = arena.make(MAZE, size=8, walls=0.3).unwrapped
    for seed in range(10):
        env.reset(seed=seed)
        for action in ("move left", "move up", "move up"):
            env.step(action)
        if env._phase == "ended":
            continue
        row, column = env.state.position
        steps = steps_to(env.state.grid, env.state.goal)[row * 10 + column]
        ends = [env.step(env.oracle_action())[2] for _ in range(steps)]
        assert ends == [False] * (steps - 1) + [True]


def test_a_large_maze_is_made_and_played():
    env = arena.make(MAZE, size=101).unwrapped
    observation, _ = env.reset(seed=2**31)
    assert observation.startswith("The goal is at position")
    assert env.step(env.oracle_action())[4]["valid"]


@pytest.mark.parametrize(
    "params", [{"size": 1}, {"size": 10**6}, {"size": 5.5}, {"walls": 1.5}, {"walls": -0.1}, {"distance": 0}]
)
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match="maze takes"):
        arena.make(MAZE, **params)


def test_unknown_names_are_refused_with_what_was_probably_meant():
    with pytest.raises(UnknownName, match="double_t"):
        arena.make(MAZE, layout="double_maze")
    with pytest.raises(UnknownName, match="standard"):
        arena.make(MAZE, reward="standart")
    with pytest.raises(UnknownName):
        arena.make(MAZE).reset(seed=1, options={"task": "umaze"})


def test_the_move_tool_walks_several_squares_in_one_action_and_stops_at_the_goal():
    three = canonical([("move", {"direction": "down"})] * 3)
    observation, reward, terminated, _, info = standing(6, 6).step(three)
    assert terminated
    assert reward == -1.0
    assert observation.endswith("Success\n")
    assert info["executed"] == "move down\nmove down"
