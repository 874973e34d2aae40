"""What a person does on the pages to reach a goal: the oracle's way, written down when the goal is drawn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from arena.environments.web._observe import Element

__all__ = ["Move", "answer", "choose", "click", "fill", "give_up", "next_action", "search", "tick"]

Verb = Literal["click", "fill", "select_option", "check", "send_msg_to_user", "report_infeasible"]

_ROLES: dict[str, tuple[str, ...]] = {
    "click": ("link", "button"),
    "fill": ("textbox", "searchbox", "Date"),
    "select_option": ("combobox",),
    "check": ("checkbox",),
}


@dataclass(frozen=True)
class Move:
    """One call of an action on the element with this name."""

    verb: Verb
    name: str
    value: str = ""

    def on(self, elements: Iterable[Element]) -> str | None:
        """The action, where the element can be seen."""
        if self.verb not in _ROLES:
            return f"{self.verb}({json.dumps(self.value)})"
        for element in elements:
            if element.name == self.name and element.role in _ROLES[self.verb]:
                value = "" if self.verb in ("click", "check") else f", {json.dumps(self.value)}"
                return f"{self.verb}({json.dumps(element.ref)}{value})"
        return None


def click(*names: str) -> list[Move]:
    """Click one link or button after the other."""
    return [Move("click", name) for name in names]


def fill(label: str, text: str) -> list[Move]:
    """Write into a field."""
    return [Move("fill", label, text)]


def choose(label: str, option: str) -> list[Move]:
    """Choose from a list."""
    return [Move("select_option", label, option)]


def tick(label: str) -> list[Move]:
    """Tick a checkbox."""
    return [Move("check", label)]


def search(field: str, words: str) -> list[Move]:
    """Search in the search bar of an application."""
    return [Move("fill", field, words), Move("click", "Search")]


def answer(text: str = "Done.") -> list[Move]:
    """Tell the user the answer, or that it is done."""
    return [Move("send_msg_to_user", "", text)]


def give_up(reason: str) -> list[Move]:
    """Say that it cannot be done."""
    return [Move("report_infeasible", "", reason)]


def next_action(moves: Sequence[Move], elements: Iterable[Element]) -> tuple[str, int]:
    """The next moves as one action: fields are filled in and sent in one go, as far as they can be seen.

    Returns:
        The action, and how many of the moves it makes; a scroll makes none.
    """
    elements = list(elements)
    calls: list[str] = []
    for move in moves:
        call = move.on(elements)
        if call is None:
            break
        calls.append(call)
        if move.verb not in ("fill", "select_option", "check"):
            break
    return ("\n".join(calls), len(calls)) if calls else ("scroll(0, 500)", 0)
