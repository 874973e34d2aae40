"""Spaces for what language agents read and write: any Unicode text, and text with an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Space

_SAMPLE_WORDS = ("look", "north", "take", "the", "key", "why?", "42", "élan", "日本", "🙂", "\n", '{"a": 1}')


def _words(generator: np.random.Generator) -> str:
    count = int(generator.integers(0, 6))
    return " ".join(_SAMPLE_WORDS[i] for i in generator.integers(0, len(_SAMPLE_WORDS), count))


class AnyText(Space[str]):
    """Every valid Unicode string of any length (no lone surrogates)."""

    def __init__(self, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(shape=None, dtype=None, seed=seed)

    def sample(self, mask: None = None, probability: None = None) -> str:
        """A few words, some of them not ASCII."""
        return _words(self.np_random)

    def contains(self, x: Any) -> bool:
        """Whether x is a string that encodes as UTF-8."""
        if not isinstance(x, str):
            return False
        if x.isascii():
            return True
        try:
            x.encode()
        except UnicodeEncodeError:
            return False
        return True

    @property
    def is_np_flattenable(self) -> bool:
        """Text has no fixed length, so never."""
        return False

    def to_jsonable(self, sample_n: Any) -> list[str]:
        """Strings are JSON already."""
        return list(sample_n)

    def from_jsonable(self, sample_n: Any) -> list[str]:
        """Strings are JSON already."""
        return list(sample_n)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnyText)

    def __hash__(self) -> int:
        return hash(AnyText)

    def __repr__(self) -> str:
        return "AnyText()"


class TextImage(Space[dict[str, Any]]):
    """`{"text": str, "image": uint8 array of shape (height, width, 3)}`, any size of image."""

    def __init__(self, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(shape=None, dtype=None, seed=seed)
        self.text = AnyText()

    def sample(self, mask: None = None, probability: None = None) -> dict[str, Any]:
        """A few words and a small image of noise."""
        image = self.np_random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return {"text": _words(self.np_random), "image": image}

    def contains(self, x: Any) -> bool:
        """Whether x has exactly a valid text and a (height, width, 3) uint8 image."""
        if not isinstance(x, dict) or set(x) != {"text", "image"} or not self.text.contains(x["text"]):
            return False
        image = x["image"]
        return isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3

    @property
    def is_np_flattenable(self) -> bool:
        """Text has no fixed length, so never."""
        return False

    def to_jsonable(self, sample_n: Any) -> list[dict[str, Any]]:
        """Images become nested lists."""
        return [{"text": s["text"], "image": s["image"].tolist()} for s in sample_n]

    def from_jsonable(self, sample_n: Any) -> list[dict[str, Any]]:
        """Nested lists become images."""
        return [{"text": s["text"], "image": np.asarray(s["image"], dtype=np.uint8)} for s in sample_n]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextImage)

    def __hash__(self) -> int:
        return hash(TextImage)

    def __repr__(self) -> str:
        return "TextImage()"
