"""Reply forms: how an action is read from a model's answer, and how a given action is written as one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Protocol

from arena.agents._prompts import retry_prompt
from arena.core.messages import Completion, Message, TextPart, ToolCallPart, ToolResultPart
from arena.core.tools import canonical, read_calls


@dataclass(frozen=True, slots=True)
class Reading:
    """An action read from an answer, and what is wrong with the answer, if anything, in words."""

    action: str
    problem: str | None = None


class ReplyForm(Protocol):
    """How a model's answers stand for actions."""

    def read(self, completion: Completion) -> Reading:
        """The action of an answer; where there is a problem, what is passed on if no better answer comes."""
        ...

    def write(self, action: str, turn: int) -> Message:
        """The answer that would have meant this action."""
        ...

    def again(self, completion: Completion, problem: str) -> list[Message]:
        """What is said to the model to get a better answer."""
        ...


_TAGS = re.compile(r"<action>(.*?)</action>", re.IGNORECASE | re.DOTALL)
_ACTION, _OBSERVATION, _LABEL = (
    re.compile(rf"^[ \t]*\**(?:{label})(?:[ \t]+\d+)?[ \t]*\**:\**", re.IGNORECASE | re.MULTILINE)
    for label in ("action", "observation", "action|thought|observation")
)
_FENCE = re.compile(r"(`{3,})[\w-]*\n(.*?)\n?\1|(`+)([^`\n]+)\3", re.DOTALL)


def spoken(text: str) -> str:
    """An answer without the thoughts that some models write before `</think>`."""
    return text.rpartition("</think>")[2].strip()


class PlainReplies:
    """The whole reply is the action.

    Where it has `<action>…</action>`, the last one's content is; else where a line begins with `Action:`, all
    that follows the last such line's colon. Backticks or a code fence around it are taken off. Any reply is
    an action, an empty one too.
    """

    def read(self, completion: Completion) -> Reading:
        """As `ReplyForm.read`; there never is a problem."""
        text = spoken(completion.text)
        if tagged := _TAGS.findall(text):
            return Reading(_bare(tagged[-1]))
        *_, last = [None, *_ACTION.finditer(text)]
        return Reading(_bare(text[last.end() :] if last else text))

    def write(self, action: str, turn: int) -> Message:
        """The action itself."""
        return Message.of("assistant", action)

    def again(self, completion: Completion, problem: str) -> list[Message]:
        """As `ReplyForm.again`."""
        return _told(problem, calling=False)


class ReactReplies:
    """A thought, then one action: `Thought: …` and `Action: …`.

    The action is what follows `Action:` up to the next line that begins with `Thought:` or `Observation:`
    (some models go on with observations of their own invention: nothing after the first of them counts), or
    the content of `<action>…</action>`. Backticks or a code fence around it are taken off. No action, an
    empty one or several are a problem. The thought may be missing.
    """

    def read(self, completion: Completion) -> Reading:
        """As `ReplyForm.read`."""
        text = spoken(completion.text)
        actions = _TAGS.findall(text) or _after_action_lines(text)
        if len(actions) == 1 and (action := _bare(actions[0])):
            return Reading(action)
        if len(actions) > 1:
            return Reading(text, f"Your reply has {len(actions)} actions; only one is allowed.")
        return Reading(text, "The action is empty." if actions else "No line of your reply begins with `Action:`.")

    def write(self, action: str, turn: int) -> Message:
        """An action without a thought."""
        return Message.of("assistant", f"Action: {action}")

    def again(self, completion: Completion, problem: str) -> list[Message]:
        """As `ReplyForm.again`."""
        return _told(problem, calling=False)


def _after_action_lines(text: str) -> list[str]:
    """What follows each `Action:`, up to the next label; nothing after an observation that the model made up."""
    first = _ACTION.search(text)
    if first is None:
        return []
    if made_up := _OBSERVATION.search(text, first.end()):
        text = text[: made_up.start()]
    actions = []
    for start in _ACTION.finditer(text):
        stop = _LABEL.search(text, start.end())
        actions.append(text[start.end() : stop.start() if stop else len(text)])
    return actions


def _bare(action: str) -> str:
    """An action without the backticks or the code fence around it."""
    action = action.strip()
    fenced = _FENCE.fullmatch(action)
    return (fenced[2] or fenced[4] or "").strip() if fenced else action


class CallReplies:
    """Tool calls are the action, in the canonical form of `arena.core.tools`; several are one action.

    A reply without a call, or with arguments that are no JSON object, is a problem; without a better one, the
    text of the reply or the raw calls are passed on. Calls of unknown tools are the environment's to answer.
    """

    def read(self, completion: Completion) -> Reading:
        """As `ReplyForm.read`."""
        calls = completion.tool_calls
        if not calls:
            return Reading(PlainReplies().read(completion).action, "Your reply calls no tool.")
        read = [(call.name, _arguments(call)) for call in calls]
        wrong = [name for name, arguments in read if arguments is None]
        if not wrong:
            return Reading(canonical([(name, arguments or {}) for name, arguments in read]))
        raw = [{"tool": call.name, "arguments": call.arguments} for call in calls]
        problem = f"The arguments of {' and '.join(dict.fromkeys(wrong))} are not a JSON object."
        return Reading(json.dumps(raw, ensure_ascii=False), problem)

    def write(self, action: str, turn: int) -> Message:
        """The calls of an action in canonical form; another action as text."""
        calls = read_calls(action)
        if calls is None:
            return Message.of("assistant", action)
        parts = [
            ToolCallPart(id=f"turn_{turn}_{number}", name=name, arguments=json.dumps(arguments, ensure_ascii=False))
            for number, (name, arguments) in enumerate(calls)
        ]
        return Message(role="assistant", parts=tuple(parts))

    def again(self, completion: Completion, problem: str) -> list[Message]:
        """The problem as the result of each call, because every call wants one; without calls, in words."""
        text = retry_prompt().render(problem=problem, calling=True)
        results = [ToolResultPart(id=call.id, text=text) for call in completion.tool_calls]
        return [Message(role="tool", parts=(result,)) for result in results] or _told(problem, calling=True)


def _arguments(call: ToolCallPart) -> dict[str, Any] | None:
    """The arguments of a call; some servers send nothing where there are none."""
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None


def _told(problem: str, calling: bool) -> list[Message]:
    return [Message(role="user", parts=(TextPart(text=retry_prompt().render(problem=problem, calling=calling)),))]
