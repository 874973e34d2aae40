"""Environments. Importing this package makes the built-in ones known and imports none of them."""

from arena.core.registry import register, register_suites

register_suites("arena.environments.text")

register(
    "arena/GuessNumber-v0",
    "arena.environments.text.guess_number:GuessNumber",
    summary="Guess a number; each guess is answered by higher or lower.",
    max_turns=14,
    source="arena.environments.text.guess_number:tasks",
    suite="guess-number",
)
register(
    "arena/LightsOut-v0",
    "arena.environments.text.lights_out:LightsOut",
    summary="Turn all lights off; a press switches a light and its neighbours. Draws its board.",
    max_turns=18,
    source="arena.environments.text.lights_out:tasks",
    suite="lights-out",
)
register(
    "arena/NoughtsAndCrosses-v0",
    "arena.environments.text.noughts_and_crosses:NoughtsAndCrosses",
    summary="Noughts and crosses (tic-tac-toe) for two players, from positions that x can win.",
    max_turns=27,
    source="arena.environments.text.noughts_and_crosses:tasks",
    suite="noughts-and-crosses",
)
