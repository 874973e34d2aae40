"""Between the agent and the interpreter: which commands go to the game, and what of its answer is shown."""

from __future__ import annotations

import re

from arena.core.text import shorten

_LONGEST = 198
"""Bytes the interpreter reads; it would cut off the rest."""

_OUT_OF_WORLD = frozenset(
    (
        *("brief", "full", "long", "noscript", "normal", "notify", "nouns", "o", "oops", "pronouns", "q", "quit"),
        *("recording", "replay", "restart", "restore", "save", "script", "short", "superbrief", "transcript", "tw"),
        *("undo", "unscript", "verbose", "verify", "version"),
    )
)
"""First words of commands that speak to the interpreter: they would end, rewind or reword the game or write files."""

_WORD = re.compile(r"[a-z]+")
_SEVERAL = re.compile(r"[.,;]|\b(?:then|and|all|every|everything|both|each)\b")
"""What makes several commands of one, or one command about several things. The library loses count of the points of
the first kind and of the state after the second; a comma also speaks to someone, as in `me, save`. No thing has any
of these in its name."""

_BANNER = re.compile(r"\A(?:[\s_|\\/$<>]*\n)+")
_STATUS = re.compile(r"\n>[^\n]*\Z")
_QUESTION = re.compile(r"\n\s*Would you like to RESTART.*\Z", re.DOTALL)
_CENTRED = re.compile(r"\n {8,}(?=\*\*\*)")
_BLANKS = re.compile(r"\n\s*\n\s*\n")


def read(action: str) -> tuple[str, str | None]:
    """The command that goes to the game.

    Returns:
        The command and None, or "" and a sentence that says why it does not go to the game.
    """
    command = " ".join(action.split()).removeprefix("> ").rstrip(" .!")
    if not command:
        return "", "There is no command. Say what to do, for example: look"
    if len(command) > _LONGEST:
        return "", f"That is too long: a command has at most {_LONGEST} characters."
    if not (command.isascii() and command.isprintable()):
        return "", f"{shorten(command, 40)!r} cannot be typed: the game knows plain English letters only."
    lowered = command.lower()
    if _SEVERAL.search(lowered):
        return "", "One command about one thing at a time, please: no lists, no 'then', no 'all'."
    first = _WORD.search(lowered)
    if first is None:
        return "", f"{shorten(command, 40)!r} has no word in it. Say what to do, for example: look"
    if first[0] in _OUT_OF_WORLD:
        return "", f"{first[0]!r} is for the interpreter, not for the game, and is not available here."
    return command, None


def shown(feedback: str) -> str:
    """What the game said, without the title, the prompt, the status line and the question after the end."""
    text = _STATUS.sub("", feedback)
    text = _QUESTION.sub("", text)
    text = _BANNER.sub("", text)
    text = _CENTRED.sub("\n", text)
    return _BLANKS.sub("\n\n", text).strip() or "Nothing happens."
