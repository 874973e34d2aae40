"""KeyDoor."""

from __future__ import annotations

import pytest

import arena
from arena.core.errors import UnknownName, UsageError
from arena.core.tools import canonical
from arena.environments.text._rooms import House
from arena.environments.text.keydoor import KeyDoor, State

KEYDOOR = "arena/KeyDoor-v0"


def three_rooms() -> KeyDoor:
    """A corridor of an old hall, a dim den and a cold attic, west to east; the red door is in the attic."""
    env = arena.make(KEYDOOR).unwrapped
    env.reset(seed=1)
    exits = [{"east": 1}, {"west": 0, "east": 2}, {"west": 1}]
    keys = {"blue": 1, "red": 0, "white": 1}
    house = House(["old hall", "dim den", "cold attic"], exits, 2, "red", keys, 1)
    env.state = State("three rooms", house, 1, "", dict(keys))
    return env


def test_a_game_word_for_word():
    env = three_rooms()
    hall, den, attic = "You are in the old hall.", "You are in the dim den.", "You are in the cold attic."
    script = [
        ("look", f"{den} You see a blue key and a white key. Exits: west, east. You carry nothing."),
        (
            "take blue key",
            f"You take the blue key.\n{den} You see a white key. Exits: west, east. You carry the blue key.",
        ),
        ("go east", f"{attic} You see a locked red door. Exits: west. You carry the blue key."),
        (
            "open door",
            "The red door stays shut: the blue key does not fit.\n"
            f"{attic} You see a locked red door. Exits: west. You carry the blue key.",
        ),
        ("go west", f"{den} You see a white key. Exits: west, east. You carry the blue key."),
        ("go west", f"{hall} You see a red key. Exits: east. You carry the blue key."),
        (
            "take red key",
            "You take the red key and leave the blue key here.\n"
            f"{hall} You see a blue key. Exits: east. You carry the red key.",
        ),
        ("go east", f"{den} You see a white key. Exits: west, east. You carry the red key."),
        ("Go  EAST\n", f"{attic} You see a locked red door. Exits: west. You carry the red key."),
    ]
    for action, expected in script:
        observation, reward, terminated, truncated, info = env.step(action)
        assert (observation, reward, terminated, truncated, info["valid"]) == (expected, 0.0, False, False, True)
    observation, reward, terminated, truncated, info = env.step("open door")
    assert (observation, reward, terminated, truncated) == (
        "The red key turns and the door opens. You are out.",
        1.0,
        True,
        False,
    )
    assert (info["success"], info["score"]) == (True, 1.0)


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ("go north", "You cannot go north from here."),
        ("take red key", "There is no red key here."),
        ("open door", "There is no door here."),
        ("take door", "'take door' is no action. The actions are: go DIRECTION, take COLOUR key, open door, look."),
        ("", "'' is no action. The actions are: go DIRECTION, take COLOUR key, open door, look."),
    ],
)
def test_what_cannot_be_done_is_answered_with_the_reason_and_changes_nothing(action, error):
    env = three_rooms()
    _, _, _, _, before = env.step("look")
    observation, reward, terminated, _, info = env.step(action)
    assert observation == f"{error}\n{env._describe()}"
    assert (reward, terminated, info["valid"], info["error"]) == (0.0, False, False, error)
    assert info["state_key"] == before["state_key"]


def test_a_key_carried_cannot_be_taken_again_and_the_door_needs_one():
    env = three_rooms()
    env.step("go east")
    assert env.step("open door")[0].startswith("The red door stays shut: you carry no key.")
    env.step("go west")
    env.step("take white key")
    assert env.step("take white key")[4]["error"] == "You carry the white key already."


def test_equal_states_have_equal_keys_and_observations_however_they_were_reached():
    direct, detour = three_rooms(), three_rooms()
    direct.step("take white key")
    for action in ("take blue key", "take white key", "go west", "go east"):
        detour.step(action)
    first, second = direct.step("look"), detour.step("look")
    assert first[4]["state_key"] == second[4]["state_key"]
    assert (
        first[0]
        == second[0]
        == "You are in the dim den. You see a blue key. Exits: west, east. You carry the white key."
    )
    detour.step("take blue key")
    assert detour.step("look")[4]["state_key"] != second[4]["state_key"]


def test_legal_actions_are_the_exits_the_keys_here_and_the_door():
    env = three_rooms()
    assert env.legal_actions() == ["go west", "go east", "take blue key", "take white key"]
    env.step("go east")
    assert env.legal_actions() == ["go west", "open door"]


@pytest.mark.parametrize(("length", "branching", "keys"), [(1, 0, 1), (4, 1, 3), (7, 2, 8), (99, 2, 4)])
def test_houses_are_as_asked_and_the_right_key_is_exactly_length_steps_away(length, branching, keys):
    env = arena.make(KEYDOOR, length=length, branching=branching, keys=keys).unwrapped
    for seed in range(10):
        env.reset(seed=seed)
        house = env.state.house
        assert len(house.names) == len(set(house.names)) == (length + 1) * (1 + branching)
        assert len(house.keys) == keys
        to_door = house.steps_to(house.door)
        assert len(to_door) == len(house.names)
        assert to_door[house.keys[house.colour]] == length
        assert sorted(map(len, house.exits))[-1] <= 2 + branching


def test_the_rules_name_the_door_of_this_episode():
    env = arena.make(KEYDOOR).unwrapped
    for seed in range(5):
        _, info = env.reset(seed=seed)
        assert f"a locked {env.state.house.colour} door" in info["brief"]["instructions"]


def test_the_oracle_finds_a_shortest_solution_even_with_the_wrong_key_in_hand():
    env = three_rooms()
    env.step("take blue key")
    actions = []
    while not actions or actions[-1] != "open door":
        actions.append(env.oracle_action())
        env.step(actions[-1])
    assert actions == ["go west", "take red key", "go east", "go east", "open door"]


def test_tools_stand_for_the_actions():
    env = three_rooms()
    calls = canonical([("take", {"colour": "blue"}), ("go", {"direction": "east"}), ("open", {})])
    assert env.step(calls)[4]["executed"] == "take blue key\ngo east\nopen door"
    assert env.step('[{"tool": "look"}]')[4]["executed"] == "look"


@pytest.mark.parametrize(
    "params", [{"length": 0}, {"branching": 3}, {"branching": -1}, {"keys": 0}, {"keys": 9}, {"length": 400}]
)
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match="KeyDoor"):
        arena.make(KEYDOOR, **params)


def test_named_tasks_are_refused():
    with pytest.raises(UnknownName):
        arena.make(KEYDOOR).reset(seed=1, options={"task": "attic"})


def test_the_turn_limit_lets_one_walk_through_every_room_first():
    (task,) = arena.tasks(KEYDOOR, n=1, params={"length": 9, "branching": 2})
    assert task.max_turns >= 2 * 30 + 9 + 2
