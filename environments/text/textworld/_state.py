"""What names the state of a game: the objects in the interpreter's memory.

A Z-machine keeps its objects (where each one is, its attributes, its properties) in one stretch of
memory. Turn counters, buffers and the parser's memory lie elsewhere, so walking in a circle leads
back to the same name. Reading it costs about 20 µs; the library's own facts cost milliseconds.

The Z-Machine Standards Document 1.1, sections 11 and 12; attributes: Inform 7 6M62, Definitions.i6t.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_OBJECTS, _GLOBALS = 0x0A, 0x0C
"""Where the header keeps the addresses of the object table and of the global variables that follow it."""

_DEFAULTS = 126
"""Bytes of property defaults in front of the first object."""

_ENTRY, _PROPERTIES = 14, 12
"""Bytes of an object's entry, and where in it the address of its properties is."""

_PASSING = ((31, 0xFE), (35, 0xEF), (36, 0xF7))
"""Attributes that only serve the printing of lists (mentioned, workflag, workflag2), and what masks them out."""


def state_key(interpreter: Any, score: int) -> str:
    """Names the state of the world and the score; 16 hexadecimal digits.

    Args:
        interpreter: a `jericho.FrotzEnv`.
        score: points, because memory of what has been rewarded is not kept in objects.
    """
    memory: np.ndarray = interpreter._get_ram()
    start, stop = _word(memory, _OBJECTS), _word(memory, _GLOBALS)
    tree = start + _DEFAULTS
    count = (_word(memory, tree + _PROPERTIES) - tree) // _ENTRY
    entries = memory[tree : tree + count * _ENTRY].reshape(count, _ENTRY)
    for attribute, mask in _PASSING:
        entries[:, attribute // 8] &= mask
    digest = hashlib.blake2b(memory[start:stop].tobytes(), digest_size=8)
    digest.update(str(score).encode())
    return digest.hexdigest()


def _word(memory: np.ndarray, address: int) -> int:
    return int(memory[address]) << 8 | int(memory[address + 1])
