"""Reads a free yes/no question as the set of objects for which the answer is yes.

A small rewriting grammar. `_wording` brings the text to base forms; `_grammar` reduces a question to a predicate
("does it have legs" to `have leg`, "would you find it in a kitchen" to `find it in a kitchen`); a predicate is
looked up among the ways to ask for a fact, compared (`_measures`), said in another way (`in kitchen`), or divided
into parts that are read on their own ("a metal tool that you use in the garden"). Every word must find its
place: what is only half understood is not answered.

"Isn't it an animal?" asks what "Is it an animal?" asks, as in speech; "Is it not an animal?" and "something
that is not an animal" are taken at their word.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

from arena.environments.text.twenty_questions._grammar import (
    ANYTHING,
    JOINED,
    NEGATED,
    POSTPOSED,
    RELATIVE,
    THIS,
    continued,
    predicates,
    rewritten,
    without_articles,
    without_kind,
)
from arena.environments.text.twenty_questions._measures import SIZE_WORDS, Measures
from arena.environments.text.twenty_questions._table import Table, load_table
from arena.environments.text.twenty_questions._wording import Wording

_DEEPEST = 7
_MOST_PHRASES = 1000
_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Reading:
    """What was understood: the objects for which the answer is yes; `guess` says that it names one thing outright."""

    objects: int
    guess: bool = False


class Reader:
    """Reads questions about the objects of a table.

    Attributes:
        everything: the set of all objects.
        phrases: what each way to ask means.
        adjectives: those that may stand before a noun.
        names: guesses, by the object's name; things that are not in the table mean the empty set.
        measures: reads comparisons.
        wording: knows the words.
    """

    def __init__(self, table: Table) -> None:
        self.everything = table.everything
        names = [name for thing in table.objects for name in thing.names]
        strangers = [name.strip() for part in table.words["strangers"].values() for name in part.split(";")]
        facts = table.facts.values()
        meanings = [(ask, fact.objects) for fact in facts for ask in fact.asks]
        meanings += [(ask, table.everything & ~fact.objects) for fact in facts for ask in fact.denies]
        known = (*names, *strangers, *(ask for ask, _ in meanings), *table.words["references"])
        words = {word for phrase in known for word in phrase.split()}
        self.wording = Wording(words | SIZE_WORDS, table.words)
        self.measures = Measures(table, self.wording.plain)
        self.phrases: dict[str, int] = {}
        for ask, objects in meanings:
            self.phrases.setdefault(self._plain(ask), objects)
        self.adjectives = {phrase: self.phrases[phrase] for phrase in self.phrases if not phrase.startswith("be a ")}
        for ask, objects in meanings:
            if ask.startswith("be a "):
                self.phrases.setdefault(self._plain(f"be {ask[5:]}"), objects)
        self.names: dict[str, int] = {}
        for name in strangers:
            self._name(name, 0)
        for i, thing in enumerate(table.objects):
            for name in thing.names:
                self._name(name, 1 << i)
        self.read = lru_cache(_REMEMBERED)(self._read)

    def _plain(self, words: str) -> str:
        return without_articles(self.wording.plain(words) or "")

    def _name(self, name: str, objects: int) -> None:
        self.names[self._plain(f"be a {name}")] = objects
        if (bare := self._plain(f"be {name}")) not in self.phrases:
            self.names[bare] = objects

    def _read(self, text: str) -> Reading | str:
        """Understand one question, or say in a sentence what is not understood."""
        sentence = self.wording.sentence(text)
        if not sentence:
            return "Put one short question to be answered by yes or no."
        parse = _Parse(self)
        for phrase in predicates(THIS.sub("it", sentence)):
            for name in (phrase, without_kind(phrase)):
                if (objects := self.names.get(without_articles(name))) is not None:
                    return Reading(objects, guess=True)
            if (found := parse.predicate(phrase, _DEEPEST)) is not None:
                return Reading(found)
        unknown = self.wording.unknown(sentence)
        if unknown is not None and len(unknown) <= 20:
            return f"I do not know the word '{unknown}' here."
        return "I know the words, but not their meaning together."


class _Parse:
    """The work on one question: what its phrases mean, as far as it is known, within a bound on their number."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: dict[tuple[str, int], int | None] = {}

    def predicate(self, phrase: str, depth: int) -> int | None:
        """The objects a predicate is true of; None where it is not understood."""
        plain = without_articles(phrase)
        for meanings in (self._reader.phrases, self._reader.names):
            if plain in meanings:
                return meanings[plain]
        if depth == 0 or len(self._known) >= _MOST_PHRASES:
            return None
        key = (phrase, depth)
        if key not in self._known:
            self._known[key] = None
            found = self._reader.measures.read(plain, phrase)
            for way in (self._negated, self._said_otherwise, self._divided, self._modified):
                if found is None:
                    found = way(phrase, depth - 1)
            self._known[key] = found
        return self._known[key]

    def _first(self, phrases: Iterable[str], depth: int) -> int | None:
        return next((found for phrase in phrases if (found := self.predicate(phrase, depth)) is not None), None)

    def _said_otherwise(self, phrase: str, depth: int) -> int | None:
        return self._first(rewritten(phrase, self._reader.wording.verb), depth)

    def _negated(self, phrase: str, depth: int) -> int | None:
        found = NEGATED.fullmatch(phrase)
        if found is None:
            return None
        objects = self._first((f"{found[1]}{found[2]}", f"{found[1]}a {found[2]}", found[2]), depth)
        return None if objects is None else self._reader.everything & ~objects

    def _divided(self, phrase: str, depth: int) -> int | None:
        """A phrase of two: "A or B", "A that B", "A with B"."""
        for join in JOINED.finditer(phrase):
            left, right = phrase[: join.start()], phrase[join.end() :]
            one = self.predicate(left, depth)
            two = None if one is None else self._first(continued(left, right), depth)
            if one is not None and two is not None:
                return one | two if join[1] == "or" else one & two
        for cut in RELATIVE.finditer(phrase):
            clause = phrase[cut.end() :]
            verb = "be " if cut[0].endswith(("is ", "are ")) else ""
            found = self._both(phrase[: cut.start()], (verb + clause, f"you {clause}"), depth)
            if found is not None:
                return found
        for cut in POSTPOSED.finditer(phrase):
            rest = phrase[cut.end() :]
            rest = "have " + rest.removeprefix("with ") if rest.startswith("with ") else rest
            rest = "not have " + rest.removeprefix("without ") if rest.startswith("without ") else rest
            if (found := self._both(phrase[: cut.start()], (rest,), depth)) is not None:
                return found
        return None

    def _modified(self, phrase: str, depth: int) -> int | None:
        """An adjective before a noun ("a wild animal"), or a participle after it ("a tool used in gardens")."""
        if not phrase.startswith("be "):
            return None
        words = phrase.removeprefix("be ").removeprefix("a ").split()
        for i in range(1, len(words)):
            before, after = " ".join(words[:i]), " ".join(words[i:])
            if self._reader.wording.verb(words[i]) is not None:
                found = self._both(f"be a {before}", (f"be {after}",), depth)
            else:
                found = self._described(before, f"be a {after}", depth)
            if found is not None:
                return found
        return None

    def _described(self, adjective: str, noun: str, depth: int) -> int | None:
        for prefix in ("mod", "be"):
            objects = self._reader.adjectives.get(without_articles(f"{prefix} {adjective}"))
            if objects is not None:
                kind = self._kind(noun, depth)
                return None if kind is None else kind & objects
        return None

    def _both(self, noun: str, others: Iterable[str], depth: int) -> int | None:
        """What is both `noun` and the first of `others` that is understood."""
        one = self._kind(noun, depth)
        two = None if one is None else self._first(others, depth)
        return None if one is None or two is None else one & two

    def _kind(self, noun: str, depth: int) -> int | None:
        if ANYTHING.fullmatch(noun):
            return self._reader.everything
        return self.predicate(noun, depth) if noun.startswith("be ") else None


@cache
def load_reader() -> Reader:
    """The reader of the built-in table, once per process."""
    return Reader(load_table())
