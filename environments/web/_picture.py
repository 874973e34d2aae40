"""Screenshots as arrays, and the elements' numbers drawn into them."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from arena.environments.web._telling import Element

__all__ = ["draw_marks", "pixels"]

_COLOURS = ("#d7263d", "#1b6ca8", "#2e7d32", "#8e24aa", "#b35900", "#00796b")


def pixels(png: bytes) -> np.ndarray:
    """A PNG file as a uint8 array of shape (height, width, 3)."""
    with Image.open(io.BytesIO(png)) as image:
        return np.array(image.convert("RGB"))


def draw_marks(image: np.ndarray, elements: Iterable[Element], scale: float = 1.0) -> None:
    """Draw a frame around each visible element, with its number, into the image.

    Args:
        image: uint8 array of shape (height, width, 3), changed in place.
        elements: those with a box are drawn.
        scale: pixels of the image per CSS pixel.

    Source: set-of-mark prompting (Yang et al., 2023, arXiv 2310.11441).
    """
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=11 * scale)
    for element in elements:
        if element.box is None:
            continue
        colour = _COLOURS[int(element.ref) % len(_COLOURS)]
        box = element.box
        left, top, right, bottom = (side * scale for side in (box.left, box.top, box.right, box.bottom))
        draw.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=max(1, round(scale)))
        label = draw.textbbox((left + 1, top), element.ref, font=font)
        draw.rectangle((label[0] - 1, label[1] - 1, label[2] + 1, label[3] + 1), fill=colour)
        draw.text((left + 1, top), element.ref, fill="white", font=font)
    image[:] = np.asarray(canvas)
