"""What the agent is told: what somebody would see go wrong, taken from failing assertions; never where."""

from __future__ import annotations

import re
from collections.abc import Mapping

from arena.environments.swe._trees import is_test

__all__ = ["statement"]

SHOWN = 3
LINES = 14
FRAME = re.compile(r"^(\S+\.py):(\d+): in (.+)$")
PATH = re.compile(r"(/repo/)?[\w./-]+\.py(:\d+)?")
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
"""Another in every run: the same bug shall be told in the same words."""
LOCAL = re.compile(r"[\w.]+\.<locals>\.")
"""What Python puts before the name of a function that a test has made."""


def statement(package: str, failing: int, texts: Mapping[str, str]) -> str:
    """A report of misbehaviour.

    Args:
        package: its name.
        failing: how many tests fail.
        texts: test -> what pytest said of its failure, short traceback.
    """
    seen: dict[str, None] = {}
    for text in sorted(texts.values(), key=lambda text: (len(text), text)):
        observed = observation(text)
        if observed and observed not in seen:
            seen[observed] = None
        if len(seen) == SHOWN:
            break
    examples = "\n\n".join(f"```\n{example}\n```" for example in seen)
    many = "One check of its behaviour fails" if failing == 1 else f"{failing} checks of its behaviour fail"
    return (
        f"{package} does not behave as documented. {many}"
        f"{', for example' if failing > len(seen) else ''}:\n\n{examples}\n\n"
        "Find the cause in the code of the package and repair it, without changing what works."
    )


def observation(text: str) -> str:
    """The statement of the test that failed and what it failed with, without names of files.

    Where one error came of another, the first frames are the package's own: they would say where.
    """
    lines = text.splitlines()
    places = enumerate(map(FRAME.match, lines))
    frames = [number for number, place in places if place and is_test(place[1].removeprefix("/repo/"))]
    code: list[str] = []
    if frames:
        for line in lines[frames[0] + 1 :]:
            if not line.startswith("    "):
                break
            code.append(line.strip())
    error = [line[1:].strip() for line in lines if line.startswith("E ")]
    if not error:
        return ""
    shown = [*(f"> {line}" for line in code), *error][:LINES]
    return LOCAL.sub("", ADDRESS.sub("", PATH.sub("…", "\n".join(shown))))
