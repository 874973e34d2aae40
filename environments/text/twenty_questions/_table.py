"""The objects and the facts about them.

A set of objects is an int: bit i stands for object i. A fact is the set of objects it is true of.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Object:
    """One thing to guess.

    Attributes:
        names: the usual one first.
        named: the usual name with its article.
        cm: longest side.
        tall: height, in cm.
        litres: bulk; how big it is felt to be.
        kg: mass.
    """

    category: str
    names: tuple[str, ...]
    named: str
    cm: float
    tall: float
    litres: float
    kg: float


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: the question in plain words, the ways to ask for it or its opposite, the objects it is true of."""

    question: str
    asks: tuple[str, ...]
    denies: tuple[str, ...]
    objects: int


@dataclass(frozen=True, slots=True)
class Table:
    """All objects and facts, and further words (see words.toml)."""

    objects: tuple[Object, ...]
    facts: Mapping[str, Fact]
    words: Mapping[str, Mapping[str, Any]]

    @property
    def everything(self) -> int:
        """The set of all objects."""
        return (1 << len(self.objects)) - 1

    def beyond(self, measure: str, limit: float) -> int:
        """The objects with more than `limit` of a measure: "cm", "tall", "litres" or "kg"."""
        return sum(1 << i for i, thing in enumerate(self.objects) if getattr(thing, measure) > limit)

    def below(self, measure: str, limit: float) -> int:
        """The objects with less than `limit` of a measure."""
        return sum(1 << i for i, thing in enumerate(self.objects) if getattr(thing, measure) < limit)


@cache
def load_table() -> Table:
    """Read the data files, once per process."""
    words = tomllib.loads((_FOLDER / "words.toml").read_text("utf-8"))
    articles = {name: article for article, names in words["articles"].items() for name in names.split("; ")}
    with (_FOLDER / "objects.csv").open(newline="", encoding="utf-8") as file:
        objects = tuple(_object(row, articles.get(row["name"])) for row in csv.DictReader(file))
    sets = {thing.names[0].replace(" ", "-"): 1 << i for i, thing in enumerate(objects)}
    for i, thing in enumerate(objects):
        sets[f"@{thing.category}"] = sets.get(f"@{thing.category}", 0) | 1 << i
    empty = Table(objects, {}, words)
    sets["@all"] = empty.everything
    facts: dict[str, Fact] = {}
    entries = tomllib.loads((_FOLDER / "traits.toml").read_text("utf-8"))
    for name in entries:
        _add_fact(name, entries, empty, sets, facts)
    return Table(objects, {name: facts[name] for name in entries}, empty.words)


def _object(row: Mapping[str, str], article: str | None) -> Object:
    name = row["name"]
    if article is None:
        article = "an" if name[0] in "aeiou" else "a"
    named = name if article == "none" else f"{article} {name}"
    names = (name, *filter(None, row["also"].split(";")))
    tall = row["tall"] or row["cm"]
    return Object(row["category"], names, named, float(row["cm"]), float(tall), float(row["litres"]), float(row["kg"]))


def _add_fact(
    name: str, entries: Mapping[str, Any], table: Table, sets: dict[str, int], facts: dict[str, Fact]
) -> None:
    """Work out one fact, after those it refers to."""
    entry = entries[name]
    terms = entry.get("true", "").split()
    for term in terms:
        if term.lstrip("-").startswith("#") and term.lstrip("-") not in sets:
            _add_fact(term.lstrip("-#"), entries, table, sets, facts)
    objects = _combined(terms, sets)
    if "over" in entry or "under" in entry:
        objects = table.everything
        for measure, limit in entry.get("over", {}).items():
            objects &= table.beyond(measure, limit)
        for measure, limit in entry.get("under", {}).items():
            objects &= table.below(measure, limit)
    sets[f"#{name}"] = objects
    facts[name] = Fact(entry["question"], tuple(entry["asks"]), tuple(entry.get("denies", ())), objects)


def _combined(terms: Sequence[str], sets: Mapping[str, int]) -> int:
    """The union of the terms without those that a minus takes away."""
    kept = taken = 0
    for term in terms:
        if term.startswith("-"):
            taken |= sets[term[1:]]
        else:
            kept |= sets[term]
    return kept & ~taken
