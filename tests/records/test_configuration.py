"""What `--resume` compares, and what it tells a person."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arena.records import config_difference

OLD = {"agent": {"spec": "chat", "prompt": "You play."}, "suite": {"hash": "a"}, "seed": 0, "workers": None}


def test_equal_configurations_do_not_differ():
    """A configuration read from TOML has lists for tuples and nothing for None."""
    assert config_difference({"a": (1, 2), "b": None, "c": {"d": None}}, {"a": [1, 2], "c": {}}) == []


def test_each_difference_is_a_line():
    """A person must see what to put back."""
    new = {"agent": {"spec": "react", "prompt": "You play."}, "suite": {"hash": "a"}, "workers": 4}
    assert config_difference(OLD, new) == [
        'agent.spec: was "chat", is now "react"',
        "seed: was 0, is now not set",
        "workers: was not set, is now 4",
    ]


def test_only_the_keys_asked_for_are_compared():
    """Concurrency and paths may change on resume; names that only begin alike are others."""
    new = {"agent": {"spec": "react"}, "agents": 3, "seed": 1}
    assert config_difference(OLD, new, ["agent.spec", "suite"]) == [
        'agent.spec: was "chat", is now "react"',
        'suite.hash: was "a", is now not set',
    ]
    assert config_difference(OLD, new, ["age"]) == []


def test_long_values_are_cut_where_they_differ():
    """The difference between two prompts of a page is one word."""
    page = "You are a careful player. " * 40
    (line,) = config_difference({"prompt": page + "Be brief."}, {"prompt": page + "Be long."})
    assert "Be brief." in line
    assert "Be long." in line
    assert len(line) < 300


def test_one_is_not_true():
    """`deterministic = 1` and `deterministic = true` print alike in Python and mean different things."""
    assert config_difference({"a": 1}, {"a": True}) == ["a: was 1, is now true"]


configurations = st.dictionaries(
    st.text(max_size=3), st.none() | st.integers() | st.text(max_size=200) | st.lists(st.booleans()), max_size=4
)


@given(configurations, configurations)
def test_any_two_configurations_can_be_compared(old, new):
    """Never an exception; nothing for the same; the same settings whichever is the older."""
    assert config_difference(old, old) == []
    forth, back = config_difference(old, new), config_difference(new, old)
    assert {line.partition(": was ")[0] for line in forth} == {line.partition(": was ")[0] for line in back}
