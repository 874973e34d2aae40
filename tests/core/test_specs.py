"""Specs are read back as they were written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.core.errors import BadSpec
from arena.core.specs import Spec

values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.lists(st.text()).map(str)
)
keys = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)


@given(kind=keys, options=st.dictionaries(keys, values, max_size=4), name=st.sampled_from(["", "qwen3", "a/b:7b"]))
def test_any_options_round_trip(kind, options, name):
    """A spec whose text has commas, quotes or brackets would rebuild another agent or model."""
    spec = Spec(kind, name, options=options)
    assert Spec.parse(str(spec)) == spec


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ('chat:stop=["a, b", "c"],window=2', {"stop": '["a, b", "c"]', "window": 2}),
        ('scripted:text="go north, then wait"', {"text": "go north, then wait"}),
        ("chat:stop=[/INST],window=2", {"stop": "[/INST]", "window": 2}),
        ("scripted:text=", {"text": ""}),
    ],
)
def test_a_json_value_may_hold_commas(line, options):
    """A comma inside a JSON value would cut it in two."""
    assert Spec.parse(line).options == options


def test_a_dotted_module_is_a_kind():
    """An agent in a package could not be named."""
    assert Spec.parse("my_package.agents:Greedy,n=3") == Spec("my_package.agents", "Greedy", options={"n": 3})


@pytest.mark.parametrize("line", ["", "no such thing", "chat:window=2,3", ":x", "a-b"])
def test_what_is_no_spec_is_refused(line):
    """A typing error would be taken for something else."""
    with pytest.raises(BadSpec):
        Spec.parse(line)
