"""Sampled text as ordered parts: reasoning, tool calls in the Hermes and Qwen form, text."""

from __future__ import annotations

import json
import re

from arena.core.messages import Part, ReasoningPart, TextPart, ToolCallPart

OPEN, CLOSE = "<think>", "</think>"

_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
_ARGUMENTS = re.compile(r'"(?:arguments|parameters)"\s*:\s*')


def read_answer(text: str, *, thinking: bool = False, tools: bool = False, prefix: str = "call") -> tuple[Part, ...]:
    """Split an answer into its parts. Joined, reasoning and text are the answer as it was.

    Args:
        text: what was sampled, without the end of the turn.
        thinking: the prompt already opened the reasoning, so the answer begins inside it.
        tools: whether calls are looked for. A call that is not a JSON object with a name stays text.
        prefix: of the calls' ids, which are numbered.
    """
    parts: list[Part] = []
    if thinking or text.lstrip().startswith(OPEN):
        thought = text if thinking else text.lstrip()[len(OPEN) :]
        thought, _, text = thought.partition(CLOSE)
        parts.append(ReasoningPart(text=thought))
    end = 0
    for match in _CALL.finditer(text) if tools else ():
        call = _read_call(match[1], f"{prefix}_{len(parts)}")
        if call is not None:
            parts += [*_text(text[end : match.start()]), call]
            end = match.end()
    rest = text[end:]
    if end:
        parts += _text(rest)
    elif rest or not parts:
        parts.append(TextPart(text=rest))
    return tuple(parts)


def _text(text: str) -> list[Part]:
    """The text around calls; what is only white space separates them and says nothing."""
    return [TextPart(text=text)] if text.strip() else []


def _read_call(body: str, id: str) -> ToolCallPart | None:
    """One call, its arguments as the model wrote them."""
    try:
        call = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    arguments = call.get("arguments", call.get("parameters", {}))
    if isinstance(arguments, str):
        return ToolCallPart(id=id, name=call["name"], arguments=arguments)
    found = _ARGUMENTS.search(body)
    start = found.end() if found else 0
    written = body[start : json.JSONDecoder().raw_decode(body, start)[1]] if found else "{}"
    return ToolCallPart(id=id, name=call["name"], arguments=written)
