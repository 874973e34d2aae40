"""One process of the TextWorld comparison: `arena/TWCustom-v0`, the library, and the library again as a control.

The control shows what the comparison itself cannot tell apart: two equal games that come out unequal.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import textworld

from arena.core.registry import make_raw
from arena.environments.text.textworld import _commands
from benchmarks._timing import best, cpu_seconds

ROUNDS = 10
COMMANDS = ("look", "inventory", "go north", "go east", "go south", "go west", "open door", "take lamp") * 12
"""Commands that do something, and some that do not."""


def main() -> None:
    """Print the three figures, in steps per second, as JSON."""
    env = make_raw("arena/TWCustom-v0", rooms=6)
    env.reset(seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the interpreter does not know the game by its name
        bare, control = (textworld.start(str(env._play.story), textworld.EnvInfos()) for _ in range(2))
    again = partial(env.reset, seed=1)
    _same_work(env, bare)
    times = best(
        partial(_time, again, env.step),
        partial(_time, bare.reset, bare.step),
        partial(_time, control.reset, control.step),
        rounds=ROUNDS,
    )
    print(json.dumps([len(COMMANDS) / seconds for seconds in times]))


def _time(reset: Callable[[], Any], step: Callable[[str], Any]) -> float:
    reset()
    return cpu_seconds(lambda: [step(command) for command in COMMANDS])


def _same_work(env: Any, bare: Any) -> None:
    """A side that refused a command, or whose game ended, would only look fast."""
    bare.reset()
    for command in COMMANDS:
        ours, _, ended, _, _ = env.step(command)
        state, _, done = bare.step(command)
        assert ours == _commands.shown(state["feedback"]), f"{command!r} is answered otherwise"
        assert not ended, "the game is over"
        assert not done, "the game is over"


if __name__ == "__main__":
    main()
