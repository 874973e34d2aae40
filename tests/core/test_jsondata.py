"""Infos come from anyone's code; what they hold must survive being written, or be refused by name."""

from __future__ import annotations

import enum
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from arena.core.episode import Turn
from arena.core.jsondata import decode, encode, plain


class Colour(enum.StrEnum):
    RED = "red"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(["$float", "literal"]), inner, max_size=3)
        | st.builds(lambda v: {"$float": v}, inner)
    ),
    max_leaves=10,
)


@given(values)
def test_anything_json_comes_back(value):
    """NaN and infinities included, and objects that look like our own marks."""
    value = plain(value)
    text = json.dumps(encode(value), allow_nan=False)
    assert repr(decode(json.loads(text))) == repr(value)


@given(st.dictionaries(st.text(max_size=5), values, max_size=4))
def test_an_info_comes_back(info):
    """The same through the record itself."""
    turn = Turn(index=0, observation=(), action="", info=info)
    again = Turn.model_validate_json(turn.model_dump_json())
    assert repr(again.info) == repr(turn.info)
    assert again.model_dump_json() == turn.model_dump_json()


def test_what_python_code_puts_in_becomes_plain():
    """Environments by others put NumPy and tuples in infos."""
    given_info = {
        "array": np.arange(3, dtype=np.int64),
        "scalar": np.float32(0.5),
        "flag": np.bool_(True),
        "pair": (1, (2,)),
        "enum": Colour.RED,
        1: "integer key",
        "lone": "\ud800",
    }
    expected = {
        "array": [0, 1, 2],
        "scalar": 0.5,
        "flag": True,
        "pair": [1, [2]],
        "enum": "red",
        "1": "integer key",
        "lone": "\ufffd",
    }
    result = plain(given_info)
    assert result == expected
    assert [type(v) for v in result.values()] == [type(v) for v in expected.values()]


def test_what_is_not_json_is_refused_with_its_place():
    """The author must find it among a hundred keys."""
    with pytest.raises(ValueError, match=r"info\['a'\]\[1\] is a object, which is not JSON data"):
        plain({"a": [1, object()]}, "info")
    with pytest.raises(ValueError, match=r"keys are text"):
        plain({(1, 2): 3})
    with pytest.raises(ValidationError, match=r"info\['a'\] is a set"):
        Turn(index=0, observation=(), action="", info={"a": {1}})


def test_bottomless_data_is_refused():
    """It could be written and then not be read."""
    bottomless: list = []
    bottomless.append(bottomless)
    with pytest.raises(ValueError, match="nested more than 100"):
        plain(bottomless)
    with pytest.raises(ValueError, match="10,000 bits"):
        plain(10**4000)
    deep: dict = {}
    for _ in range(99):
        deep = {"d": deep}
    turn = Turn(index=0, observation=(), action="", info=deep)
    assert Turn.model_validate_json(turn.model_dump_json()) == turn


def test_a_record_with_an_unknown_mark_is_refused():
    """It was not written by us; guessing would change it."""
    with pytest.raises(ValueError, match="nan"):
        decode({"$float": "many"})


def test_nan_equals_nothing_but_is_kept():
    """Read as a string it would break every mean that uses it."""
    turn = Turn(index=0, observation=(), action="", info={"x": math.nan})
    assert math.isnan(Turn.model_validate_json(turn.model_dump_json()).info["x"])
