"""The replay buffer: nothing committed is lost, nothing torn is read, many read while one writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from arena.core.errors import RunLocked, UsageError
from arena.records.buffer import BufferWriter, Columns
from arena.records.buffer_reader import BufferReader

COLUMNS = Columns({"reward": "<f4", "turn": "<i4"}, {"state": "<i4", "action": "<i4"})


def add(writer: BufferWriter, first: int, number: int) -> None:
    """Rows whose content follows from their number, so that a reader can tell whether one is whole."""
    turns = np.arange(first, first + number)
    states = [np.arange(turn % 7) + turn for turn in turns]
    actions = [[turn, turn + 1] if turn % 3 else [] for turn in turns]
    writer.add({"reward": turns / 2, "turn": turns}, {"state": states, "action": actions})


def check(reader: BufferReader, first: int, rows: np.ndarray) -> None:
    turns = rows + first
    assert reader.scalar("turn", rows).tolist() == turns.tolist()
    assert np.allclose(reader.scalar("reward", rows), turns / 2)
    states, actions = reader.sequences("state", rows), reader.sequences("action", rows)
    for place, turn in enumerate(turns.tolist()):
        assert states[place].tolist() == list(range(turn, turn + turn % 7))
        assert actions[place].tolist() == ([turn, turn + 1] if turn % 3 else [])


def test_rows_come_back_across_segments_and_in_any_order(tmp_path: Path):
    with BufferWriter(tmp_path / "b", COLUMNS, segment_rows=50) as writer:
        for first in range(0, 230, 23):
            add(writer, first, 23)
    reader = BufferReader(tmp_path / "b")
    assert len(reader) == 230
    check(reader, 0, np.random.default_rng(0).integers(230, size=300))
    assert len(reader.sequences("state", np.zeros(0, np.int64))) == 0


def test_a_reader_sees_what_is_committed_and_only_that(tmp_path: Path):
    writer = BufferWriter(tmp_path / "b", COLUMNS)
    reader = BufferReader(tmp_path / "b")
    add(writer, 0, 10)
    reader.refresh()
    assert len(reader) == 0
    writer.commit()
    assert len(reader) == 0, "a row number would mean another row in the middle of a batch"
    reader.refresh()
    check(reader, 0, np.arange(10))
    writer.close()


def test_beyond_its_capacity_the_oldest_go_and_a_reader_in_the_middle_keeps_its_rows(tmp_path: Path):
    writer = BufferWriter(tmp_path / "b", COLUMNS, capacity=100, segment_rows=40)
    add(writer, 0, 40)
    reader = BufferReader(tmp_path / "b")
    for first in range(40, 240, 40):
        add(writer, first, 40)
    check(reader, 0, np.arange(40))
    reader.refresh()
    assert len(reader) == 120, "at least the capacity, at most a segment more"
    check(reader, 120, np.arange(120))
    assert len(list((tmp_path / "b").glob("segment-*"))) <= 4
    writer.close()


def test_what_a_killed_writer_left_behind_is_cut_off(tmp_path: Path):
    """Torn rows would be sampled, or later rows would stand in the wrong place."""
    writer = BufferWriter(tmp_path / "b", COLUMNS, segment_rows=50)
    add(writer, 0, 30)
    writer.commit()
    add(writer, 30, 10)
    with (tmp_path / "b" / "segment-000000" / "action.bin").open("ab") as file:
        file.write(b"\x01\x02\x03")
    writer._lock.release()  # what the kernel does for a process that was killed
    with BufferWriter(tmp_path / "b", COLUMNS, segment_rows=50) as again:
        add(again, 30, 45)
    check(BufferReader(tmp_path / "b"), 0, np.arange(75))


WRITES = """
import sys
sys.path.insert(0, sys.argv[2])
from test_buffer import COLUMNS, add
from arena.records.buffer import BufferWriter
writer = BufferWriter(sys.argv[1], COLUMNS, segment_rows=500)
for first in range(0, 10**9, 20):
    add(writer, first, 20)
    if first % 100 == 0:
        writer.commit()
        print(first + 20, flush=True)
"""


def test_kill_9_loses_nothing_that_was_committed_and_readers_go_on(tmp_path: Path):
    folder, said = tmp_path / "b", 0
    for _ in range(3):
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                WRITES.replace("range(0,", f"range({said},"),
                str(folder),
                str(Path(__file__).parent),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8):
            said = int(process.stdout.readline())
        reader = BufferReader(folder)
        check(reader, 0, np.random.default_rng(said).integers(len(reader), size=50))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        reader.refresh()
        assert len(reader) >= said
        check(reader, 0, np.arange(len(reader)))
        said = len(reader)


def test_two_writers_are_refused_and_other_columns_too(tmp_path: Path):
    writer = BufferWriter(tmp_path / "b", COLUMNS)
    with pytest.raises(RunLocked):
        BufferWriter(tmp_path / "b", COLUMNS)
    with pytest.raises(UsageError, match="the columns"):
        writer.add({"reward": [1.0]}, {"state": [[1]], "action": [[1]]})
    with pytest.raises(UsageError, match="same number of rows"):
        writer.add({"reward": [1.0], "turn": [1]}, {"state": [[1], [2]], "action": [[1]]})
    writer.close()
    with pytest.raises(UsageError, match="was made otherwise"):
        BufferWriter(tmp_path / "b", Columns({"reward": "<f8"}, {}))
    with pytest.raises(UsageError, match="no replay buffer"):
        BufferReader(tmp_path)


def test_memory_stays_flat_while_a_large_buffer_is_sampled(tmp_path: Path):
    """Rows would be copied into the process: a buffer larger than memory could not be sampled."""
    with BufferWriter(tmp_path / "b", COLUMNS) as writer:
        for first in range(0, 200_000, 20_000):
            turns = np.arange(first, first + 20_000)
            writer.add(
                {"reward": turns, "turn": turns}, {"state": turns[:, None].repeat(20, 1), "action": turns[:, None]}
            )
    reader, generator = BufferReader(tmp_path / "b"), np.random.default_rng(0)

    def anonymous() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

    def sample(batches: int) -> None:
        for _ in range(batches):
            rows = generator.integers(len(reader), size=256)
            assert (reader.sequences("state", rows).values.reshape(256, 20)[:, 0] == rows).all()

    sample(20)
    before = anonymous()
    sample(300)
    assert anonymous() - before < 4_000, "kilobytes"
