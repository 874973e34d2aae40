"""textarena: bare steps per second of a game, and with its default wrappers. Runs in the peer's environment."""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from games import BRACKETED, CELLS, NUMBERS

SECONDS = 1.0
ROUNDS = 5


def make(game):
    """The environment of a game, its number of players, and its actions."""
    import textarena

    if game.startswith("number"):
        # Registered with ten turns; twenty are what the others play.
        env = textarena.make("GuessTheNumber-v0" if game == "number-wrapped" else "GuessTheNumber-v0-raw", max_turns=20)
        return env, 1, [BRACKETED % number for number in NUMBERS]
    return textarena.make("TicTacToe-v0-raw"), 2, [BRACKETED % cell for cell in CELLS]


def steps_per_second(env, players, actions):
    """As in `benchmarks/steps.py`; what is observed has to be asked for."""
    steps, begun = 0, time.process_time()
    while time.process_time() - begun < SECONDS:
        env.reset(num_players=players)
        env.get_observation()
        for action in actions:
            steps += 1
            done, _ = env.step(action)
            if done:
                break
            env.get_observation()
    return steps / (time.process_time() - begun)


def main():
    """Print the figure as JSON."""
    env, players, actions = make(sys.argv[1])
    found = max(steps_per_second(env, players, actions) for _ in range(ROUNDS))
    print(json.dumps({"steps_per_second": found}))


if __name__ == "__main__":
    main()
