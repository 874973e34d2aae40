from __future__ import annotations

import itertools

import numpy as np
import pytest

from arena.core.errors import UsageError
from arena.core.spaces import TextImage
from arena.environments.text._lights_out_board import draw_board, presses_of, shortest_solution
from arena.environments.text.lights_out import LightsOut


@pytest.mark.parametrize("action", ["2 3", "press 2 3", "Press row 2, column 3.", "(2, 3)", "row 2 col 3", "2,3"])
def test_a_press_is_understood(action: str) -> None:
    env = LightsOut()
    env.reset(seed=1)
    assert env.step(action)[4]["executed"] == "press 2 3"


def test_a_press_switches_the_light_and_its_neighbours() -> None:
    env = LightsOut()
    env.reset(seed=1)
    env.state.lights = "1" * 9
    observation, *_ = env.step("press 1 1")
    assert env.state.lights == "001011111"
    assert isinstance(observation, dict)
    assert observation["text"].endswith("  1 2 3\n1 . . #\n2 . # #\n3 # # #")


def test_a_tool_call_plays_and_a_bad_one_is_answered_with_an_image() -> None:
    env = LightsOut()
    env.reset(seed=1)
    observation, _, _, _, info = env.step('[{"tool": "press", "arguments": {"row": 1, "column": 2}}]')
    assert (info["valid"], info["executed"]) == (True, "press 1 2")
    observation, _, _, _, info = env.step('[{"tool": "press", "arguments": {"row": 1}}]')
    assert info["valid"] is False
    assert TextImage().contains(observation)


def test_several_presses_are_one_action_that_ends_when_all_is_dark() -> None:
    env = LightsOut()
    env.reset(seed=1)
    env.state.lights = "110100000"
    call = '{"tool": "press", "arguments": {"row": 1, "column": 1}}'
    _, reward, terminated, _, info = env.step(f"[{call}, {call}]")
    assert (reward, terminated, len(info["results"])) == (1.0, True, 1)


def test_without_description_only_the_image_shows_the_board() -> None:
    seen, blind = LightsOut(describe=True), LightsOut(describe=False)
    one, two = seen.reset(seed=5)[0], blind.reset(seed=5)[0]
    assert isinstance(one, dict)
    assert isinstance(two, dict)
    assert (one["image"] == two["image"]).all()
    assert "#" in one["text"]
    assert two["text"] == "Turn all lights off."


def test_image_is_a_faithful_and_fresh_drawing() -> None:
    lights = "100000010"
    image = draw_board(lights, 3)
    assert (image.shape, image.dtype) == ((75, 75, 3), np.uint8)
    yellow = [tuple(image[14 + 20 * r + 10, 14 + 20 * c + 10]) == (255, 210, 40) for r in range(3) for c in range(3)]
    assert yellow == [light == "1" for light in lights]
    image[:] = 0
    assert draw_board(lights, 3).any(), "drawing over one image changed the next"


@pytest.mark.parametrize("size", [2, 3, 4])
def test_solutions_are_the_shortest(size: int) -> None:
    best: dict[int, int] = {}
    masks = presses_of(size)
    for presses in itertools.product((0, 1), repeat=min(size * size, 9)):
        lights = 0
        for mask, pressed in zip(masks, presses, strict=False):
            lights ^= mask * pressed
        best[lights] = min(sum(presses), best.get(lights, 99))
    for lights, fewest in best.items():
        solution = shortest_solution("".join("1" if lights >> i & 1 else "0" for i in range(size * size)), size)
        rest = lights
        for press in solution:
            rest ^= masks[press]
        assert rest == 0
        assert len(solution) <= fewest
        assert size == 4 or len(solution) == fewest


def test_presses_set_the_difficulty() -> None:
    env = LightsOut(size=5, presses=2)
    for seed in range(20):
        env.reset(seed=seed)
        assert 1 <= len(shortest_solution(env.state.lights, 5)) <= 2


@pytest.mark.parametrize("params", [{"size": 1}, {"size": 8}, {"presses": 0}, {"presses": 10}])
def test_parameters_that_cannot_be_are_refused(params: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="takes"):
        LightsOut(**params)


def test_image_survives_a_snapshot() -> None:
    env = LightsOut()
    env.reset(seed=3)
    image = env.step("press 2 2")[0]["image"].tolist()
    saved = env.snapshot()
    env.restore(saved)
    env.step("press 1 1")
    env.step("press 1 1")
    assert env.step("nothing")[0]["image"].tolist() == image
