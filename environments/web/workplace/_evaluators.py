"""WebArena's kinds of evaluators, as plain data: what was answered, where it ended, what is shown, what was changed.

    score = 1 if every evaluator of the goal holds, else 0

After Zhou et al. 2023, "WebArena", section 3.2: `string_match` (exact_match, must_include), `url_match` and
`program_html`; numbers as in VisualWebArena's NumericEvaluator. Two deviations: no language model is asked, and what
was changed is compared with the whole database, so that a task with side effects is not done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from arena.environments.web.workplace._database import DEFAULTS, Change

__all__ = [
    "Added",
    "Answer",
    "At",
    "Changes",
    "Ending",
    "Evaluator",
    "Holding",
    "Infeasible",
    "Mentions",
    "Number",
    "Removed",
    "Shows",
    "Updated",
]


@dataclass(frozen=True)
class Ending:
    """How an episode ended.

    Attributes:
        answer: the first message to the user; None without one.
        infeasible: why it cannot be done, if that was said.
        url: the page that was looked at.
        page: its visible text.
        changes: what differs from the seeded rows.
    """

    answer: str | None = None
    infeasible: str | None = None
    url: str = ""
    page: str = ""
    changes: Sequence[Change] = ()


class Evaluator(Protocol):
    """Judges one side of an ending."""

    def holds(self, ending: Ending) -> bool:
        """Whether it is as it should be."""
        ...


def clean(text: str) -> str:
    """A text without what does not matter: spaces around and between words, and the form of quotes."""
    return " ".join(text.translate(_QUOTES).split())


_QUOTES = str.maketrans("‘’“”\u00a0", "''\"\" ")


def _answer(text: str) -> str:
    """An answer as WebArena cleans it: case, quotes around it and a last full stop do not matter either."""
    found = clean(text).casefold().removesuffix(".").strip()
    return found[1:-1].strip() if len(found) > 1 and found[0] == found[-1] and found[0] in "\"'" else found


@dataclass(frozen=True)
class Answer:
    """The answer is this (`exact_match`)."""

    text: str

    def holds(self, ending: Ending) -> bool:
        """Whether it was given."""
        return ending.answer is not None and _answer(ending.answer) == _answer(self.text)


@dataclass(frozen=True)
class Mentions:
    """The answer has all of these words or phrases, in any order, and none of the others (`must_include`)."""

    parts: tuple[str, ...]
    none_of: tuple[str, ...] = ()

    def holds(self, ending: Ending) -> bool:
        """Whether they are there."""
        if ending.answer is None:
            return False
        said = _answer(ending.answer)
        return all(_said(part, said) for part in self.parts) and not any(_said(part, said) for part in self.none_of)


def _said(part: str, text: str) -> bool:
    """Whether a phrase stands in a text as whole words: 1 is not in 12."""
    return re.search(rf"(?<!\w){re.escape(_answer(part))}(?!\w)", text) is not None


@dataclass(frozen=True)
class Number:
    """The answer names this number and no other: 1,284.50, 1284.5 EUR, or twelve."""

    value: float

    def holds(self, ending: Ending) -> bool:
        """Whether it is named."""
        found = set(_numbers(ending.answer or ""))
        return len(found) == 1 and abs(found.pop() - self.value) < 1e-6


_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
_NUMBER = re.compile(rf"(?<![\w.,])-?(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?(?![\d\w])|\b(?:{'|'.join(_WORDS)})\b")


def _numbers(text: str) -> list[float]:
    said = _NUMBER.findall(clean(text).casefold())
    return [float(_WORDS.index(one)) if one in _WORDS else float(one.replace(",", "")) for one in said]


@dataclass(frozen=True)
class At:
    """The page looked at has this address: host, path, and each part of the query (`url_match`)."""

    url: str

    def holds(self, ending: Ending) -> bool:
        """Whether it is this one; empty parts of the query, a first page and the default order do not matter."""
        return _place(ending.url) == _place(self.url)


def _place(url: str) -> tuple[str, str, dict[str, str]]:
    parts = urlsplit(url)
    query = {name: value for name, value in parse_qsl(parts.query) if (name, value) not in _USUAL}
    return parts.netloc, parts.path.rstrip("/"), query


_USUAL = {("page", "1"), ("sort", "number"), ("sort", "newest")}


@dataclass(frozen=True)
class Shows:
    """The page looked at shows all of these texts, and none of the others (`program_html`)."""

    texts: tuple[str, ...]
    none_of: tuple[str, ...] = ()

    def holds(self, ending: Ending) -> bool:
        """Whether they are there."""
        page = clean(ending.page)
        return all(clean(text) in page for text in self.texts) and not any(clean(text) in page for text in self.none_of)


@dataclass(frozen=True)
class Infeasible:
    """It was said that the task cannot be done."""

    def holds(self, ending: Ending) -> bool:
        """Whether it was, instead of an answer."""
        return ending.infeasible is not None and ending.answer is None


@dataclass(frozen=True)
class Holding:
    """Stands for any text of a row that holds this one."""

    text: str


@dataclass(frozen=True)
class Added:
    """A row that should be new; what is not named is as in `DEFAULTS`."""

    table: str
    values: Mapping[str, Any] = field(hash=False)

    def matches(self, change: Change) -> bool:
        """Whether the change is this one."""
        if change.row is not None or change.table != self.table or change.now is None:
            return False
        wanted = {**DEFAULTS.get(self.table, {}), **self.values}
        return set(wanted) == set(change.now) and _alike(wanted, change.now)


@dataclass(frozen=True)
class Updated:
    """A row that should hold these values now, and otherwise what it held."""

    table: str
    row: int
    values: Mapping[str, Any] = field(hash=False)

    def matches(self, change: Change) -> bool:
        """Whether the change is this one."""
        same = (change.table, change.row) == (self.table, self.row)
        return (
            same and change.now is not None and set(change.now) == set(self.values) and _alike(self.values, change.now)
        )


@dataclass(frozen=True)
class Removed:
    """A row that should be gone."""

    table: str
    row: int

    def matches(self, change: Change) -> bool:
        """Whether the change is this one."""
        return (change.table, change.row, change.now) == (self.table, self.row, None)


class Changes:
    """The database was changed in exactly these ways; without any, not at all.

    Texts are compared without spaces that do not matter, but with their case.
    """

    def __init__(self, *wanted: Added | Updated | Removed) -> None:
        self.wanted = wanted

    def holds(self, ending: Ending) -> bool:
        """Whether each change is wanted and each wanted one was made."""
        left = list(ending.changes)
        for wanted in self.wanted:
            found = next((change for change in left if wanted.matches(change)), None)
            if found is None:
                return False
            left.remove(found)
        return not left


def _alike(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    return all(_equal(value, found[name]) for name, value in wanted.items())


def _equal(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, Holding):
        return isinstance(found, str) and clean(wanted.text) in clean(found)
    if isinstance(wanted, str) and isinstance(found, str):
        return clean(wanted) == clean(found)
    return bool(wanted == found)
