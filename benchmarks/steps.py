"""Bare steps per second: our games beside the same games of GEM and TextArena, TextWorld beside the bare library."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import resources
from typing import Any

import gymnasium

from arena.core.registry import make_raw
from benchmarks._peers import PINNED, PeerMissing, measure_peer
from benchmarks._report import Figure, Report
from benchmarks._timing import best
from benchmarks.games import CELLS, NUMBERS, WORDS, in_words
from benchmarks.harness import TURNS, Echo

SECONDS = 1.0
ROUNDS = 5
TEXTWORLD_PROCESSES = 7
TEXTWORLD_SHARE = 0.9


def steps_per_second(env: Any, actions: Sequence[str], seeded: bool = False) -> float:
    """Whole episodes with these actions, resets included."""
    steps, begun = 0, time.process_time()
    while time.process_time() - begun < SECONDS:
        for _ in range(20):
            env.reset(seed=steps) if seeded else env.reset()
            for action in actions:
                steps += 1
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    break
    return steps / (time.process_time() - begun)


def fastest(env: Any, actions: Sequence[str], seeded: bool = False, rounds: int = ROUNDS) -> float:
    """The best of some rounds."""
    return max(steps_per_second(env, actions, seeded) for _ in range(rounds))


def alone(what: str, env: Any, actions: Sequence[str]) -> Figure:
    """One of our games that no peer has."""
    return Figure(what, fastest(env, actions), "steps/s", more_is_better=True)


def against(what: str, env: Any, actions: Sequence[str], peer: str, script: str, *arguments: str) -> Figure:
    """One of our games beside a peer's, half of our rounds before its and half after."""
    seeded, half = "seeded" in arguments, ROUNDS // 2
    ours, theirs, note = fastest(env, actions, seeded, ROUNDS - half), None, ""
    try:
        theirs = measure_peer(peer, script, *arguments)["steps_per_second"]
    except PeerMissing as missing:
        note = f"{peer} has no figure: {missing}."
    ours = max(ours, fastest(env, actions, seeded, half))
    name = f"{peer} {PINNED[peer]}"
    return Figure(what, ours, "steps/s", more_is_better=True, peer=name, theirs=theirs, times=1.0, note=note)


def games() -> list[Figure]:
    """The native games."""
    words = str(resources.files("arena.environments.text").joinpath("words.txt"))
    number = make_raw("arena/GuessNumber-v0", low=1, high=20, tries=20)
    wordle = make_raw("arena/Wordle-v0")
    crosses = make_raw("arena/NoughtsAndCrosses-v0", opening="empty")
    moves = ["move left", "move up", "move right", "move down"] * 8
    cells = [str(cell + 1) for cell in CELLS]
    return [
        against("GuessTheNumber", number, NUMBERS, "gem-llm", "gem_steps", "number"),
        against("GuessTheNumber, in words", number, in_words(), "gem-llm", "gem_steps", "number-in-words"),
        against("GuessTheNumber, seeded", number, NUMBERS, "gem-llm", "gem_steps", "number", "seeded"),
        against("GuessTheNumber", number, NUMBERS, "textarena", "textarena_steps", "number"),
        against("GuessTheNumber, their wrappers", number, NUMBERS, "textarena", "textarena_steps", "number-wrapped"),
        against("Wordle", wordle, WORDS, "gem-llm", "gem_steps", "wordle", words),
        against("noughts and crosses", crosses, cells, "textarena", "textarena_steps", "crosses"),
        alone("Maze (a new one per 32 steps)", make_raw("arena/Maze-v0"), moves),
        alone("KeyDoor", make_raw("arena/KeyDoor-v0"), ["look", "go north", "go south"] * 10),
        alone("LightsOut (draws its board)", make_raw("arena/LightsOut-v0"), ["press 1 1", "press 2 3"] * 10),
    ]


class Bare(gymnasium.Env[str, str]):
    """What `benchmarks.harness.Echo` says, without Arena."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begin."""
        super().reset(seed=seed)
        self.turn = 0
        return "Turn 0: say something.", {"state_key": "0"}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Say it back."""
        self.turn += 1
        done = self.turn == TURNS
        info = {"valid": True, "state_key": str(self.turn), "success": done}
        return f"Turn {self.turn}: you said {action}", float(done), done, False, info


def contract() -> Figure:
    """What the contract costs an environment that does next to nothing."""
    actions = ["look around"] * TURNS
    ours, theirs = best(
        *[lambda env=env: 1 / steps_per_second(env, actions) for env in (Echo(), Bare())], rounds=ROUNDS
    )
    return Figure(
        "an environment that says what was said",
        1 / ours,
        "steps/s",
        more_is_better=True,
        peer=f"gymnasium {gymnasium.__version__}",
        theirs=1 / theirs,
    )


def textworld() -> Figure:
    """The same game through `arena/TWCustom-v0` and through the library: the middle one of several processes."""
    command = [sys.executable, "-m", "benchmarks.textworld_pair"]
    found = []
    for _ in range(TEXTWORLD_PROCESSES):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
    found.sort(key=lambda figures: figures[0] / figures[1])
    ours, theirs, _ = found[len(found) // 2]
    ratios, controls = ([f[i] / f[1] for f in found] for i in (0, 2))
    return Figure(
        "TextWorld, 6 rooms, one game",
        ours,
        "steps/s",
        more_is_better=True,
        peer=f"textworld {importlib.metadata.version('textworld')}",
        theirs=theirs,
        times=TEXTWORLD_SHARE,
        note=f"{min(ratios):.2f}x to {max(ratios):.2f}x in {len(found)} processes; "
        f"the library against itself {min(controls):.2f}x to {max(controls):.2f}x",
    )


def measure() -> Report:
    """All games."""
    figures = [*games(), contract()]
    if importlib.util.find_spec("textworld"):
        figures.append(textworld())
    method = (
        f"Steps per second of CPU time, best of {ROUNDS} rounds of {SECONDS:g} s: whole episodes with the same actions "
        "in the same order, resets included and without a seed unless said, one environment, no wrappers unless said. "
        f"TextWorld: the process with the middle ratio of {TEXTWORLD_PROCESSES}; both sides give equal answers. "
        "GEM's Wordle has Arena's word list, because its own, a shorter one, "
        "is a download; TextArena's needs a tagger that is one too."
    )
    return Report(method, figures)
