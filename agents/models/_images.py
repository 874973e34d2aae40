"""Images on their way to a model."""

from __future__ import annotations

from arena.core.errors import UsageError
from arena.core.messages import ImagePart


def image_data(part: ImagePart) -> bytes:
    """The bytes of an image that is to be sent.

    Raises:
        UsageError: they are not at hand.
    """
    if part.data is None:
        what = f"The image {part.sha256[:12]}… has no bytes"
        raise UsageError(f"{what}: read it from the run's blobs before a model is asked.")
    return part.data
