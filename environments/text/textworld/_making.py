"""How the library makes a game: generated from a seed, named by its content, compiled by Inform 7.

Nothing is printed, no generator of the process is touched, and nothing is written outside the folder named.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from arena.core.errors import EnvironmentFailure

REVISION = 1
"""Part of every cached game's name: raised when the same options and seed would give another game or digest."""

_COMPILE_SECONDS = 120


class NoSuchGame(Exception):
    """The library finds no game for these options and this seed."""


def load_library() -> str:
    """Import `textworld`, where it is not imported yet, and give its version.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    if "textworld" not in sys.modules:
        import numpy as np

        # Importing the library draws from NumPy's global generator, which belongs to the user.
        state = np.random.get_state()
        try:
            import textworld.challenges
        finally:
            np.random.set_state(state)
    import textworld

    return str(textworld.__version__)


def generate(challenge: str, settings: Mapping[str, Any], seed: int, folder: Path | None = None) -> Any:
    """A `textworld.Game`, the same for the same arguments.

    Args:
        challenge: one of the library's, such as `coin_collector`, or `custom`.
        settings: the challenge's own; for `custom`: rooms, objects, quest_length.
        seed: in [0, 2**32).
        folder: to compile in on the way: the library plays most games' walkthroughs to word their goals and to
            plan from it. Without a folder that is left out, and the game serves only to be named.

    Raises:
        NoSuchGame: the library cannot make one from this seed.
    """
    import textworld
    from textworld.challenges import CHALLENGES
    from textworld.generator import QuestGenerationError, make_game

    options = textworld.GameOptions()
    options.seeds = seed
    try:
        with _library_at(seed, folder):
            if challenge != "custom":
                return CHALLENGES[f"tw-{challenge}"][1](dict(settings), options)
            options.nb_rooms = settings["rooms"]
            options.nb_objects = settings["objects"]
            options.quest_length = settings["quest_length"]
            return make_game(options)
    except (QuestGenerationError, ValueError) as error:
        # ValueError: a recipe drew an ingredient that can be prepared in none of the ways asked for.
        raise NoSuchGame(str(error)) from error


@contextmanager
def _library_at(seed: int, folder: Path | None) -> Iterator[None]:
    """For a while, the library draws from `seed` what it leaves to its own generator, and compiles in `folder`."""
    import textworld

    class Maker(textworld.GameMaker):  # type: ignore[misc]
        def set_walkthrough(self, commands: list[str]) -> None:
            if folder is not None:
                super().set_walkthrough(commands)

        def compile(self, path: str) -> str:
            assert folder is not None
            return str(compile_game(self.build(), folder / Path(path).stem))

    before, maker = textworld.g_rng.seed, textworld.GameMaker
    textworld.g_rng.set_seed(seed)
    textworld.GameMaker = Maker
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        textworld.GameMaker = maker
        textworld.g_rng.set_seed(before)


def instance_of(game: Any) -> str:
    """Names a game by what must be done in which world: places, things, their names and the goal.

    Descriptions are left out, so that two games with one solution have one name however they are worded.
    """
    infos = sorted((key, info.type, info.name or "") for key, info in game.infos.items())
    quests = sorted(
        [_conditions(quest.win_events), _conditions(quest.fail_events), quest.reward] for quest in game.quests
    )
    content = [sorted(map(str, game.world.facts)), infos, quests]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()


def _conditions(events: Any) -> list[list[str]]:
    return sorted(sorted(map(str, event.condition.preconditions)) for event in events)


def compile_game(game: Any, folder: Path) -> Path:
    """Write `game.z8` and `game.json` into a folder that does not exist yet, and give the first one's path.

    The library's own function runs the same two programs, but lets them write into the user's home and
    leaves what it was working on behind when it is killed.

    Raises:
        EnvironmentFailure: the compiler refused the game; its last words are in the message.
    """
    from textworld.generator.inform7 import generate_inform7_source
    from textworld.generator.inform7.world2inform7 import I7_DEFAULT_PATH

    inform = Path(os.environ.get("INFORM_HOME", I7_DEFAULT_PATH), "share", "inform7")
    project = folder / "project"
    (project / "Source").mkdir(parents=True)
    (project / "Source" / "story.ni").write_text(generate_inform7_source(game))
    (project / "uuid.txt").touch()
    natural = [inform / "Compilers" / "ni", "--internal", inform / "Internal", "--format=.z8", "--project", project]
    # Without its index, a web page about the game that nobody reads, `ni` is four times as fast in a fresh home.
    _run([*map(str, natural), "--noindex"], project)
    story = [inform / "Compilers" / "inform6", "-E2wSv8F0", project / "Build" / "auto.inf", folder / "game.z8"]
    _run([*map(str, story)], project)
    game.save(str(folder / "game.json"))
    return folder / "game.z8"


def _run(command: list[str], home: Path) -> None:
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_COMPILE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailure(f"{Path(command[0]).name} did not end within {_COMPILE_SECONDS} s.") from error
    if done.returncode != 0:
        words = done.stdout.decode(errors="replace").strip()[-500:]
        raise EnvironmentFailure(f"{Path(command[0]).name} could not compile a TextWorld game: {words}")
