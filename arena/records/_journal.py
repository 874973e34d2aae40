"""The turns of unfinished episodes, so that a crash leaves them readable.

A journal is a file of JSON lines: an episode's start, then its turns with the messages that came up in them.
When the episode is written to its shard, its lines are dead; they go when no episode is open, or
when they are most of a large file.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import to_json

from arena.core.episode import Episode, Key, Message, Record, Turn, Usage
from arena.core.jsondata import decode, encode, plain
from arena.core.outcome import Outcome
from arena.records._files import open_to_append, write_all

_KEEP = 1 << 16
_LARGE = 1 << 24


class Unfinished(NamedTuple):
    """An episode that began and has no record: it still runs, or its process died.

    Attributes:
        header: what was known of it at its start: fields of `Episode`.
        messages: the table that the turns' calls refer to, as far as it was journalled.
    """

    key: Key
    header: dict[str, Any]
    turns: tuple[Turn, ...]
    messages: tuple[Message, ...]

    def episode(self, outcome: Outcome = Outcome.CANCELLED) -> Episode:
        """A record of what there is.

        Raises:
            ValueError: the header lacks fields that a record must have (task, seed, agents).
        """
        calls = [call for turn in self.turns for call in turn.calls]
        costs = [call.cost for call in calls]
        known = {
            "usage": sum((call.usage for call in calls), Usage()),
            "cost": None if None in costs else math.fsum(cost for cost in costs if cost is not None),
            "seconds": sum(turn.timing.agent + turn.timing.environment for turn in self.turns),
        }
        fields = {**known, **self.header, "key": self.key, "turns": self.turns, "messages": self.messages}
        return Episode.model_validate({**fields, "outcome": outcome})


@dataclass(slots=True)
class _Open:
    number: int
    size: int


@dataclass(slots=True)
class Journal:
    """Writes one journal; for one thread at a time. Each line reaches the system at once."""

    path: Path
    _open: dict[Key, _Open] = field(default_factory=dict)
    _descriptor: int = -1
    _count: int = 0
    _size: int = 0
    _live: int = 0

    def start(self, key: Key, header: Mapping[str, Any]) -> None:
        """An episode begins."""
        self.drop(key)
        self._count += 1
        self._open[key] = opened = _Open(self._count, 0)
        fields = {"episode": self._count, "key": key.model_dump(), "header": encode(plain(_dumped(header), "header"))}
        self._write(opened, to_json(fields) + b"\n")

    def turn(self, key: Key, turn: Turn, messages: Sequence[Message] = ()) -> None:
        """A turn is complete; `messages` are those that are new in the episode's table."""
        opened = self._open.get(key)
        if opened is None:
            raise KeyError(f"{key} has not begun: call journal_start first.")
        said = b",".join(message.model_dump_json().encode() for message in messages)
        line = b'{"episode":%d,"turn":%b,"messages":[%b]}\n' % (opened.number, turn.model_dump_json().encode(), said)
        self._write(opened, line)

    def drop(self, key: Key) -> None:
        """The episode is given up and will have no record."""
        if opened := self._open.get(key):
            self._write(opened, b'{"episode":%d,"dropped":true}\n' % opened.number)
            self.end(key)

    def end(self, key: Key) -> None:
        """The episode is on record."""
        opened = self._open.pop(key, None)
        if opened is None:
            return
        self._live -= opened.size
        if not self._open and self._size > _KEEP:
            os.ftruncate(self._descriptor, 0)
            self._size = 0
        elif self._size > _LARGE and self._live < self._size // 2:
            self._compact()

    def close(self) -> None:
        """Close the file; it goes too if no episode is open."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        if not self._open:
            self.path.unlink()

    def _write(self, opened: _Open, line: bytes) -> None:
        if self._descriptor < 0:
            self.path.parent.mkdir(exist_ok=True)
            self._descriptor = open_to_append(self.path)
        write_all(self._descriptor, line)
        opened.size += len(line)
        self._live += len(line)
        self._size += len(line)

    def _compact(self) -> None:
        """Write the lines of open episodes to a new file and put it in the old one's place."""
        numbers = {opened.number for opened in self._open.values()}
        fresh = self.path.with_suffix(".new")
        with self.path.open("rb") as old, fresh.open("wb") as new:
            for line in old:
                if int(line[len(b'{"episode":') : line.index(b",")]) in numbers:
                    new.write(line)
        fresh.replace(self.path)
        os.close(self._descriptor)
        self._descriptor = open_to_append(self.path)
        self._size = self._live


class _Entry(Record):
    episode: int
    turn: Turn
    messages: tuple[Message, ...]


def _dumped(value: Any) -> Any:
    """Records within the header as JSON data."""
    if isinstance(value, Record):
        return value.model_dump()
    if isinstance(value, Mapping):
        return {key: _dumped(item) for key, item in value.items()}
    return [_dumped(item) for item in value] if isinstance(value, list | tuple) else value


def read_journal(path: Path) -> Iterator[Unfinished]:
    """The episodes in a journal, on record or not, but not those given up.

    A line that cannot be read ends its episode there.
    """
    keys: dict[int, tuple[Key, dict[str, Any]]] = {}
    turns: dict[int, list[Turn]] = {}
    messages: dict[int, list[Message]] = {}
    damaged: set[int] = set()
    with path.open("rb") as file:
        for line in file:
            number = -1
            try:
                data = json.loads(line)
                number = data["episode"]
                if "key" in data:
                    keys[number] = (Key.model_validate(data["key"]), decode(data["header"]))
                    turns[number], messages[number] = [], []
                elif "dropped" in data:
                    del keys[number]
                elif number in keys and number not in damaged:
                    entry = _Entry.model_validate_json(line)
                    if turns[number] and entry.turn.index != turns[number][-1].index + 1:
                        raise ValueError("a turn is missing")
                    turns[number].append(entry.turn)
                    messages[number].extend(entry.messages)
            except (ValueError, KeyError, TypeError, ValidationError):
                damaged.add(number)
    for number, (key, header) in keys.items():
        yield Unfinished(key, header, tuple(turns[number]), tuple(messages[number]))
