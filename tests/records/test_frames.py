"""No damage to a shard may cost an episode that it did not hit."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from arena.core.errors import RecordDamaged
from arena.records._frames import Damage, Frame, FrameCodec, cut_torn_tail, read_frame, scan

LINES = [b'{"first": "%b"}\n' % (b"abc" * 40), b"{}\n", bytes(range(256)) * 3]


def write(path: Path, lines: list[bytes]) -> list[int]:
    """Write a shard; returns where its frames begin and the last ends."""
    codec, ends, data = FrameCodec(), [0], b""
    for line in lines:
        data += codec.pack(line)
        ends.append(len(data))
    path.write_bytes(data)
    return ends


@pytest.fixture
def shard(tmp_path) -> Path:
    return tmp_path / "0000.jsonl.zst"


def lines(path: Path, start: int = 0) -> list[bytes]:
    return [found.line for found in scan(path, start) if isinstance(found, Frame)]


def damage(path: Path) -> list[Damage]:
    return [found for found in scan(path) if isinstance(found, Damage)]


def test_frames_are_read_back_with_their_places(shard):
    """The index would point at the wrong bytes."""
    ends = write(shard, LINES)
    assert [tuple(found) for found in scan(shard)] == [
        (ends[i], ends[i + 1] - ends[i], line) for i, line in enumerate(LINES)
    ]
    assert read_frame(shard, ends[1], ends[2] - ends[1], FrameCodec()) == LINES[1]
    assert lines(shard, ends[1]) == LINES[1:]


def test_the_file_is_plain_zstd(shard):
    """`zstdcat` and any other reader must be able to open a shard."""
    write(shard, LINES)
    with shard.open("rb") as file:
        whole = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
    assert whole == b"".join(LINES)


def test_large_frames_span_blocks_and_chunks(shard):
    """A frame longer than a block (128 KiB) and than the reading window (1 MiB), next to runs of one byte."""
    noise = b"".join(struct.pack("<Q", i * 0x9E3779B97F4A7C15 & 2**64 - 1) for i in range(400_000))
    content = [b"a" * 3_000_000, noise, b"", b"end\n"]
    write(shard, content)
    assert shard.stat().st_size > 3_000_000
    assert lines(shard) == content


def test_truncation_anywhere_costs_only_the_last_frame(shard):
    """kill -9 or a full disk can stop a write at any byte."""
    ends = write(shard, LINES)
    data = shard.read_bytes()
    for size in range(ends[2], ends[3]):
        shard.write_bytes(data[:size])
        assert lines(shard) == LINES[:2]
        lost = [] if size == ends[2] else [(ends[2], size - ends[2])]
        assert [(d.offset, d.length) for d in damage(shard)] == lost
        cut_torn_tail(shard)
        assert shard.read_bytes() == data[: ends[2]]
        assert cut_torn_tail(shard) is None


def test_any_flipped_byte_costs_only_its_own_frame(shard):
    """Bit rot in the middle must not hide what follows, nor go unnoticed."""
    ends = write(shard, LINES)
    data = shard.read_bytes()
    for place in range(ends[1], ends[2]):
        for flip in (0x01, 0x80, 0xFF):
            shard.write_bytes(data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :])
            found = lines(shard)
            assert (found[0], found[-1]) == (LINES[0], LINES[2])
            # Bits of a frame's header that mean nothing (the checksum still holds) are no damage.
            assert len(found) == 3 or sum(d.length for d in damage(shard)) == ends[2] - ends[1]
            assert len(found) == 2 or found[1] == LINES[1]


@given(st.binary(max_size=200), st.integers(0, 3))
def test_garbage_between_frames_is_skipped(tmp_path_factory, garbage, where):
    """Whatever stands between two frames, the frames are found."""
    shard = tmp_path_factory.mktemp("shard") / "0000.jsonl.zst"
    codec = FrameCodec()
    pieces = [codec.pack(line) for line in LINES]
    pieces.insert(where, garbage)
    shard.write_bytes(b"".join(pieces))
    assert lines(shard) == LINES
    assert sum(d.length for d in damage(shard)) == len(garbage)


def test_a_frame_within_a_frame_is_not_taken_for_one(shard):
    """An episode may quote a shard: the content of a whole frame is never searched."""
    inner = FrameCodec().pack(b"inner")
    incompressible = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(inner + bytes(range(200)))
    shard.write_bytes(incompressible + FrameCodec().pack(b"after"))
    assert lines(shard) == [inner + bytes(range(200)), b"after"]


def test_a_header_that_claims_a_petabyte_is_refused(shard):
    """A damaged length must not make the reader ask for that much memory."""
    header = b"\x28\xb5\x2f\xfd" + bytes([0b11100100]) + struct.pack("<Q", 1 << 50)
    shard.write_bytes(header + b"\x01\x00\x00" + b"\x00" * 4 + FrameCodec().pack(b"good"))
    assert lines(shard) == [b"good"]
    assert len(damage(shard)) == 1


def test_a_frame_without_checksum_is_refused():
    """Such a frame is none of ours, and damage to it could not be noticed."""
    with pytest.raises(RecordDamaged, match="header"):
        FrameCodec().unpack(zstandard.ZstdCompressor().compress(b"x"))


def test_an_empty_shard_is_fine(shard):
    """A writer may die before its first episode."""
    shard.write_bytes(b"")
    assert list(scan(shard)) == []
    assert cut_torn_tail(shard) is None
