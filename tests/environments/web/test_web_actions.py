"""BrowserGym's action strings are read without being run, and every mistake in one is answered in words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("playwright")

from arena.environments.web._acting import SUBSETS, vocabulary
from arena.environments.web._actions import ActionError, Call

EVERYTHING = vocabulary(*SUBSETS)


@pytest.mark.parametrize(
    ("action", "calls"),
    [
        ('click("12")', [("click", {"bid": "12"})]),
        ("click(12)", [("click", {"bid": "12"})]),
        ("click('a', button='right')", [("click", {"bid": "a", "button": "right"})]),
        ('click("1", "left", ["Shift"])', [("click", {"bid": "1", "button": "left", "modifiers": ["Shift"]})]),
        ('fill("7", "it\'s \\"so\\"\\n")', [("fill", {"bid": "7", "value": 'it\'s "so"\n'})]),
        ('fill("7", value=5)', [("fill", {"bid": "7", "value": "5"})]),
        ('select_option("3", ["a", "b"])', [("select_option", {"bid": "3", "options": ["a", "b"]})]),
        ("scroll(0, -300)", [("scroll", {"delta_x": 0, "delta_y": -300})]),
        ("tab_focus(1.0)", [("tab_focus", {"index": 1})]),
        ("noop()", [("noop", {})]),
        ('```python\nclick("1")\n```', [("click", {"bid": "1"})]),
        ('click("1")\npress("1", "Enter")', [("click", {"bid": "1"}), ("press", {"bid": "1", "key_comb": "Enter"})]),
        ('goto("https://a.test/?q=1;2")', [("goto", {"url": "https://a.test/?q=1;2"})]),
    ],
)
def test_an_action_is_read_as_browsergym_writes_it(action, calls):
    assert [(call.name, call.arguments) for call in EVERYTHING.read(action)] == calls


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        ("", "empty"),
        ("click the button", "no action"),
        ("click(", "never closed"),
        ("klick('1')", "Did you mean click"),
        ("__import__('os').system('true')", "calls only"),
        ("click(open('/etc/passwd').read())", "plain values"),
        ("click(*['1'])", "write its arguments out"),
        ("click(**{'bid': '1'})", "write its arguments out"),
        ("x = 1", "calls only"),
        ("click()", "needs bid"),
        ("click('1', 'left', [], 4)", "at most 3 arguments"),
        ("click(bid='1', where=2)", "no argument 'where'"),
        ("click('1', bid='2')", "gets bid twice"),
        ("click('1', button='top')", "'left' or 'middle' or 'right'"),
        ("scroll('a', 0)", "must be a number"),
        ("scroll(True, 0)", "must be a number"),
        ("scroll(1e400, 0)", "must be a number"),
        ("tab_focus(1.5)", "must be a whole number"),
        ("noop()\n" * 21, "at most 20 calls"),
        ("noop()" + " " * 30_000, "at most 20000 characters"),
        ("(" * 5000, "no action"),
        ("fill('1', " + "[" * 150 + "]" * 150 + ")", "must be a string"),
        ('[{"tool": "click", "arguments": {}}]', "needs bid"),
        ('[{"tool": "fly", "arguments": {}}]', "no function called 'fly'"),
    ],
)
def test_what_is_wrong_with_an_action_is_said(action, sentence):
    with pytest.raises(ActionError) as caught:
        EVERYTHING.read(action)
    assert sentence in str(caught.value)


@given(st.text() | st.text(alphabet="clik()'\",[]{}=:\\\n0x7-*"))
def test_garbage_never_raises_anything_else(action):
    try:
        EVERYTHING.read(action)
    except ActionError:
        return


TEXT = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=40)


@given(TEXT, st.lists(TEXT, max_size=3))
def test_what_ran_can_be_run_again(value, options):
    """`executed` of a record would not replay."""
    for call in (
        Call("fill", {"bid": "1", "value": value}, 2),
        Call("select_option", {"bid": "1", "options": options}),
    ):
        [again] = EVERYTHING.read(str(call))
        assert (again.name, again.arguments) == (call.name, call.arguments)


@given(TEXT)
def test_tool_calls_say_the_same_as_the_strings(value):
    calls = EVERYTHING.read(json.dumps([{"tool": "fill", "arguments": {"bid": "3", "value": value}}]))
    assert EVERYTHING.read(EVERYTHING.canonical(calls)) == calls
    assert [dict(call.arguments) for call in calls] == [{"bid": "3", "value": value}]


def test_every_function_is_a_tool_whose_schema_accepts_what_its_signature_does():
    tools = {tool.name: tool for tool in EVERYTHING.tools()}
    assert set(tools) == {name for names in SUBSETS.values() for name in names}
    click = tools["click"].parameters
    assert click["required"] == ["bid"]
    assert click["properties"]["button"] == {"type": "string", "enum": ["left", "middle", "right"]}
    assert tools["select_option"].parameters["properties"]["options"]["anyOf"][1]["type"] == "array"
    assert all(tool.description and tool.template for tool in tools.values())


def test_a_subset_knows_nothing_else():
    some = vocabulary("bid", without=("upload_file",))
    with pytest.raises(ActionError, match="goto"):
        some.read('goto("https://a.test")')
    assert "upload_file" not in some.names
