"""How an action is read from what a model wrote."""

from __future__ import annotations

import pytest

from arena.agents._replies import CallReplies, PlainReplies, ReactReplies
from arena.core.messages import Completion, ReasoningPart, TextPart, ToolCallPart
from arena.core.tools import read_calls


def said(text: str, **fields) -> Completion:
    return Completion(parts=(TextPart(text=text),), **fields)


WELL_FORMED = {
    "Thought: the door is north.\nAction: go north": "go north",
    "Action: look": "look",
    "action: look": "look",
    "Thought: a\nAction:look  \n": "look",
    "Thought: a\nAction:\nlook": "look",
    "**Thought:** a\n**Action:** look": "look",
    "Thought 3: a\nAction 3: look": "look",
    "Thought: a\nAction: `look`": "look",
    "Thought: a\nAction:\n```bash\nls -l\ncat x\n```": "ls -l\ncat x",
    "Thought: a\nAction: def f():\n    return 1": "def f():\n    return 1",
    "Thought: a\nAction: look\nObservation: a room.\nThought: b\nAction: go": "look",
    "Thought: a\nAction: look\nThought: that should do.": "look",
    "<think>Action: no</think>\nThought: a\nAction: yes": "yes",
    "I think <action>go north</action>": "go north",
    "<ACTION>\n go \n</ACTION> Action: x": "go",
    "Thought: Action: is what I write.\nAction: say Action: now": "say Action: now",
    "Observation: I see a door.\nAction: open it": "open it",
    "Thought: 行动\nAction: 向北走": "向北走",
}
MALFORMED = {
    "": "No line",
    "   \n": "No line",
    "look": "No line",
    "Thought: I will go north": "No line",
    "My Action: look": "No line",
    "Action look": "No line",
    "Thought: a\nAction:": "empty",
    "Thought: a\nAction: ``` ```": "",
    "<action></action>": "empty",
    "Action: a\nAction: b": "2 actions",
    "Thought: a\nAction: a\nThought: b\nAction: b\nObservation: c\nAction: d": "2 actions",
    "<action>a</action><action>b</action>": "2 actions",
    "<think>Action: look": "",
    "I cannot help with that.": "No line",
}


@pytest.mark.parametrize(("reply", "action"), WELL_FORMED.items())
def test_react_reads_one_action(reply, action):
    """A usable reply would be thrown away, or another action played than the model chose."""
    reading = ReactReplies().read(said(reply))
    assert (reading.action, reading.problem) == (action, None)


@pytest.mark.parametrize(("reply", "says"), {k: v for k, v in MALFORMED.items() if v}.items())
def test_react_says_what_is_malformed(reply, says):
    """The model would not be told what to do better; the text still is what gets passed on."""
    reading = ReactReplies().read(said(reply))
    assert says in (reading.problem or "")
    assert reading.action == reply.strip()


def test_react_reads_text_parts_only():
    """Reasoning kept apart by the provider would be played."""
    thinking = ReasoningPart(text="Action: no")
    assert ReactReplies().read(Completion(parts=(thinking, TextPart(text="Action: yes")))).action == "yes"


@pytest.mark.parametrize(
    ("reply", "action"),
    [
        ("  go north \n", "go north"),
        ("", ""),
        ("I will look.\nAction: look", "look"),
        ("Action: a\nAction: b", "b"),
        ("Action: first\nline", "first\nline"),
        ("<think>hm</think>\n\nlook", "look"),
        ("</think>", ""),
        ("x <action> a </action> y <action>b</action> Action: c", "b"),
        ("`look`", "look"),
        ("```\nls\n```", "ls"),
        ("use `ls` now", "use `ls` now"),
        ("My Action: look", "My Action: look"),
    ],
)
def test_chat_takes_any_reply(reply, action):
    """A reply would be no action, or the rule would not be the documented one."""
    reading = PlainReplies().read(said(reply))
    assert (reading.action, reading.problem) == (action, None)


@pytest.mark.parametrize("finish", ["length", "refusal"])
def test_a_cut_or_refused_reply_is_an_action_too(finish):
    """A refusal would be an exception and not a turn."""
    assert PlainReplies().read(said("I can't", finish=finish)).action == "I can't"
    assert PlainReplies().read(Completion(parts=(), finish=finish)).action == ""


def call(name: str, arguments: str) -> ToolCallPart:
    return ToolCallPart(id="c", name=name, arguments=arguments)


def test_calls_become_one_canonical_action():
    """Parallel calls would be lost or reordered."""
    parts = (TextPart(text="Both."), call("move", '{"direction": "nörd"}'), call("look", ""))
    reading = CallReplies().read(Completion(parts=parts))
    assert reading.problem is None
    assert read_calls(reading.action) == [("move", {"direction": "nörd"}), ("look", {})]
    assert "nörd" in reading.action


@pytest.mark.parametrize("arguments", ["{", "[1]", '"north"', "null", "[" * 100_000])
def test_unreadable_arguments_are_a_problem(arguments):
    """A model's bad JSON would raise, or reach the environment as good."""
    reading = CallReplies().read(Completion(parts=(call("move", arguments), call("look", "{}"))))
    assert reading.problem == "The arguments of move are not a JSON object."
    assert read_calls(reading.action) is None


def test_what_others_played_is_written_in_the_own_form():
    """A fork would show the model replies it could not have given."""
    assert PlainReplies().write("look", 0).text == "look"
    assert ReactReplies().read(said(ReactReplies().write("look", 0).text)).action == "look"
    written = CallReplies().write('[{"tool": "move", "arguments": {"n": 1}}, {"tool": "look"}]', 4)
    assert [(p.id, p.name, p.arguments) for p in written.parts] == [
        ("turn_4_0", "move", '{"n": 1}'),
        ("turn_4_1", "look", "{}"),
    ]
    assert CallReplies().write("move north", 0).text == "move north"
