"""Spaces accept exactly what records and models can carry."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.core.spaces import AnyText, TextImage


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_what_encodes(text):
    """Gymnasium's own Text space has an alphabet and a length, which no language agent keeps."""
    assert AnyText().contains(text) == (not any("\ud800" <= character <= "\udfff" for character in text))


@pytest.mark.parametrize("space", [AnyText(), TextImage()], ids=repr)
def test_samples_lie_in_the_space_repeat_by_seed_and_survive_json(space):
    """Otherwise Gymnasium's own tools would not work on it."""
    space.seed(3)
    samples = [space.sample() for _ in range(20)]
    space.seed(3)
    back = space.from_jsonable(json.loads(json.dumps(space.to_jsonable(samples))))
    for sample, again, read in zip(samples, (space.sample() for _ in range(20)), back, strict=True):
        assert space.contains(sample)
        assert space.contains(read)
        np.testing.assert_equal(again, sample)
        np.testing.assert_equal(read, sample)


@pytest.mark.parametrize("space", [AnyText(), TextImage()], ids=repr)
def test_spaces_are_values(space):
    """A space sent to a worker process must equal the one there."""
    assert pickle.loads(pickle.dumps(space)) == space
    assert hash(space) == hash(type(space)())
    assert space not in (None, "", AnyText() if isinstance(space, TextImage) else TextImage())


IMAGE = np.zeros((2, 3, 3), np.uint8)


@pytest.mark.parametrize(
    "wrong",
    [
        "text alone",
        {"text": "no image"},
        {"text": "x", "image": IMAGE, "more": 1},
        {"text": "\ud800", "image": IMAGE},
        {"text": "x", "image": IMAGE.astype(float)},
        {"text": "x", "image": IMAGE[:, :, 0]},
        {"text": "x", "image": np.zeros((2, 3, 4), np.uint8)},
        {"text": "x", "image": IMAGE.tolist()},
    ],
)
def test_text_with_an_image_is_exactly_that(wrong):
    """An image of another form would fail when the record is written, far from its cause."""
    assert not TextImage().contains(wrong)
    assert TextImage().contains({"text": "x", "image": IMAGE})
