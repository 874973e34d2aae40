"""Tool calls as action strings, and back.

The canonical form is a JSON list, `[{"tool": "move", "arguments": {"direction": "north"}}]`; a tool
with a template also has a short form, `move north`. Several calls are one action, run in order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arena.core.messages import Tool

_PLACE = re.compile(r"\{(\w+)\}")
"""Where an argument goes in a template; all are filled in one pass, so that a value is never read as a template."""


def canonical(calls: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """The canonical action string of some (tool, arguments) calls."""
    return json.dumps([{"tool": name, "arguments": dict(arguments)} for name, arguments in calls], ensure_ascii=False)


def read_calls(action: str) -> list[tuple[str, dict[str, Any]]] | None:
    """The calls of a canonical action string; None where the action is not in that form."""
    if not action.lstrip().startswith("["):
        return None
    try:
        items = json.loads(action)
    except (ValueError, RecursionError):
        return None
    if not isinstance(items, list) or not items:
        return None
    calls = []
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("tool"), str):
            return None
        arguments = item.get("arguments", {})
        if not isinstance(arguments, dict):
            return None
        calls.append((item["tool"], arguments))
    return calls


def fill_template(tools: Sequence[Tool], name: str, arguments: Mapping[str, Any]) -> tuple[str, str | None]:
    """The short action string of one call.

    Returns:
        The string and None, or "" and a sentence that says what is wrong with the call.
    """
    tool = next((tool for tool in tools if tool.name == name), None)
    template = tool.template if tool is not None else None
    if tool is None or template is None:
        return "", f"There is no tool called {name!r}. The tools are: {', '.join(t.name for t in tools)}."
    properties = tool.parameters.get("properties", {})
    required = tool.parameters.get("required", properties) or ()
    missing = [key for key in required if key not in arguments]
    unknown = [key for key in arguments if key not in properties]
    if missing or unknown:
        wrong = f"lacks {', '.join(missing)}" if missing else f"does not take {', '.join(unknown)}"
        return "", f"The call of {name} {wrong}. Its arguments are: {', '.join(properties) or 'none'}."
    short = _PLACE.sub(lambda place: str(arguments.get(place[1], "")) if place[1] in properties else place[0], template)
    return short.strip(), None
