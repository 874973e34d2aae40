"""What names the state of a game: the objects in the interpreter's memory.

A Z-machine keeps its objects (where each one is, its attributes, its properties) in one stretch of
memory. Turn counters, buffers and the parser's memory lie elsewhere, so walking in a circle leads
back to the same name. Reading it costs about 15 µs; the library's own facts cost milliseconds.

The Z-Machine Standards Document 1.1, sections 11 and 12; Inform Technical Manual, section 9.6 (individual
properties); Inform 7 6M62, Definitions.i6t and Actions.i6t.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

_OBJECTS, _GLOBALS = 0x0A, 0x0C
"""Where the header keeps the addresses of the object table and of the global variables that follow it."""

_DEFAULTS = 126
"""Bytes of property defaults in front of the first object."""

_ENTRY, _PROPERTIES = 14, 12
"""Bytes of an object's entry, and where in it the address of its properties is."""

_INDIVIDUAL = 3
"""The property that points to an object's individual properties."""

_PASSING = slice(3, 5)
_LASTING = np.array([0b1111_1110, 0b1110_0111], dtype=np.uint8)
"""Attributes 31, 35 and 36 (mentioned, workflag, workflag2) only serve the printing of lists: they are masked out."""


class StateReader:
    """Reads the memory of one interpreter.

    Args:
        interpreter: a `jericho.FrotzEnv` with a game loaded.
    """

    def __init__(self, interpreter: Any) -> None:
        self._read = interpreter.frotz_lib.getRAM
        self._memory = np.zeros(interpreter.frotz_lib.getRAMSize(), dtype=np.uint8)
        self._address = np.ctypeslib.as_ctypes(self._memory)
        self._read(self._address)
        start, stop = self._word(_OBJECTS), self._word(_GLOBALS)
        tree = start + _DEFAULTS
        count = (self._word(tree + _PROPERTIES) - tree) // _ENTRY
        entries = self._memory[tree : tree + count * _ENTRY].reshape(count, _ENTRY)
        self._objects = self._memory[start:stop]
        self._flags = entries[:, _PASSING]
        tables = range(tree + _PROPERTIES, tree + count * _ENTRY, _ENTRY)
        history = [place for table in tables for place in self._history(self._word(table))]
        self._past = np.array(history, dtype=np.intp)

    def key(self, score: int) -> str:
        """Names the state of the world and the score; 16 hexadecimal digits.

        Args:
            score: points, because what has been rewarded is not kept in objects.
        """
        self._read(self._address)
        self._flags &= _LASTING
        self._memory[self._past] = 0
        digest = hashlib.blake2b(self._objects.data, digest_size=8)
        digest.update(b"%d" % score)
        return digest.hexdigest()

    def _history(self, table: int) -> Iterator[int]:
        """Where an object remembers what was ever done with it: its only individual property longer than a word."""
        for number, start in self._common(table):
            if number == _INDIVIDUAL:
                place = self._word(start)
                while self._word(place):
                    data = range(place + 3, place + 3 + self._byte(place + 2))
                    if len(data) > 2:
                        yield from data
                    place = data.stop

    def _common(self, table: int) -> Iterator[tuple[int, int]]:
        """The number and place of each common property of an object."""
        place = table + 1 + 2 * self._byte(table)
        while head := self._byte(place):
            if head & 0x80:
                size, start = self._byte(place + 1) & 0x3F or 64, place + 2
            else:
                size, start = 1 + (head >> 6), place + 1
            yield head & 0x3F, start
            place = start + size

    def _byte(self, address: int) -> int:
        return int(self._memory[address])

    def _word(self, address: int) -> int:
        return self._byte(address) << 8 | self._byte(address + 1)
