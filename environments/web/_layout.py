"""Where the elements of a page are, and which of them can be seen: read from the browser's own layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Box", "Layout"]

STYLES = ("overflow-x", "overflow-y", "visibility", "opacity", "position")
"""What is asked of each box."""

_SMALLEST = 1.0
"""Pixels of a side below which a box shows nothing."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in the window, in CSS pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def empty(self) -> bool:
        """Whether nothing of it could be seen."""
        return self.right - self.left < _SMALLEST or self.bottom - self.top < _SMALLEST

    def within(self, other: Box) -> Box:
        """What both cover."""
        return Box(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )


class Layout:
    """The boxes of a page's nodes, frames included, by backend node id.

    Args:
        captured: what `DOMSnapshot.captureSnapshot` returned for `STYLES`.
        window: width and height of the window.

    Attributes:
        boxes: the whole box of each node that has one.
        seen: the part of it that is inside the window and inside whatever it scrolls in.
        clickable: nodes that do something when they are clicked.
        frames: node of an inner frame -> its frame id.
        tags: tag names, in small letters.
    """

    def __init__(self, captured: Mapping[str, Any], window: tuple[int, int]) -> None:
        self.boxes: dict[int, Box] = {}
        self.seen: dict[int, Box] = {}
        self.clickable: set[int] = set()
        self.frames: dict[int, str] = {}
        self.tags: dict[int, str] = {}
        self._strings: list[str] = captured["strings"]
        self._documents: list[Any] = captured["documents"]
        self.window = Box(0.0, 0.0, *map(float, window))
        if self._documents:
            self._place(0, 0.0, 0.0, self.window)

    def _place(self, number: int, left: float, top: float, clip: Box) -> None:
        """Place the nodes of one document, whose own top left corner is at (left, top) in the window."""
        document = self._documents[number]
        nodes, layout = document["nodes"], document["layout"]
        ids: list[int] = nodes["backendNodeId"]
        names, strings = nodes["nodeName"], self._strings
        inner = dict(zip(nodes["contentDocumentIndex"]["index"], nodes["contentDocumentIndex"]["value"], strict=True))
        self.clickable.update(ids[index] for index in nodes["isClickable"]["index"])
        right, down = left - document.get("scrollOffsetX", 0), top - document.get("scrollOffsetY", 0)
        clips: dict[int, Box] = {}
        boxes: dict[int, Box] = {}
        styles: dict[int, list[int]] = {}
        for index, bounds, style in zip(layout["nodeIndex"], layout["bounds"], layout["styles"], strict=True):
            x, y, width, height = bounds
            box = Box(x + right, y + down, x + right + width, y + down + height)
            kept = boxes.get(index)
            if kept is not None:  # a node in several boxes covers them all
                box = Box(
                    min(kept.left, box.left),
                    min(kept.top, box.top),
                    max(kept.right, box.right),
                    max(kept.bottom, box.bottom),
                )
            boxes[index] = box
            styles[index] = style or styles.get(index, [])
        borders = dict(zip(layout["nodeIndex"], layout["clientRects"], strict=True))
        parents = nodes["parentIndex"]
        for index, parent in enumerate(parents):
            node = ids[index]
            self.tags[node] = strings[names[index]].lower()
            around = clips.get(parent, clip)
            own = boxes.get(index)
            clips[index] = around
            if own is None:
                continue
            self.boxes[node] = own
            style = [strings[value] for value in styles[index]]
            hidden = len(style) == len(STYLES) and (style[2] != "visible" or style[3] == "0")
            if style and style[4] == "fixed":
                around = clip
            part = own.within(around)
            if not part.empty and not hidden:
                self.seen[node] = part
            if style and _clips(style, self.tags[node]):
                clips[index] = part
            if index in inner:
                self.frames[node] = strings[self._documents[inner[index]]["frameId"]]
                self._place(inner[index], own.left + borders[index][0], own.top + borders[index][1], part)


def _clips(style: list[str], tag: str) -> bool:
    """Whether an element hides what goes beyond its box; the page's own root is the window's affair."""
    return tag not in ("html", "body", "#document") and "visible" not in style[:2]
