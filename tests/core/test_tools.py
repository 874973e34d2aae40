"""Tool calls become action strings and come back; what is no call is left to the environment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.core.messages import Tool
from arena.core.tools import canonical, fill_template, read_calls

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
calls = st.lists(st.tuples(st.text(), st.dictionaries(st.text(), json_values, max_size=3)), min_size=1, max_size=4)


def tool(template, **properties):
    return Tool(name="move", description="", parameters={"type": "object", "properties": properties}, template=template)


@given(calls)
def test_calls_round_trip_through_one_string(made):
    """One string replays everything: a call that came back otherwise would replay another episode."""
    assert read_calls(canonical(made)) == made


@pytest.mark.parametrize(
    "action",
    [
        "",
        "go north",
        "[",
        "[]",
        "[1]",
        '["a"]',
        '[{"tool": 1}]',
        '[{"tool": "a", "arguments": []}]',
        '{"tool": "a"}',
        "[" * 100_000,
        "[" + "9" * 5000 + "]",
    ],
    ids=range(11),
)
def test_what_is_no_call_is_plain_text(action):
    """Hostile text must reach the environment as text, and never raise."""
    assert read_calls(action) is None


def test_a_template_is_filled_in_one_pass():
    """A value that looks like a template must stay what it is."""
    put = [tool("put {a} in {b}", a={}, b={})]
    assert fill_template(put, "move", {"a": "{b}", "b": "{a}"}) == ("put {b} in {a}", None)
    assert fill_template([tool("say {a} {other}", a={})], "move", {"a": 1}) == ("say 1 {other}", None)


def test_an_argument_that_is_not_required_may_be_left_out():
    look = Tool(
        name="look", description="", parameters={"properties": {"at": {}}, "required": []}, template="look {at}"
    )
    assert fill_template([look], "look", {}) == ("look", None)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("fly", {}, "no tool called 'fly'. The tools are: move"),
        ("move", {}, "lacks a"),
        ("move", {"a": 1, "x": 2}, "does not take x"),
    ],
)
def test_a_wrong_call_is_answered_in_words(name, arguments, words):
    """A model learns from the answer what to do instead."""
    short, error = fill_template([tool("go {a}", a={})], name, arguments)
    assert short == ""
    assert words in str(error)
