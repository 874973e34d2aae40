"""Messages as Anthropic's API writes them, and answers as they are read.

Thinking blocks carry a signature and must return exactly as they came, in their place: a reasoning part
keeps the whole block but its text in `opaque`. Any block of an unknown type is kept the same way.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from typing import Any, Literal

from arena.agents.models._http import Json
from arena.agents.models._images import image_data
from arena.agents.models._remote import Answer
from arena.core.messages import (
    Completion,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
    Usage,
)

Finish = Literal["stop", "length", "tool_calls", "refusal"]

_FINISH: dict[str, Finish] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}
_CACHED = {"type": "ephemeral"}
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
_NOTHING = "(nothing)"
"""Stands for an empty observation: the API refuses messages without text."""


def write_tools(tools: Sequence[Tool]) -> list[Json]:
    """Tools as Anthropic's schemas."""
    return [{"name": tool.name, "description": tool.description, "input_schema": tool.parameters} for tool in tools]


def write_conversation(messages: Sequence[Message]) -> tuple[list[Json], list[Json]]:
    """The system prompt's blocks, and the messages with neighbours of one role merged.

    A system message after the first other one is said by the user, since the API knows none there.
    """
    first = next((i for i, message in enumerate(messages) if message.role != "system"), len(messages))
    system = [block for message in messages[:first] for block in _blocks(message)]
    written: list[Json] = []
    for message in messages[first:]:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        if not blocks and role == "user":
            blocks = [{"type": "text", "text": _NOTHING}]
        if not blocks:
            continue
        if written and written[-1]["role"] == role:
            written[-1]["content"].extend(blocks)
        else:
            written.append({"role": role, "content": blocks})
    for turn in written:
        if turn["role"] == "user":  # results of tools must stand first
            turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    return system, written


def mark_cache_points(body: Json, growing: bool) -> None:
    """Mark what will be asked again, for Anthropic to cache: at most four points, in place.

    The end of the tools and of the system prompt, which every episode shares; and where the conversation is
    `growing`, its end and the end of the user's message before, which is where the last request's point was.
    A prompt that starts afresh each turn is not marked further: writing to the cache costs extra.
    """
    points: list[list[Json]] = [body["tools"]] if body.get("tools") else []
    if body.get("system"):
        points.append(body["system"])
    if growing:
        points += [message["content"] for message in body["messages"] if message["role"] == "user"][-2:]
    for blocks in points:
        blocks[-1] = {**blocks[-1], "cache_control": _CACHED}


def _blocks(message: Message) -> list[Json]:
    return [block for part in message.parts if (block := _block(part)) is not None]


def _block(part: Part) -> Json | None:
    """A part as a block; None for empty text, and for reasoning that is not Anthropic's."""
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text} if part.text.strip() else None
    if isinstance(part, ImagePart):
        data = base64.b64encode(image_data(part)).decode()
        return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": data}}
    if isinstance(part, ToolCallPart):
        return {"type": "tool_use", "id": _id(part.id), "name": part.name, "input": _input(part.arguments)}
    if isinstance(part, ToolResultPart):
        return {"type": "tool_result", "tool_use_id": _id(part.id), "content": part.text}
    opaque = part.opaque or {}
    if opaque.get("type") == "thinking":
        return {"type": "thinking", "thinking": part.text, **opaque}
    return opaque if "type" in opaque else None


def _id(value: str) -> str:
    """An id of any provider in the characters that Anthropic allows."""
    return _NOT_IN_IDS.sub("_", value)


def _input(arguments: str) -> Json:
    """A call's arguments as the object the API wants; what is no JSON object (of another model) is kept as text."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"arguments": arguments}


def read_reply(reply: Json, model: str) -> Answer:
    """Read an answer.

    Args:
        reply: the server's JSON.
        model: the name that was asked for; the one that answered is kept where it is another.

    Raises:
        ValueError: there is nothing to read; says why.
    """
    if not isinstance(reply.get("content"), list):
        error = reply.get("error")
        raise ValueError(f"an error in its place: {error}" if error else "it has no content")
    written = (reply.get("usage") or {}).get("cache_creation_input_tokens") or 0
    usage = _read_usage(reply.get("usage"), written)
    served = reply.get("model")
    completion = Completion(
        parts=tuple(_read_block(block) for block in reply["content"]),
        finish=_FINISH.get(str(reply.get("stop_reason")), "stop"),
        usage=usage or Usage(),
        policy_version=served if served != model else None,
        server_rendered=True,
    )
    return Answer(completion, metered=usage is not None, written=written)


def _read_block(block: Json) -> Part:
    kind = block["type"]
    if kind == "text":
        return TextPart(text=block["text"])
    if kind == "tool_use":
        arguments = json.dumps(block["input"], ensure_ascii=False)
        return ToolCallPart(id=block["id"], name=block["name"], arguments=arguments)
    if kind == "thinking":
        return ReasoningPart(text=block["thinking"], opaque={k: v for k, v in block.items() if k != "thinking"})
    return ReasoningPart(opaque=block)


def _read_usage(usage: Any, written: int) -> Usage | None:
    if not isinstance(usage, dict) or not isinstance(usage.get("input_tokens"), int):
        return None
    return Usage(
        input=usage["input_tokens"] + written,
        cached=usage.get("cache_read_input_tokens") or 0,
        output=usage.get("output_tokens") or 0,
    )
