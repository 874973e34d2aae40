"""Observations as agents and records see them, whatever form the environment returns."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from arena.core.text import clean

if TYPE_CHECKING:
    import numpy as np

    from arena.core.messages import ImagePart


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What happened since the last action.

    Attributes:
        text: valid Unicode.
        image: uint8 array of shape (height, width, 3), or None.
        results: one text per tool call of the last action, where it was made of tool calls.
        replaced: how many characters were not valid Unicode and became U+FFFD.
    """

    text: str
    image: np.ndarray | None = None
    results: tuple[str, ...] = ()
    replaced: int = 0

    @classmethod
    def of(cls, raw: str | Mapping[str, Any], info: Mapping[str, Any]) -> Observation:
        """Read what `reset` or `step` returned."""
        text, replaced = clean(raw if isinstance(raw, str) else raw["text"])
        results = tuple(clean(str(result))[0] for result in info.get("results", ()))
        return cls(text, None if isinstance(raw, str) else raw["image"], results, replaced)


def image_part(image: np.ndarray) -> ImagePart:
    """The image as a PNG part, with its bytes attached.

    Args:
        image: uint8 array of shape (height, width, 3).
    """
    from PIL import Image

    from arena.core.messages import ImagePart

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    data = buffer.getvalue()
    part = ImagePart(sha256=hashlib.sha256(data).hexdigest(), width=image.shape[1], height=image.shape[0])
    return part.with_data(data)
