"""What an agent can do: a shell command as it stands, or a tool call that becomes one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from arena.core.messages import Tool
from arena.core.tools import fill_template, read_calls

__all__ = ["SUBMIT", "TOOLS", "read_action"]

SUBMIT = "submit"


def _tool(name: str, description: str, template: str, required: int, **properties: str) -> Tool:
    schema = {key: {"type": "string", "description": text} for key, text in properties.items()}
    parameters = {"type": "object", "properties": schema, "required": list(properties)[:required]}
    return Tool(name=name, description=description, parameters=parameters, template=template)


TOOLS = (
    _tool(
        "shell",
        "Run a command line in the repository's persistent bash shell.",
        "{command}",
        1,
        command="one or more lines for bash",
    ),
    _tool(
        "view",
        "Show lines of a file with their numbers, or the files of a folder.",
        "view {path} {first} {last}",
        1,
        path="file or folder",
        first="first line; 1 by default",
        last="last line; at most 200 lines are shown",
    ),
    _tool(
        "search",
        "Find lines that match a Python regular expression.",
        "search {pattern} {path}",
        1,
        pattern="what to find",
        path="file or folder; the current one by default",
    ),
    _tool(
        "edit",
        "Replace a text that stands exactly once in a file. An empty `old` makes a new file.",
        "edit {path} {old} {new}",
        3,
        path="file",
        old="the text as it stands there, line breaks and indentation included",
        new="what takes its place",
    ),
    Tool(
        name=SUBMIT, description="Hand in the work as it stands; it is graded, and the episode ends.", template=SUBMIT
    ),
)


def read_action(action: str) -> list[tuple[str, str | None]]:
    """The command lines of an action; each is (command, None) or ("", what is wrong with the call).

    A last line `submit` is the tool of that name; any other tool call becomes the command line that does the same, its
    arguments quoted.
    """
    calls = read_calls(action)
    if calls is None:
        before, _, last = action.strip().rpartition("\n")
        if last.strip() == SUBMIT:
            return [(command, None) for command in (before, SUBMIT) if command]
        return [(action.strip(), None if action.strip() else "The action is empty: a command line was expected.")]
    return [_command(name, arguments) for name, arguments in calls]


def _command(name: str, arguments: Mapping[str, Any]) -> tuple[str, str | None]:
    given = {key: value for key, value in arguments.items() if value is not None}
    if name != "shell":
        given = {key: shlex.quote(str(value)) for key, value in given.items()}
    if name == "view" and "last" in given:
        given.setdefault("first", "1")
    command, error = fill_template(TOOLS, name, given)
    if error is None and not command:
        return "", "The command is empty."
    return command, error
