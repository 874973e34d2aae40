"""What names the state of a game: the objects in the interpreter's memory.

A Z-machine keeps its objects (where each one is, its attributes, its properties) in one stretch of
memory. Turn counters, buffers and the parser's memory lie elsewhere, so walking in a circle leads
back to the same name. Reading it costs about 15 µs; the library's own facts cost milliseconds.

The Z-Machine Standards Document 1.1, sections 11 and 12; attributes: Inform 7 6M62, Definitions.i6t.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

_OBJECTS, _GLOBALS = 0x0A, 0x0C
"""Where the header keeps the addresses of the object table and of the global variables that follow it."""

_DEFAULTS = 126
"""Bytes of property defaults in front of the first object."""

_ENTRY, _PROPERTIES = 14, 12
"""Bytes of an object's entry, and where in it the address of its properties is."""

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
        self._objects = self._memory[start:stop]
        entries = self._memory[tree : tree + count * _ENTRY].reshape(count, _ENTRY)
        self._flags = entries[:, _PASSING]

    def key(self, score: int) -> str:
        """Names the state of the world and the score; 16 hexadecimal digits.

        Args:
            score: points, because what has been rewarded is not kept in objects.
        """
        self._read(self._address)
        self._flags &= _LASTING
        digest = hashlib.blake2b(self._objects.data, digest_size=8)
        digest.update(b"%d" % score)
        return digest.hexdigest()

    def _word(self, address: int) -> int:
        return int(self._memory[address]) << 8 | int(self._memory[address + 1])
