"""Lists of actions, as an agent's option holds them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from arena.core.errors import BadSpec, UsageError


def read_actions(actions: str | Sequence[str]) -> tuple[str, ...]:
    """A list of actions, from the text of a JSON list (`["look", "go north"]`) or the path of a file that holds one.

    A list that is one already stays as it is.

    Raises:
        UsageError: the file cannot be read.
        BadSpec: there is no JSON list of strings in it.
    """
    if not isinstance(actions, str):
        return tuple(actions)
    inline = actions.lstrip().startswith("[")
    try:
        text = actions if inline else Path(actions).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The file of actions {actions!r} cannot be read: {error.strerror}.") from error
    try:
        listed = json.loads(text)
    except ValueError as error:
        raise BadSpec(
            f'A list of actions is JSON, such as ["look", "go north"]; {actions!r} is not: {error}.'
        ) from error
    if not isinstance(listed, list) or not all(isinstance(action, str) for action in listed):
        raise BadSpec(f"A list of actions is a JSON list of strings; {actions!r} is something else.")
    return tuple(listed)
