"""Messages as OpenAI's chat completions write them, and answers as they are read.

What came back goes back unchanged: reasoning in the field it came in, tool calls with their ids, raw
arguments and any field of their own (such as a thought signature), content as text or as a list of parts.
The field names are kept in a reasoning part's `opaque`:

    field      the message field that held the reasoning text: `reasoning_content` or `reasoning`
    message    further fields of the message that must return (`reasoning_details`)
    calls      further fields of tool calls, by the call's id
    content    an item of a content list that is not text
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
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
LogprobKind = Literal["raw", "sampled"]

_FINISH: dict[str, Finish] = {
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "refusal",
    "refusal": "refusal",
}
_BROKEN_OFF = frozenset({"abort", "error"})
_REASONING_FIELDS = ("reasoning_content", "reasoning")
_RETURNED_FIELDS = ("reasoning_details",)
_CALL_FIELDS = frozenset({"id", "type", "function", "index"})


def write_tools(tools: Sequence[Tool]) -> list[Json]:
    """Tools as function schemas."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
        }
        for tool in tools
    ]


def write_messages(messages: Sequence[Message], reasoning: bool = True) -> list[Json]:
    """A conversation; without `reasoning`, what the model thought earlier is left out."""
    written: list[Json] = []
    for message in messages:
        if message.role == "assistant":
            written.append(_write_answer(message, reasoning))
        else:
            written.extend(_write_prompt(message))
    return written


def _write_prompt(message: Message) -> list[Json]:
    """A message that is not the model's: one per tool result, and one for the rest."""
    results = [part for part in message.parts if isinstance(part, ToolResultPart)]
    written: list[Json] = [{"role": "tool", "tool_call_id": part.id, "content": part.text} for part in results]
    rest = [part for part in message.parts if isinstance(part, TextPart | ImagePart)]
    if rest or not results:
        role = "user" if message.role == "tool" else message.role
        written.append({"role": role, "content": _write_content(rest)})
    return written


def _write_content(parts: Sequence[TextPart | ImagePart]) -> str | list[Json]:
    if not any(isinstance(part, ImagePart) for part in parts):
        return "".join(part.text for part in parts if isinstance(part, TextPart))
    return [_write_part(part) for part in parts]


def _write_part(part: TextPart | ImagePart) -> Json:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    data = base64.b64encode(image_data(part)).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{data}"}}


def _write_answer(message: Message, reasoning: bool) -> Json:
    """An answer of the model, the way it came. Reasoning of another kind of model is left out."""
    kept = [part for part in message.parts if isinstance(part, ReasoningPart) and part.opaque]
    opaque = {key: value for part in kept for key, value in (part.opaque or {}).items()}
    calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
    text = message.text
    written: Json = {"role": "assistant", "content": text if text or not calls else None}
    if "content" in opaque:
        written["content"] = [_list_item(part) for part in message.parts if _list_item(part)]
    if reasoning:
        for part in kept:
            if field := (part.opaque or {}).get("field"):
                written[field] = part.text
        written.update(opaque.get("message", {}))
    if calls:
        extra: Mapping[str, Json] = opaque.get("calls", {})
        written["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
                **extra.get(call.id, {}),
            }
            for call in calls
        ]
    return written


def _list_item(part: Part) -> Json | None:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ReasoningPart) and part.opaque:
        return part.opaque.get("content")
    return None


def read_reply(reply: Json, model: str, call_id: str, logprob_kind: LogprobKind) -> Answer:
    """Read an answer.

    Args:
        reply: the server's JSON.
        model: the name that was asked for; the one that answered is kept where it is another.
        call_id: the start of ids for tool calls that came without one.
        logprob_kind: what log-probabilities are of.

    Raises:
        ValueError: there is nothing to read; says why.
    """
    choices = reply.get("choices")
    if not choices:
        error = reply.get("error")
        raise ValueError(f"an error in its place: {error}" if error else "it has no choices")
    choice = choices[0]
    if choice.get("finish_reason") in _BROKEN_OFF:
        raise ValueError(f"it was broken off (finish_reason {choice['finish_reason']!r})")
    message = choice["message"]
    calls, extra = _read_calls(message.get("tool_calls") or [], call_id)
    parts = (*_read_reasoning(message, extra), *_read_content(message), *calls)
    logprobs = (choice.get("logprobs") or {}).get("content")
    usage = _read_usage(reply.get("usage"))
    served = reply.get("model")
    completion = Completion(
        parts=parts,
        finish=_read_finish(choice),
        usage=usage or Usage(),
        prompt_ids=reply.get("prompt_token_ids"),
        token_ids=choice.get("token_ids"),
        logprobs=None if logprobs is None else [token["logprob"] for token in logprobs],
        logprob_kind=None if logprobs is None else logprob_kind,
        policy_version=served if served != model else None,
        server_rendered=True,
    )
    return Answer(completion, metered=usage is not None)


def _read_finish(choice: Json) -> Finish:
    """Why an answer ended; some servers say `stop` of refusals and of calls."""
    if choice["message"].get("refusal"):
        return "refusal"
    finish = _FINISH.get(str(choice.get("finish_reason")), "stop")
    return "tool_calls" if finish == "stop" and choice["message"].get("tool_calls") else finish


def _read_reasoning(message: Json, calls: dict[str, Json]) -> list[Part]:
    field = next((name for name in _REASONING_FIELDS if isinstance(message.get(name), str) and message[name]), None)
    returned = {name: message[name] for name in _RETURNED_FIELDS if message.get(name)}
    opaque: dict[str, Any] = {}
    if field:
        opaque["field"] = field
    if returned:
        opaque["message"] = returned
    if calls:
        opaque["calls"] = calls
    return [ReasoningPart(text=message[field] if field else "", opaque=opaque)] if opaque else []


def _read_content(message: Json) -> list[Part]:
    content = message.get("content")
    if isinstance(content, list):
        return [
            TextPart(text=str(item.get("text", "")))
            if item.get("type") == "text"
            else ReasoningPart(opaque={"content": item})
            for item in content
            if isinstance(item, dict)
        ]
    text = content or message.get("refusal")
    return [TextPart(text=text)] if isinstance(text, str) and text else []


def _read_calls(calls: Sequence[Json], call_id: str) -> tuple[list[Part], dict[str, Json]]:
    """The tool calls with raw arguments, and the fields of theirs that must go back, by id."""
    parts: list[Part] = []
    extra: dict[str, Json] = {}
    for index, call in enumerate(calls):
        function = call.get("function") or {}
        name = call.get("id") or f"{call_id}_{index}"
        arguments = function.get("arguments")
        raw = arguments if isinstance(arguments, str) else json.dumps({} if arguments is None else arguments)
        parts.append(ToolCallPart(id=name, name=str(function.get("name", "")), arguments=raw))
        if kept := {key: value for key, value in call.items() if key not in _CALL_FIELDS and value is not None}:
            extra[name] = kept
    return parts, extra


def _read_usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict) or not isinstance(usage.get("prompt_tokens"), int):
        return None
    prompt = usage["prompt_tokens"]
    details = usage.get("prompt_tokens_details") or {}
    cached = min(prompt, details.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0)
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    output = usage.get("completion_tokens") or 0
    return Usage(input=prompt - cached, cached=cached, output=output, reasoning=reasoning)
