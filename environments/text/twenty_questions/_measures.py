"""Questions that compare: bigger than a breadbox, longer than 30 cm, lighter than a cat; and the first letter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from arena.environments.text.twenty_questions._table import Table

_WORDS = {
    "big": "litres", "bigger": "litres", "large": "litres", "larger": "litres", "greater": "litres", "huge": "litres",
    "small": "-litres", "smaller": "-litres", "little": "-litres", "tinier": "-litres", "tiny": "-litres",
    "long": "cm", "longer": "cm", "tall": "tall", "taller": "tall", "higher": "tall", "high": "tall",
    "short": "-tall", "shorter": "-tall",
    "heavy": "kg", "heavier": "kg", "light": "-kg", "lighter": "-kg",
}  # fmt: skip
_UNITS = {
    "mm": ("cm", 0.1), "millimeter": ("cm", 0.1), "cm": ("cm", 1.0), "centimeter": ("cm", 1.0),
    "m": ("cm", 100.0), "meter": ("cm", 100.0), "km": ("cm", 100_000.0), "kilometer": ("cm", 100_000.0),
    "inch": ("cm", 2.54), "inches": ("cm", 2.54), "foot": ("cm", 30.48), "ft": ("cm", 30.48), "yard": ("cm", 91.44),
    "mile": ("cm", 160_934.0), "g": ("kg", 0.001), "gram": ("kg", 0.001), "kg": ("kg", 1.0), "kilo": ("kg", 1.0),
    "kilogram": ("kg", 1.0), "pound": ("kg", 0.4536), "lb": ("kg", 0.4536), "ounce": ("kg", 0.02835),
    "oz": ("kg", 0.02835), "ton": ("kg", 1000.0), "liter": ("litres", 1.0), "gallon": ("litres", 3.785),
}  # fmt: skip
_COUNTS = {"a": 1.0, "one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0, "ten": 10.0}

_COMPARED = re.compile(
    r"(?:be )?(?:more )?(?:much )?([a-z]+) (?:in size )?(?:than|then) (?:that of )?(?:a )?(.+?)(?: be)?"
)
_IN_SIZE = re.compile(r"be (more|less) than (.+?)(?: (long|tall|high|in length|in size|in height|in weight|in mass))?")
_WEIGHT = re.compile(r"weigh (more|less|under|over)(?: than)? (?:a )?(.+)")
_FITS = re.compile(r"(?:fit|go)(?: it)? (?:in|inside|into) (?:of )?(?:a )?(.+)")
_LETTER = re.compile(r"(start|begin|end) (?:with|in) (?:a )?(?:letter )?([a-z])")
_AMOUNT = re.compile(r"([a-z]+|\d+(?:\.\d+)?) ([a-z]+)")

SIZE_WORDS = (
    frozenset(_WORDS)
    | frozenset(_UNITS)
    | frozenset(_COUNTS)
    | {"weigh", "than", "more", "less", "fit", "letter", "name", "begin", "start"}
)


class Measures:
    """Reads comparisons as sets of objects.

    Args:
        table: the objects.
        plain: the base form of some words.
    """

    def __init__(self, table: Table, plain: Callable[[str], str | None]) -> None:
        self._table = table
        self._sizes: dict[str | None, Mapping[str, float]] = {}
        for name, (cm, litres, kg, *tall) in table.words["references"].items():
            self._sizes[plain(name)] = {"cm": cm, "tall": tall[0] if tall else cm, "litres": litres, "kg": kg}
        for thing in table.objects:
            sizes = {"cm": thing.cm, "tall": thing.tall, "litres": thing.litres, "kg": thing.kg}
            self._sizes |= {plain(name): sizes for name in thing.names}

    def read(self, phrase: str, whole: str) -> int | None:
        """The objects for which a phrase such as `be bigger than cat` holds; None where it is no comparison.

        Args:
            phrase: without articles.
            whole: with them ("start with a" is about a letter).
        """
        if found := _IN_SIZE.fullmatch(phrase):
            measure = "tall" if found[3] in ("tall", "high", "in height") else "size"
            return self._compared(measure if found[1] == "more" else f"-{measure}", found[2])
        if found := _COMPARED.fullmatch(phrase):
            return self._compared(_WORDS.get(found[1], ""), found[2])
        if found := _WEIGHT.fullmatch(phrase):
            return self._compared("kg" if found[1] in ("more", "over") else "-kg", found[2])
        if found := _FITS.fullmatch(phrase):
            return self._fitting(found[1])
        if found := _LETTER.fullmatch(whole):
            last, letter = found[1] == "end", found[2]
            return self._where([thing.names[0][-1 if last else 0] == letter for thing in self._table.objects])
        return None

    def _compared(self, word: str, other: str) -> int | None:
        """The objects beyond, or for a leading minus below, another thing or an amount."""
        measure = word.lstrip("-")
        amount = _AMOUNT.fullmatch(other)
        count = None if amount is None else _number(amount[1])
        if amount is not None and count is not None and amount[2] in _UNITS:
            unit, factor = _UNITS[amount[2]]
            if unit == "cm" and measure in ("size", "litres"):
                measure = "cm"
            elif measure == "size":
                measure = unit
            elif measure != unit and (measure, unit) != ("tall", "cm"):
                return None
            limit = count * factor
        elif other in _UNITS:
            return self._compared(word, f"one {other}")
        elif measure in ("cm", "tall", "litres", "kg") and other in self._sizes:
            limit = self._sizes[other][measure]
        else:
            return None
        return self._table.below(measure, limit) if word.startswith("-") else self._table.beyond(measure, limit)

    def _fitting(self, other: str) -> int | None:
        """The objects that go into another thing."""
        size = self._sizes.get(other)
        if size is None:
            return None
        return self._where([x.litres < size["litres"] and x.cm < 1.4 * size["cm"] for x in self._table.objects])

    def _where(self, holds: Sequence[bool]) -> int:
        return sum(1 << i for i, true in enumerate(holds) if true)


def _number(word: str) -> float | None:
    return float(word) if word[0].isdigit() else _COUNTS.get(word)
