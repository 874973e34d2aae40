"""Shards: files of zstd frames, one checksummed frame per episode, each frame one line of JSON.

`zstdcat episodes/*.jsonl.zst` is therefore plain JSON Lines. Frames are read one by one, with their
length taken from the block headers (RFC 8878, section 3.1.1), so that damage costs only the frames it hit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import zstandard

from arena.core.errors import RecordDamaged

_MAGIC = zstandard.MAGIC_NUMBER.to_bytes(4, "little")
_CHUNK = 1 << 20
_LARGEST = 1 << 30
_HEADER = 18
_CHECKSUM = 4


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a shard that hold no readable episode."""

    shard: str
    offset: int
    length: int
    reason: str

    def __str__(self) -> str:
        return f"episodes/{self.shard}.jsonl.zst: {self.length} bytes at {self.offset} are lost: {self.reason}"


class Frame(NamedTuple):
    """One readable frame: where it stands and what it holds."""

    offset: int
    length: int
    line: bytes


class FrameCodec:
    """Compresses and decompresses frames, with its contexts reused; for one thread at a time."""

    def __init__(self, level: int = 3) -> None:
        self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
        self._decompressor = zstandard.ZstdDecompressor()

    def pack(self, line: bytes) -> bytes:
        """One frame."""
        return self._compressor.compress(line)

    def unpack(self, frame: bytes) -> bytes:
        """The line in exactly one frame.

        Raises:
            RecordDamaged: it is not a whole frame, or its checksum does not match.
        """
        try:
            parameters = zstandard.get_frame_parameters(frame)
            if not parameters.has_checksum or parameters.content_size > _LARGEST:
                raise RecordDamaged("its header is damaged")
            return self._decompressor.decompress(frame)
        except (zstandard.ZstdError, MemoryError) as error:
            raise RecordDamaged(_reason(error)) from error


def scan(path: Path, start: int = 0) -> Iterator[Frame | Damage]:
    """The frames of a shard from `start` on, and between them what could not be read.

    After damage it goes on at the next frame that is whole. Damage that comes last is the torn tail.
    """
    codec, shard = FrameCodec(), shard_name(path)
    with path.open("rb") as file:
        window = _Window(file.fileno())
        position, lost, reason = start, None, ""
        while position < window.size:
            try:
                length = _frame_length(window, position)
                frame = Frame(position, length, codec.unpack(window.read(position, length)))
            except RecordDamaged as error:
                if lost is None:
                    lost, reason = position, str(error)
                position = _next_magic(window, position + 1)
                continue
            if lost is not None:
                yield Damage(shard, lost, position - lost, reason)
                lost = None
            yield frame
            position += length
        if lost is not None:
            yield Damage(shard, lost, window.size - lost, reason)


def read_frame(path: Path, offset: int, length: int, codec: FrameCodec) -> bytes:
    """The line of one frame whose place is known.

    Raises:
        RecordDamaged: the shard is cut short there, or the frame does not match its checksum.
    """
    try:
        with path.open("rb") as file:
            frame = os.pread(file.fileno(), length, offset)
    except FileNotFoundError as error:
        raise RecordDamaged("the shard is gone") from error
    if len(frame) < length:
        raise RecordDamaged("the shard ends before it")
    return codec.unpack(frame)


def cut_torn_tail(path: Path, start: int = 0) -> Damage | None:
    """Cut off what follows the last whole frame, so that the shard may be appended to.

    Args:
        path: the shard.
        start: an offset up to which the frames are known to be whole.

    Returns:
        What was cut off; None if nothing was.
    """
    last = None
    for last in scan(path, start):  # noqa: B007
        pass
    if not isinstance(last, Damage):
        return None
    os.truncate(path, last.offset)
    return last


def shard_name(path: Path) -> str:
    """The shard's name: its file's without the endings."""
    return path.name.partition(".")[0]


class _Window:
    """Reads a file through one buffer that moves along."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self._buffer, self._start = b"", 0

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer at the end of the file."""
        begin = offset - self._start
        if begin < 0 or begin + length > len(self._buffer):
            self._buffer = os.pread(self._descriptor, max(length, _CHUNK), offset)
            self._start, begin = offset, 0
        return self._buffer[begin : begin + length]


def _frame_length(window: _Window, offset: int) -> int:
    """Length in bytes of the frame that begins at `offset`, from its headers alone."""
    header = window.read(offset, _HEADER)
    if header[:4] != _MAGIC:
        raise RecordDamaged("no frame begins there" if len(header) >= 4 else "the last frame is torn")
    try:
        position = offset + zstandard.frame_header_size(header)
    except zstandard.ZstdError as error:
        raise RecordDamaged(_reason(error)) from error
    last = False
    while not last:
        block = int.from_bytes(window.read(position, 3), "little")
        last, kind, size = bool(block & 1), block >> 1 & 3, block >> 3
        position += 3 + (1 if kind == 1 else size)
        if kind == 3 or position + _CHECKSUM > window.size:
            raise RecordDamaged("the last frame is torn" if kind != 3 else "its header is damaged")
    return position + _CHECKSUM - offset


def _next_magic(window: _Window, position: int) -> int:
    """Where the next frame may begin; the end of the file if nowhere."""
    while position < window.size:
        chunk = window.read(position, min(_CHUNK, window.size - position))
        found = chunk.find(_MAGIC)
        if found >= 0:
            return position + found
        position += max(len(chunk) - len(_MAGIC) + 1, 1)
    return window.size


def _reason(error: BaseException) -> str:
    text = str(error).lower()
    return "its checksum does not match" if "checksum" in text else "it cannot be decompressed"
