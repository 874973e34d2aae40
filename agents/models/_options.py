"""The options of a spec, read by name and type, with an error that names what there is."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

from arena.core.errors import BadSpec

if TYPE_CHECKING:
    from arena.core.specs import OptionValue, Spec


class Options:
    """Takes options out of a spec one by one; `done` refuses those that nobody took."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._left = dict(spec.options)
        self._known: list[str] = []

    def flag(self, name: str, default: bool) -> bool:
        """An option that is true or false."""
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def number(self, name: str, default: float | None, least: float = 0.0) -> float | None:
        """A number of at least `least`."""
        value = self._take(name, default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= least):
            raise self._wrong(name, value, f"a number of at least {least:g}")
        return value if value is None else float(value)

    def whole(self, name: str, default: int, least: int = 0) -> int:
        """A whole number of at least `least`."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self._wrong(name, value, f"a whole number of at least {least}")
        return value

    def text(self, name: str, default: str | None = None, choices: tuple[str, ...] = ()) -> str | None:
        """A text, one of `choices` where there are some."""
        value = self._take(name, default)
        value = value if value is None or isinstance(value, str) else json.dumps(value)
        if choices and value is not None and value not in choices:
            raise self._wrong(name, value, " or ".join(choices))
        return value

    def either(self, name: str) -> bool | str:
        """A text, or true or false; false where the option is not given."""
        value = self._take(name, False)
        return value if isinstance(value, bool) else str(value)

    def prefixed(self, prefix: str) -> dict[str, Any]:
        """All options that start with `prefix`, without it, as a tree: two underscores lead one level down."""
        self._known.append(prefix + "…")
        tree: dict[str, Any] = {}
        for key in [key for key in self._left if key.startswith(prefix) and key != prefix]:
            value = self._left.pop(key)
            *levels, last = key.removeprefix(prefix).split("__")
            branch = tree
            for level in levels:
                branch = branch.setdefault(level, {})
                if not isinstance(branch, dict):
                    raise self._wrong(key, value, f"inside of {level}, which is also given a value of its own")
            branch[last] = value
        return tree

    def done(self) -> None:
        """Refuse what is left.

        Raises:
            BadSpec: with the options there are.
        """
        if self._left:
            name = next(iter(self._left))
            close = difflib.get_close_matches(name, self._known, n=1)
            meant = f"Did you mean {close[0]}?" if close else f"There is: {', '.join(sorted(self._known))}."
            raise BadSpec(f"{self._spec.kind} models have no option {name!r} (in {str(self._spec)!r}). {meant}")

    def _take(self, name: str, default: OptionValue) -> OptionValue:
        self._known.append(name)
        return self._left.pop(name, default)

    def _wrong(self, name: str, value: object, expected: str) -> BadSpec:
        return BadSpec(f"The option {name} of {str(self._spec)!r} is {value!r}; expected {expected}.")
