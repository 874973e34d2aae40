"""Text is made valid once, and shortened honestly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.core.text import clean, shorten

any_text = st.text(st.characters(exclude_categories=()))


@given(any_text)
def test_clean_text_encodes_and_counts_what_it_replaced(text):
    """A lone surrogate that got through would fail when the record is written."""
    cleaned, replaced = clean(text)
    cleaned.encode()
    assert len(cleaned) == len(text)
    assert replaced == sum("\ud800" <= character <= "\udfff" for character in text)
    assert clean(cleaned) == (cleaned, 0)


@given(any_text, st.integers(1, 60))
def test_shortened_text_fits_on_one_line(text, limit):
    """A long or broken line would tear a table apart."""
    short = shorten(text, limit)
    assert len(short) <= limit
    assert short == " ".join(short.split())


@pytest.mark.parametrize(
    ("text", "limit", "short"),
    [
        ("a  b\nc", 10, "a b c"),
        ("abcdef", 4, "abc…"),
        (" " * 100 + "word", 10, "…"),
        ("a" + " " * 100 + "b", 10, "a…"),
        ("a" + " " * 100, 10, "a"),
    ],
)
def test_what_is_cut_off_is_marked(text, limit, short):
    """A cut without its mark would be read as the whole."""
    assert shorten(text, limit) == short
