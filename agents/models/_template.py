"""From messages to token ids through a model's chat template: token in, token out.

A conversation is a growing sequence of ids. What was sampled stays as it was sampled; between two
answers come the ids of what the template writes after an answer (the end of its turn), the messages
since, and the opening of the next answer. That text is found by rendering the conversation twice: up
to the answer, and with a mark in the answer's place followed by the new messages. Where the second
rendering does not begin with the first, or writes something before the mark, the template does not
keep its prefix (it drops past reasoning, for example), and the conversation starts afresh: it is
rendered and encoded whole.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from arena.agents.models._answer import CLOSE, OPEN
from arena.core.errors import RequestRefused, UsageError
from arena.core.messages import (
    Completion,
    ImagePart,
    Message,
    ReasoningPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)

_MARK, _THOUGHT = "Answer7Mark3", "Thought5Mark9"
"""Stand for an answer and its reasoning; a conversation that contains them starts afresh."""

_MOST_REMEMBERED, _LONGEST_REMEMBERED = 4096, 2000
"""Prompts, and characters of one: an agent with a window meets the same states again and again."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The ids an answer is sampled after.

    Attributes:
        ids: all of them.
        kept: the first `kept` are the ids of an earlier completion, exactly; 0 for a fresh start.
        thinking: the prompt ends inside the reasoning that the template opened.
    """

    ids: tuple[int, ...]
    kept: int
    thinking: bool


class ChatEncoder:
    """Encodes conversations for one tokenizer and its chat template.

    Args:
        tokenizer: turns text into ids.
        writer: applies the chat template: the tokenizer itself, or a processor around it.
    """

    def __init__(self, tokenizer: Any, writer: Any = None) -> None:
        self._tokenizer = tokenizer
        self._writer = tokenizer if writer is None else writer
        # Fast tokenizers refuse to be used by two threads at once, and the sampler's thread decodes too.
        self._lock = threading.Lock()
        template = self._writer.chat_template
        source = template if isinstance(template, str) else json.dumps(template)
        self.takes_tools = "tools" in source
        self._separate_reasoning = "reasoning_content" in source
        self._encoded = False
        self._remembered: dict[str, Prompt] = {}

    def encode(self, messages: Sequence[Message], tools: Sequence[Tool], after: Completion | None) -> Prompt:
        """The prompt of the next answer.

        Args:
            messages: the whole conversation, or with `after` what came since.
            tools: shown to the model by the template.
            after: an earlier completion. One without ids (from another back end) starts afresh.

        Raises:
            RequestRefused: the template refuses these messages, and took others.
            UsageError: images, tools the template cannot show, messages it refuses, or an `after`
                that does not know its conversation.
        """
        prompt = self._encode(messages, tools, after)
        self._encoded = True
        return prompt

    def _encode(self, messages: Sequence[Message], tools: Sequence[Tool], after: Completion | None) -> Prompt:
        shown = self._shown(tools)
        if after is None:
            return self._fresh(messages, shown)
        if not after.history:
            raise UsageError("`after` is a completion that does not know its conversation; see Completion.following.")
        *earlier, answer = after.history
        if after.prompt_ids is not None and after.token_ids is not None:
            suffix = self._continuation(earlier, answer, messages, shown)
            if suffix is not None:
                return self._continued((*after.prompt_ids, *after.token_ids), suffix)
        return self._fresh((*after.history, *messages), shown)

    def text(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        """A whole conversation as the template writes it, with the opening of the next answer.

        Raises:
            RequestRefused, UsageError: as `encode`.
        """
        text = self._render(self._plain(messages), self._shown(tools))
        self._encoded = True
        return text

    def _shown(self, tools: Sequence[Tool]) -> list[dict[str, Any]] | None:
        if tools and not self.takes_tools:
            raise UsageError(
                "This model's chat template shows no tools. Let the agent write its actions as text, or "
                "use a model whose chat_template.jinja has a part for `tools`."
            )
        return [_schema(tool) for tool in tools] or None

    def turn_end(self) -> int | None:
        """The special token this template closes an answer with, where it has one."""
        asked = {"role": "user", "content": "Question"}
        try:
            closed = self._render([asked, {"role": "assistant", "content": _MARK}], None, opening=False)
        except (UsageError, RequestRefused):
            return None
        ids = self._ids(closed.partition(_MARK)[2])
        return ids[0] if ids and ids[0] in self._tokenizer.all_special_ids else None

    def _fresh(self, messages: Sequence[Message], tools: list[dict[str, Any]] | None) -> Prompt:
        conversation = self._plain(messages)
        key = repr((conversation, tools))
        known = self._remembered.get(key)
        if known is None:
            text = self._render(conversation, tools)
            known = Prompt(tuple(self._ids(text)), 0, opens_reasoning(text))
            if len(key) <= _LONGEST_REMEMBERED:
                if len(self._remembered) >= _MOST_REMEMBERED:
                    self._remembered.clear()
                self._remembered[key] = known
        return known

    def _continued(self, before: tuple[int, ...], suffix: str) -> Prompt:
        ids = self._ids(suffix)
        if ids and before and ids[0] == before[-1]:
            # The answer sampled its own end of turn.
            ids = ids[1:]
        return Prompt((*before, *ids), len(before), opens_reasoning(suffix))

    def _continuation(
        self,
        earlier: Sequence[Message],
        answer: Message,
        messages: Sequence[Message],
        tools: list[dict[str, Any]] | None,
    ) -> str | None:
        """The text between an answer's content and the next answer, or None where the prefix is not kept."""
        conversation = self._plain([*earlier, answer, *messages])
        position = len(self._plain(earlier))
        thought = any(isinstance(part, ReasoningPart) for part in answer.parts)
        conversation[position] = self._assistant(_MARK, _THOUGHT if thought else None, [])
        before = self._render(conversation[:position], tools)
        whole = self._render(conversation, tools)
        if not whole.startswith(before) or whole.count(_MARK) != 1:
            return None
        written, _, suffix = whole[len(before) :].partition(_MARK)
        kept = written.count(_THOUGHT) == 1 if thought else not written
        return suffix if kept else None

    def decode(self, ids: Sequence[int]) -> str:
        """The text of sampled ids, special tokens left out; incomplete bytes become U+FFFD."""
        with self._lock:
            return str(self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def stopper(self, stop: tuple[str, ...]) -> Callable[[Sequence[int]], bool] | None:
        """Whether the last ids contain a stop string. A token is at least a byte, so a short tail is enough."""
        if not stop:
            return None
        tail = 2 * max(len(text.encode()) for text in stop) + 8

        def stopped(ids: Sequence[int]) -> bool:
            text = self.decode(ids[-tail:])
            return any(string in text for string in stop)

        return stopped

    def _ids(self, text: str) -> list[int]:
        with self._lock:
            # Not verbose: that a text is longer than the model takes is said by an error of ours.
            return list(self._tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def _render(
        self, conversation: list[dict[str, Any]], tools: list[dict[str, Any]] | None, *, opening: bool = True
    ) -> str:
        """The template's text, with the opening of the next answer at its end.

        Some templates refuse the system role: it then opens the first user message. That is found out for each
        conversation by itself, so that a prompt never depends on what was rendered before.
        """
        from jinja2 import TemplateError

        try:
            return str(
                self._writer.apply_chat_template(
                    conversation, tools=tools, tokenize=False, add_generation_prompt=opening
                )
            )
        except (TemplateError, TypeError, ValueError, KeyError, IndexError) as error:
            if conversation and conversation[0]["role"] == "system":
                return self._render(_merged(conversation), tools, opening=opening)
            kind = RequestRefused if self._encoded else UsageError
            raise kind(f"The model's chat template refuses this conversation: {error}") from error

    def _plain(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """Messages in the form chat templates read."""
        names: dict[str, str] = {}
        plain: list[dict[str, Any]] = []
        for message in messages:
            if message.role == "assistant":
                calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
                names.update((call.id, call.name) for call in calls)
                thoughts = [part.text for part in message.parts if isinstance(part, ReasoningPart)]
                plain.append(self._assistant(message.text, "".join(thoughts) if thoughts else None, calls))
            else:
                plain += self._others(message, names)
        return plain

    def _others(self, message: Message, names: dict[str, str]) -> list[dict[str, Any]]:
        """A message that is not the model's: each tool result on its own, then the rest."""
        results = [part for part in message.parts if isinstance(part, ToolResultPart)]
        rest = [part for part in message.parts if isinstance(part, TextPart | ImagePart)]
        plain: list[dict[str, Any]] = [
            {"role": "tool", "content": part.text, "tool_call_id": part.id, "name": names.get(part.id, "")}
            for part in results
        ]
        if rest or not results:
            plain.append({"role": message.role, "content": self._content(rest)})
        return plain

    def _content(self, parts: Sequence[TextPart | ImagePart]) -> Any:
        """What a message holds, as the template reads it."""
        if any(isinstance(part, ImagePart) for part in parts):
            raise UsageError("This local model reads no images. Leave them out of its messages.")
        return "".join(part.text for part in parts if isinstance(part, TextPart))

    def _assistant(self, text: str, reasoning: str | None, calls: Sequence[ToolCallPart]) -> dict[str, Any]:
        plain: dict[str, Any] = {"role": "assistant", "content": text}
        if reasoning is not None and self._separate_reasoning:
            plain["reasoning_content"] = reasoning
        elif reasoning is not None:
            plain["content"] = f"{OPEN}{reasoning}{CLOSE}{text}"
        if calls:
            plain["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": _arguments(c.arguments)}}
                for c in calls
            ]
        return plain


def opens_reasoning(text: str) -> bool:
    """Whether a rendered prompt ends inside of reasoning that the template opened."""
    return text.rstrip().endswith(OPEN)


def _schema(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _arguments(written: str) -> Any:
    """Arguments as an object where they are one: templates write them as JSON themselves."""
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        return written
    return value if isinstance(value, dict) else written


def _merged(conversation: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A conversation whose system text opens its first user message."""
    system, *rest = conversation
    if not rest or rest[0]["role"] != "user":
        return [{"role": "user", "content": system["content"]}, *rest]
    first, second = system["content"], rest[0]["content"]
    together = [*first, *second] if isinstance(first, list) else f"{first}\n\n{second}"
    return [{"role": "user", "content": together}, *rest[1:]]
