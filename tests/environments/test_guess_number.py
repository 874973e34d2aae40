from __future__ import annotations

import pytest

from arena.core.errors import UsageError
from arena.environments.text.guess_number import GuessNumber


def begun(number: int, **params: int) -> GuessNumber:
    env = GuessNumber(**params)
    env.reset(seed=0)
    env.state.number = number
    return env


@pytest.mark.parametrize(
    "action",
    [
        "42",
        "Is it 42?",
        "guess 42",
        "I guess 42.",
        "My guess is: 42",
        "  42\n",
        "**42**",
        "The number is 42!",
        "it's 42",
    ],
)
def test_a_guess_is_understood_with_words_around_it(action: str) -> None:
    observation, reward, terminated, _, info = begun(42).step(action)
    assert (observation, reward, terminated) == ("Yes, it is 42.", 1.0, True)
    assert info["executed"] == "42"


@pytest.mark.parametrize(
    "action", ["Is it higher than 42?", "42 or 43", "4 2", "forty-two", "not 42", "42.5", "0", "101", "-42", "9" * 150]
)
def test_what_is_no_guess_in_the_range_costs_no_try(action: str) -> None:
    env = begun(42)
    observation, reward, terminated, _, info = env.step(action)
    assert (reward, terminated, info["valid"], env.state.tries) == (0.0, False, False, 7)
    assert "from 1 to 100" in str(observation)


def test_feedback_points_to_the_number_and_the_tries_run_out() -> None:
    env = begun(3, low=1, high=9, tries=2)
    assert env.step("5")[0] == "The number is lower than 5. 1 try left."
    observation, reward, terminated, _, info = env.step("1")
    assert observation == "The number is higher than 1. No tries left."
    assert (reward, terminated, info["score"]) == (0.0, True, 0.0)


@pytest.mark.parametrize("size", [2, 7, 8, 100, 1000])
def test_default_tries_are_just_enough_for_halving(size: int) -> None:
    env = GuessNumber(1, size)
    for number in range(1, size + 1):
        env.reset(seed=0)
        env.state.number = number
        most = 0
        while not env.step(env.oracle_action())[2]:
            most += 1
        assert env.state.low == number
        assert most < env.tries
    assert 2 ** (env.tries - 1) <= size


def test_oracle_wins_from_a_position_too_late_for_halving() -> None:
    env = begun(77)
    for _ in range(6):
        env.step("1")
    assert env.step(env.oracle_action())[4]["score"] == 1.0


@pytest.mark.parametrize("params", [{"low": 5, "high": 5}, {"high": 10**6}, {"tries": 0}])
def test_parameters_that_cannot_be_are_refused(params: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="GuessNumber takes"):
        GuessNumber(**params)
