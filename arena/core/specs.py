"""Specs: one line of text that rebuilds a model or an agent in any process.

KIND:NAME[@URL][,key=value…]      openai:qwen3@http://localhost:8000/v1,timeout=30
KIND[:key=value,…]                best_of_n:n=8
MODULE:CLASS[,key=value…]         my_package.agents:Greedy,n=3   (an agent of one's own)
FOLDER                            ./my-model   (means hf:./my-model)

A value that begins with `"` or `[` is JSON and may hold commas: stop=["Observation:", "User:"].
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from arena.core.errors import BadSpec

OptionValue = str | int | float | bool | None

_KIND = re.compile(r"[a-z][a-z0-9_]*\Z")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_KEY = re.compile(r"[a-z][a-z0-9_]*\Z")
_JSON = re.compile(r'[a-z][a-z0-9_]*=(?=["\[])')
_URL = re.compile(r"@(?=https?://)")


@dataclass(frozen=True, slots=True)
class Spec:
    """A parsed spec. `str(spec)` gives the line back; parsing that gives an equal spec."""

    kind: str
    name: str = ""
    url: str = ""
    options: Mapping[str, OptionValue] = field(default_factory=dict)

    @classmethod
    def parse(cls, line: str) -> Spec:
        """Read a spec.

        Raises:
            BadSpec: says which part cannot be read and shows the form expected.
        """
        kind, colon, rest = line.partition(":")
        if not (_KIND.match(kind) or (colon and _MODULE.match(kind))):
            if line and Path(line).is_dir():
                return cls("hf", line)
            raise BadSpec(
                f"{line!r} is neither a spec nor a folder. A spec is KIND:NAME[@URL][,key=value…], for example "
                "openai:qwen3@http://localhost:8000/v1, hf:./my-model or best_of_n:n=8."
            )
        if not colon and "/" not in line and Path(line).is_dir() and (Path(line) / "config.json").exists():
            return cls("hf", line)
        first, *others = _parts(rest)
        key, equals, _ = first.partition("=")
        if equals and _KEY.match(key):
            first, others = "", [first, *others]
        name, *url = _URL.split(first, maxsplit=1)
        return cls(kind, name, url[0] if url else "", dict(_option(line, part) for part in others))

    def __str__(self) -> str:
        head = self.name + (f"@{self.url}" if self.url else "")
        parts = ([head] if head else []) + [f"{k}={_write(v)}" for k, v in self.options.items()]
        return f"{self.kind}:{','.join(parts)}" if parts else self.kind


def _parts(text: str) -> list[str]:
    """Cut at the commas that stand outside JSON values."""
    parts: list[str] = []
    start = 0
    while True:
        end = start
        if value := _JSON.match(text, start):
            with contextlib.suppress(ValueError, RecursionError):
                end = json.JSONDecoder().raw_decode(text, value.end())[1]
        comma = text.find(",", end)
        if comma < 0:
            return [*parts, text[start:]]
        parts.append(text[start:comma])
        start = comma + 1


def _option(line: str, part: str) -> tuple[str, OptionValue]:
    key, equals, value = part.partition("=")
    if not equals or not _KEY.match(key):
        raise BadSpec(f"{part!r} in the spec {line!r} is not key=value.")
    return key, read_value(value)


def read_value(text: str) -> OptionValue:
    """`true`, `false`, `null` and numbers are read as such, anything else is text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float | bool) or value is None else text


def _write(value: OptionValue) -> str:
    if isinstance(value, str) and read_value(value) == value and len(_parts(f"key={value}")) == 1:
        return value
    return json.dumps(value, ensure_ascii=False)
