"""The accessibility tree of a page as a list of what is told of it, in its order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from arena.core.text import shorten
from arena.environments.web._layout import Box, Layout

__all__ = ["Element", "Item", "Telling"]

Node = Mapping[str, Any]
"""One node of `Accessibility.getFullAXTree`."""

_SKIPPED = {"none", "generic", "InlineTextBox", "LineBreak", "LabelText", "MenuListPopup", "ListMarker", "Iframe"}
_PLAIN = {
    *("RootWebArea", "paragraph", "Section", "SectionFooter", "SectionHeader", "strong", "emphasis", "code", "mark"),
    *(
        "form",
        "listitem",
        "row",
        "cell",
        "gridcell",
        "rowheader",
        "columnheader",
        "time",
        "list",
        "rowgroup",
        "superscript",
        "subscript",
        "figure",
        "blockquote",
        "definition",
        "term",
    ),
}
"""Roles whose children are told in their place, unless they react to clicks."""

_CELLS = {"cell", "gridcell", "rowheader", "columnheader"}
_WITHIN_A_LINE = {
    *("a", "abbr", "b", "bdi", "bdo", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd", "label", "mark"),
    *("q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "#text", ""),
}
"""Tags that do not begin a new line of text."""

_ROOTS = ("html", "body", "#document")
_STATES = {"disabled": "disabled", "focused": "focused", "required": "required", "readonly": "read-only"}
_SWITCHES = ("checked", "pressed", "selected", "expanded")
_CONTROLS = {"textbox", "searchbox", "checkbox", "radio", "switch", "combobox", "listbox", "slider", "spinbutton"}
_STOPS = set(".,;:!?()")
"""Signs that are not told where they stand alone between elements."""
_LONGEST_NAME = 300
_MOST_OPTIONS = 40
_INLINE = 80
"""Characters of text that are told as the name of an element that has none."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a page; its string is how it is told.

    Attributes:
        ref: its number.
        node: the browser's own id of it.
        role: as in ARIA; the tag's name where there is no role.
        name: its accessible name.
        value: what it holds, of a field or list.
        states: such as `disabled`, `checked`, `focused`.
        options: labels of a closed list.
        tag: its tag's name, in small letters.
        box: what can be seen of it; None outside of the window.
    """

    ref: str
    node: int
    role: str
    name: str
    value: str
    states: tuple[str, ...]
    options: tuple[str, ...]
    tag: str
    box: Box | None

    def __str__(self) -> str:
        parts = [f"[{self.ref}] {self.role}"]
        if self.name:
            parts.append(f'"{shorten(self.name, _LONGEST_NAME)}"')
        if self.value and self.value != self.name:
            parts.append(f'value="{shorten(self.value, _LONGEST_NAME)}"')
        parts += self.states
        if self.options:
            rest = len(self.options) - _MOST_OPTIONS
            listed = " | ".join(shorten(option, 100) for option in self.options[:_MOST_OPTIONS])
            parts.append(f"options: {listed}{f' | … {rest} more' if rest > 0 else ''}")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Item:
    """An element, or a text between elements.

    Attributes:
        depth: how many elements it is inside of.
        block: texts of the same block, such as a paragraph or a table's row, are one line.
        cell: texts of different cells of a row are set apart.
        box: what can be seen of it; None outside of the window.
        whole: its whole box.
    """

    depth: int
    block: int
    cell: int
    text: str
    element: Element | None
    box: Box | None
    whole: Box | None


class _Place(NamedTuple):
    """Where the walk through the tree is; `above` is the name that has just been told."""

    depth: int
    block: int
    cell: int
    above: str


class Telling:
    """Tells one page.

    Args:
        layout: where its nodes are.
        trees: the accessibility tree of each frame; under "" the page itself.
        number: gives a node its number.
        every: tell every element that has a box.
    """

    def __init__(
        self, layout: Layout, trees: Mapping[str, list[Node]], number: Callable[[int], str], every: bool
    ) -> None:
        self._layout = layout
        self._trees = trees
        self._nodes = {frame: {node["nodeId"]: node for node in tree} for frame, tree in trees.items()}
        self._number = number
        self._every = every
        self._labels = {
            _name(node)
            for tree in trees.values()
            for node in tree
            if node.get("role", {}).get("value") in _CONTROLS and node.get("backendDOMNodeId") in layout.seen
        }

    def told(self) -> Iterator[Item]:
        """Everything there is to tell, in the page's order."""
        if self._trees[""]:
            yield from self._walk("", self._trees[""][0], _Place(0, 0, 0, ""))

    def _walk(self, frame: str, node: Node, place: _Place) -> Iterator[Item]:
        dom = node.get("backendDOMNodeId", -1)
        role, tag = str(node.get("role", {}).get("value", "")), self._layout.tags.get(dom, "")
        box, whole = self._layout.seen.get(dom), self._layout.boxes.get(dom)
        if role == "StaticText":
            text = _name(node)
            if text and text not in place.above and not set(text) <= _STOPS:
                yield Item(place.depth, place.block, place.cell, text, None, box, whole)
            return
        element = self._element(frame, node, role, dom)
        if element is not None:
            yield Item(place.depth, 0, 0, "", element, box, whole)
            if element.options:
                return
            place = _Place(place.depth + 1, dom, 0, element.name)
        elif role in _CELLS:
            place = place._replace(cell=dom)
        elif tag not in _WITHIN_A_LINE and not place.cell:
            place = place._replace(block=dom)
        elif tag == "label" and (said := self._says(frame, node)) in self._labels:
            place = place._replace(above=said)  # what it labels is told by this name
        inside = self._layout.frames.get(dom)
        if inside is not None and self._trees.get(inside):
            yield from self._walk(inside, self._trees[inside][0], place._replace(above=""))
            return
        for child in self._children(frame, node):
            yield from self._walk(frame, child, place)

    def _children(self, frame: str, node: Node) -> Iterator[Node]:
        known = self._nodes[frame]
        return (known[child] for child in node.get("childIds", ()) if child in known)

    def _element(self, frame: str, node: Node, role: str, dom: int) -> Element | None:
        """The node as an element that is told; None where its children are told in its place."""
        layout = self._layout
        tag = layout.tags.get(dom, "")
        if dom not in layout.boxes or tag in _ROOTS or tag.startswith("::"):
            return None
        silent = bool(node.get("ignored")) or role in _SKIPPED or role in _PLAIN
        if silent and dom not in layout.clickable and not self._every:
            return None
        name = _name(node)
        if silent:
            role, name = tag, name or self._inline(frame, node)
            if tag == "label" and not self._every and self._labels_what_is_told(frame, node):
                return None
        options = tuple(self._options(frame, node)) if tag == "select" else ()
        value = " ".join(str(node.get("value", {}).get("value", "")).split())
        states = _states(node, () if tag == "select" else _SWITCHES)
        return Element(self._number(dom), dom, role, name, value, states, options, tag, layout.seen.get(dom))

    def _inline(self, frame: str, node: Node) -> str:
        """The text inside of an element, where it is short and nothing else is in it."""
        pieces: list[str] = []
        waiting = list(self._children(frame, node))[::-1]
        while waiting and len(pieces) <= _INLINE:
            child = waiting.pop()
            role, dom = child.get("role", {}).get("value", ""), child.get("backendDOMNodeId", -1)
            if role == "StaticText":
                pieces.append(_name(child))
            elif dom in self._layout.clickable or not (child.get("ignored") or role in _SKIPPED | _PLAIN):
                return ""
            else:
                waiting += list(self._children(frame, child))[::-1]
        text = " ".join(pieces)
        return text if len(text) <= _INLINE else ""

    def _says(self, frame: str, node: Node) -> str:
        """All the text inside of a node, without what fields hold."""
        role = node.get("role", {}).get("value")
        if role == "StaticText" or role in _CONTROLS:
            return _name(node) if role == "StaticText" else ""
        return " ".join(filter(None, (self._says(frame, child) for child in self._children(frame, node))))

    def _labels_what_is_told(self, frame: str, node: Node) -> bool:
        """Whether a label's field is told, by this very name."""
        inside = list(self._children(frame, node))
        while inside:
            child = inside.pop()
            if child.get("role", {}).get("value") in _CONTROLS and child.get("backendDOMNodeId") in self._layout.seen:
                return True
            inside += self._children(frame, child)
        return self._says(frame, node) in self._labels

    def _options(self, frame: str, node: Node) -> Iterator[str]:
        """The labels of a list that is closed; those of an open one are elements of their own."""
        for child in self._children(frame, node):
            if child.get("role", {}).get("value") == "option":
                if child.get("backendDOMNodeId", -1) in self._layout.seen:
                    return
                yield _name(child)
            else:
                yield from self._options(frame, child)


def _name(node: Node) -> str:
    return " ".join(str(node.get("name", {}).get("value", "")).split())


def _states(node: Node, switches: tuple[str, ...]) -> tuple[str, ...]:
    properties = {p["name"]: p["value"].get("value") for p in node.get("properties", ())}
    states = [word for key, word in _STATES.items() if properties.get(key)]
    for key in switches:
        told = properties.get(key)
        if key in properties and (key != "selected" or told):
            states.append(f"partly {key}" if told == "mixed" else key if told not in (False, "false") else f"not {key}")
    if properties.get("invalid") not in (None, False, "false"):
        states.append("invalid")
    return tuple(states)
