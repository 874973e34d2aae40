"""The games that the libraries share, as actions: what is played is the same everywhere, only its spelling differs.

This file is also read by the peers' scripts, in their environments, so it imports nothing of Arena.
"""

NUMBERS = [str(number) for number in range(1, 21)]
"""GuessTheNumber from 1 to 20 with as many tries: every number in turn, until the right one."""

WORDS = ["about", "house", "light", "mount", "green", "stick"]
"""Wordle: six guesses."""

CELLS = list(range(9))
"""Noughts and crosses from the empty board: cell after cell; whoever begins wins with the seventh mark."""

BOXED = "\\boxed{%s}"
BRACKETED = "[%s]"


def in_words(form: str = "%s") -> list[str]:
    """The numbers as a model says them, with words around."""
    return [f"Is it {form % number}?" for number in NUMBERS]
