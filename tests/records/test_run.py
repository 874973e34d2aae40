"""Runs are written, read, resumed; and nothing that was written is lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import tomllib
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from record_examples import conversation_episode, examples, image, pixels

from arena.core.episode import Episode, Key
from arena.core.errors import InfrastructureError, RecordDamaged, ResumeRefused, RunLocked, UnknownName, UsageError
from arena.core.messages import ImagePart
from arena.core.outcome import Outcome
from arena.records import Run, create_run, join_run, open_run, resume_run
from arena.records import writer as _writer

CONFIG = {"suite": {"name": "small", "hash": "0123"}, "agent": "chat", "limits": {"turns": None, "cost": 1.5}}


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "run"


def filled(folder: Path, count: int = 5) -> list[Episode]:
    episodes = [conversation_episode(number, turns=1 + number % 3) for number in range(count)]
    with create_run(folder, CONFIG) as writer:
        for episode in episodes:
            writer.append(episode)
    return episodes


def same(run: Run, episodes: list[Episode]) -> bool:
    return [e.model_dump_json() for e in run.episodes()] == [e.model_dump_json() for e in episodes]


def shards(folder: Path) -> list[Path]:
    return sorted((folder / "episodes").iterdir())


# --- writing and reading ---------------------------------------------------------------------------------------------


def test_what_is_written_is_read(folder):
    """Every kind of episode comes back, by every way of asking for it."""
    with create_run(folder, CONFIG) as writer:
        rows = [writer.append(episode) for episode in examples()]
        assert writer.offsets() == {"0000": rows[-1].offset + rows[-1].length}
    with open_run(folder) as run:
        assert run.rows() == rows
        assert same(run, examples())
        assert run.damage == []
        for place, (row, episode) in enumerate(zip(rows, examples(), strict=True)):
            for which in (row.key, row.name, row.name.removeprefix("arena/"), place, place - 4):
                assert run.episode(which).model_dump_json() == episode.model_dump_json()


def test_rows_hold_what_tables_need(folder):
    """Summaries are made of rows alone."""
    with create_run(folder, CONFIG) as writer:
        for episode in examples():
            writer.append(episode)
    plain, window, hostile, failed = open_run(folder).rows()
    assert (plain.env, plain.agent, plain.model, plain.outcome) == ("arena/House-v0", "chat", "scripted:x", "success")
    assert (plain.turns, plain.tokens, plain.seconds) == (3, 51, 2.5)
    assert plain.cost == pytest.approx(0.003)
    assert (plain.score, plain.success, plain.reward) == (1.0, True, 0.75)
    assert (window.limit, window.reward, window.slot) == ("turns", 0.5, ("arena/Rounds-v0[size=3]@5!5", 2, 0))
    assert (hostile.agent, hostile.cost, hostile.success) == ("chat", None, False)
    assert (failed.outcome, failed.score, failed.success) == (Outcome.ENVIRONMENT_ERROR, None, None)


def test_filters(folder):
    """`arena replay` and trainers pick what they want without reading the rest."""
    with create_run(folder, CONFIG) as writer:
        for episode in examples():
            writer.append(episode)
    run = open_run(folder)
    assert [row.env for row in run.rows(env="arena/House-v0")] == ["arena/House-v0"] * 2
    assert [row.limit for row in run.rows(outcome=Outcome.TRUNCATED)] == ["turns"]
    assert [e.outcome for e in run.episodes(env="arena/House-v0", outcome="success")] == [Outcome.SUCCESS]
    assert [e.key.step for e in run.episodes(lambda row: row.step == 4)] == [4]
    assert run.rows(task="arena/House-v0@0", agent="chat")[0].turns == 3


def test_names_that_fit_nothing_or_several(folder):
    """The message must lead to the right one."""
    filled(folder, 3)
    run = open_run(folder)
    with pytest.raises(UnknownName, match="Did you mean 'arena/House-v0@1'"):
        run.episode("arena/Hause-v0@1")
    with pytest.raises(UsageError, match="fits 3 episodes: arena/House-v0@0, "):
        run.episode("House")
    with pytest.raises(UsageError, match="has 3 episodes"):
        run.episode(3)
    with pytest.raises(UnknownName, match="arena/House-v0@1:2"):
        run.episode(Key(task="arena/House-v0@1", repeat=2))


def test_the_newest_attempt_counts(folder):
    """A repeated episode would be counted twice, or the failed attempt instead of the good one."""
    with create_run(folder, CONFIG) as writer:
        writer.append(conversation_episode(0, attempt=1))
        writer.append(conversation_episode(0, attempt=0, outcome=Outcome.INFRASTRUCTURE_ERROR, score=None))
        writer.append(conversation_episode(1))
        writer.append(conversation_episode(1, turns=5))
    run = open_run(folder)
    assert [(row.task[-1], row.attempt, row.turns) for row in run.rows()] == [("0", 1, 3), ("1", 0, 5)]
    assert [(row.task[-1], row.attempt, row.turns) for row in run.superseded] == [("0", 0, 3), ("1", 0, 3)]
    assert len(run.rows(latest=False)) == 4
    assert run.episode("arena/House-v0@0").outcome is Outcome.INFRASTRUCTURE_ERROR
    assert run.episode("arena/House-v0@0~1").outcome is Outcome.SUCCESS


def test_images_are_kept_once(folder):
    """The record names them by their SHA-256; a viewer must find the bytes."""
    with create_run(folder, CONFIG) as writer:
        for part in (image(10), image(20), image(10)):
            writer.blob(part)
        digest = writer.blob_bytes(b"a snapshot")
        with pytest.raises(ValueError, match="no bytes"):
            writer.blob(ImagePart(sha256="0" * 64, width=1, height=1))
        with pytest.raises(ValueError, match="another SHA-256"):
            writer.blob(ImagePart(sha256="0" * 64, width=1, height=1).with_data(b"x"))
    run = open_run(folder)
    assert pixels(run.blob(image(10))) == (3, 2)
    assert run.blob(digest) == b"a snapshot"
    (folder / "blobs" / digest).write_bytes(b"changed")
    with pytest.raises(RecordDamaged, match="does not match"):
        run.blob(digest)
    with pytest.raises(RecordDamaged, match="is missing"):
        run.blob("0" * 64)


def test_summary_and_log(folder):
    """The summary is replaced in one step; the log grows."""
    with create_run(folder, CONFIG) as writer:
        assert open_run(folder).summary is None
        writer.write_summary({"score": 0.5, "text": "é"})
        writer.write_summary({"score": 0.75})
        writer.log("one \ud800")
        writer.log("two")
    assert open_run(folder).summary == {"score": 0.75}
    assert [line.split(" ", 1)[1] for line in (folder / "log.txt").read_text().splitlines()] == ["one ?", "two"]


def test_a_run_can_be_watched_while_it_is_written(folder):
    """The live viewer opens a run that is not finished."""
    with create_run(folder, CONFIG) as writer:
        run = open_run(folder)
        assert run.rows() == []
        assert run.writer == f"process {os.getpid()}"
        writer.append(conversation_episode(0))
        run.refresh()
        assert len(run.rows()) == 1
        writer.append(conversation_episode(1))
        assert len(open_run(folder).rows()) == 2
    run.refresh()
    assert len(run.rows()) == 2
    assert run.writer is None


# --- configuration and resuming ---------------------------------------------------------------------------------------


def test_run_toml(folder):
    """A person reads it; another process rebuilds the run from it."""
    filled(folder)
    data = tomllib.loads((folder / "run.toml").read_text())
    assert data["suite"] == CONFIG["suite"]
    assert data["limits"] == {"cost": 1.5}
    assert data["record"]["format"] == 1
    run = open_run(folder)
    assert run.config == {"suite": CONFIG["suite"], "agent": "chat", "limits": {"cost": 1.5}}
    assert run.record["arena"]
    assert run.name == "run"


def test_secrets_stay_out(folder, monkeypatch):
    """A run folder is handed on; keys in it would be too."""
    monkeypatch.setenv("EXAMPLE_API_KEY", "sk-0123456789abcdef")
    config = {"model": {"url": "http://h/?k=sk-0123456789abcdef", "api_key": "other", "max_tokens": 5}, "x": [("a",)]}
    with create_run(folder, config):
        pass
    text = (folder / "run.toml").read_text()
    assert "sk-0123" not in text
    assert "other" not in text
    assert open_run(folder).config["model"] == {
        "url": "http://h/?k=$EXAMPLE_API_KEY",
        "api_key": "(hidden)",
        "max_tokens": 5,
    }
    resume_run(folder, config).close()


def test_resuming_appends(folder):
    """What was there stays; each writing process has its own shard."""
    episodes = filled(folder, 2)
    with resume_run(folder, CONFIG) as writer:
        writer.append(conversation_episode(7))
    assert [path.name for path in shards(folder)] == ["0000.jsonl.zst", "0001.jsonl.zst"]
    assert same(open_run(folder), [*episodes, conversation_episode(7)])


def test_resuming_with_another_configuration_is_refused(folder):
    """Two configurations mixed in one run make a mean of nothing."""
    filled(folder)
    prompt = "You play a game of words. " * 20
    changed = CONFIG | {"suite": {"name": "small", "hash": "4567"}, "prompt": prompt}
    with pytest.raises(ResumeRefused) as refused:
        resume_run(folder, changed)
    assert 'suite.hash: was "0123", is now "4567"' in str(refused.value)
    assert 'prompt: was not set, is now "You play' in str(refused.value)
    assert max(map(len, str(refused.value).splitlines())) < 200
    resume_run(folder, changed, keys=["agent", "limits", "suite.name"]).close()


def test_a_run_is_not_overwritten(folder):
    """`create_run` on an old run would mix two of them."""
    filled(folder)
    with pytest.raises(UsageError, match="already holds a run"):
        create_run(folder, CONFIG)
    resume_run(folder, CONFIG).close()


def test_a_folder_that_is_no_run(folder, tmp_path):
    """A typing error must not end in a traceback."""
    filled(folder)
    with pytest.raises(UsageError, match=r"has no run.toml. There is: .*run"):
        open_run(tmp_path / "rum")
    with pytest.raises(UsageError, match=r"no run.toml"):
        resume_run(tmp_path, CONFIG)


def test_a_newer_format_is_refused(folder):
    """Reading half of it would show wrong results."""
    filled(folder)
    path = folder / "run.toml"
    path.write_text(path.read_text().replace("format = 1", "format = 2"))
    with pytest.raises(UsageError, match="upgrade"):
        open_run(folder)


def test_one_writer_at_a_time(folder):
    """Two engines in one run would do everything twice."""
    with create_run(folder, CONFIG), pytest.raises(RunLocked, match=f"process {os.getpid()}"):
        resume_run(folder, CONFIG)
    resume_run(folder, CONFIG).close()


def test_a_forked_child_does_not_keep_the_lock(folder):
    """Worker processes outlive a killed engine for a moment; the resumed one must not wait for them."""
    writer = create_run(folder, CONFIG)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: this child does nothing
        child = os.fork()
    if child == 0:
        os.read(reading, 1)
        os._exit(0)
    try:
        writer.close()
        resume_run(folder, CONFIG).close()
    finally:
        os.write(writing, b"x")
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)


def test_a_closed_writer_writes_no_more(folder):
    """Its lock is gone, so another may be writing already."""
    writer = create_run(folder, CONFIG)
    writer.close()
    writer.close()
    with pytest.raises(UsageError, match="closed"):
        writer.append(conversation_episode())


def test_a_writer_that_is_closed_while_its_thread_takes_note_is_closed(folder, monkeypatch):
    """The thread took back the event that `close` had just set and waited for another: a run that never ended."""
    monkeypatch.setattr(_writer, "_SYNC_SECONDS", 0.01)
    writer = create_run(folder, CONFIG)
    closing = threading.Thread(target=writer.close, daemon=True)

    class ClosedMeanwhile(threading.Event):
        def clear(self) -> None:
            closing.start()
            assert writer._ending.wait(10)
            assert self.wait(10)
            super().clear()

    woken, writer._dirty = writer._dirty, ClosedMeanwhile()
    woken.set()
    assert writer._ending.wait(10)
    closing.join(10)
    assert not closing.is_alive()


def test_a_full_disk_is_an_infrastructure_error(folder):
    """An episode that did not fit must not leave half a frame before the next one."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with create_run(folder, CONFIG) as writer:
        writer.append(conversation_episode(0))
        writer.sync()
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (writer.offsets()["0000"] + 100, limits[1]))
            with pytest.raises(InfrastructureError, match="could not be written"):
                writer.append(conversation_episode(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, old)
        writer.append(conversation_episode(2))
    run = open_run(folder)
    assert same(run, [conversation_episode(0), conversation_episode(2)])
    assert run.damage == []


def test_offsets_and_superseding(folder):
    """A training resumed from a checkpoint does its later steps again; the first ones count no more."""
    episodes = filled(folder, 2)
    with resume_run(folder, CONFIG) as writer:
        writer.append(conversation_episode(2))
        checkpoint = writer.offsets()
        for number in (3, 4):
            writer.append(conversation_episode(number))
    with resume_run(folder, CONFIG) as writer:
        writer.append(conversation_episode(5))
        writer.supersede_after(checkpoint)
        writer.append(conversation_episode(4, turns=1))
    expected = [*episodes, conversation_episode(2), conversation_episode(4, turns=1)]
    run = open_run(folder)
    assert same(run, expected)
    assert [row.task[-1] for row in run.superseded] == ["3", "4", "5"]
    (folder / "index.sqlite").unlink()
    assert same(open_run(folder), expected)
    (folder / "superseded.json").unlink()
    assert len(open_run(folder).rows()) == 6
    (folder / "superseded.json").write_text("[")
    with pytest.raises(RecordDamaged, match=r"superseded.json"):
        open_run(folder)


# --- damage -----------------------------------------------------------------------------------------------------------


def test_a_shard_torn_anywhere_is_read_and_resumed(folder):
    """kill -9 may stop a write at any byte; no earlier episode may be lost, and appending must go on cleanly."""
    first, last = conversation_episode(0, turns=1), conversation_episode(1, turns=0, messages=(), briefs={})
    with create_run(folder, CONFIG) as writer:
        writer.append(first)
        row = writer.append(last)
    shard, index = shards(folder)[0], folder / "index.sqlite"
    data, known = shard.read_bytes(), index.read_bytes()
    for size in range(row.offset, len(data)):
        shard.write_bytes(data[:size])
        if size % 2:
            index.write_bytes(known)
        else:
            index.unlink()
        lost = [size - row.offset] if size > row.offset else []
        with open_run(folder) as run:
            assert [r.key for r in run.rows()] == [first.key]
            assert [d.length for d in run.damage] == lost
        with resume_run(folder, CONFIG) as writer:
            assert [d.length for d in writer.damage] == lost
            if size % 31 == 0:
                writer.append(last)
        with open_run(folder) as run:
            assert same(run, [first, last] if size % 31 == 0 else [first])
            assert run.damage == []
        for other in shards(folder)[1:]:
            other.unlink()


def test_damage_in_the_middle_costs_one_episode(folder):
    """Found with an index that knows nothing of it, and without an index."""
    episodes = filled(folder, 4)
    row = open_run(folder).rows()[1]
    shard = shards(folder)[0]
    data = bytearray(shard.read_bytes())
    data[row.offset + row.length // 2] ^= 0xFF
    shard.write_bytes(data)
    rest = [episodes[0], *episodes[2:]]
    with open_run(folder) as run:
        assert run.damage == []
        with pytest.raises(RecordDamaged, match=r"arena/House-v0@1 \(shard 0000"):
            run.episode(1)
        assert same(run, rest)
        assert [(d.offset, d.length) for d in run.damage] == [(row.offset, row.length)]
    with open_run(folder) as run:
        assert [(d.offset, d.length) for d in run.verify()] == [(row.offset, row.length)]
    (folder / "index.sqlite").unlink()
    with open_run(folder) as run:
        assert [(d.offset, d.length) for d in run.damage] == [(row.offset, row.length)]
        assert "are lost" in str(run.damage[0])
        assert same(run, rest)
    with resume_run(folder, CONFIG) as writer:
        assert writer.damage == ()


def test_a_frame_that_holds_no_episode_is_damage(folder):
    """Whole and checksummed, but nothing we can read."""
    from arena.records._frames import FrameCodec

    filled(folder, 1)
    with shards(folder)[0].open("ab") as file:
        file.write(FrameCodec().pack(b'{"hello": 1}\n'))
    run = open_run(folder)
    assert len(run.rows()) == 1
    assert [d.reason for d in run.damage] == ["it holds no episode"]


# --- the index --------------------------------------------------------------------------------------------------------


def test_the_index_is_only_a_cache(folder):
    """Missing, stale, damaged or of another version: the rows are the same."""
    filled(folder, 5)
    rows = open_run(folder).rows()
    index = folder / "index.sqlite"
    old = index.read_bytes()
    garbage = b"\xff" * 3000
    anywhere = [old[:place] + garbage + old[place + 3000 :] for place in range(100, len(old), 1000)]
    for damaged in (None, b"", b"SQLite format 3\x00 and nothing", old[:5000], *anywhere):
        index.unlink()
        if damaged is not None:
            index.write_bytes(damaged)
        assert open_run(folder).rows() == rows
    connection = sqlite3.connect(index)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert open_run(folder).rows() == rows
    with resume_run(folder, CONFIG) as writer:
        writer.append(conversation_episode(9))
        writer.sync()
        current = index.read_bytes()
    index.write_bytes(old)
    assert len(open_run(folder).rows()) == 6
    assert len(current) >= len(old)


def test_the_writer_keeps_the_index(folder):
    """Opening a finished run must read no shard at all."""
    filled(folder, 5)
    for shard in shards(folder):
        shard.write_bytes(b"\x00" * shard.stat().st_size)
    assert len(open_run(folder).rows()) == 5


def test_a_shard_that_shrinks_or_goes(folder):
    """Rows must not point at what is no longer there."""
    filled(folder, 4)
    row = open_run(folder).rows()[2]
    os.truncate(shards(folder)[0], row.offset)
    assert len(open_run(folder).rows()) == 2
    shards(folder)[0].unlink()
    run = open_run(folder)
    assert run.rows() == []
    assert run.damage == []


def test_a_run_in_a_read_only_place(folder):
    """A shared data set, a mounted archive: nothing can be written beside it."""
    episodes = filled(folder, 3)
    with shards(folder)[0].open("ab") as file:
        file.write(b"torn")
    index = folder / "index.sqlite"
    modes = {path: path.stat().st_mode for path in (folder, index)}
    for path, mode in modes.items():
        path.chmod(mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    try:
        assert same(open_run(folder), episodes)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    index.unlink()
    index.mkdir()  # what holds for root too: no index file can be made here
    run = open_run(folder)
    assert same(run, episodes)
    assert len(run.damage) == 1


# --- crashes ----------------------------------------------------------------------------------------------------------

ENDLESS = """
import itertools, sys
sys.path.insert(0, sys.argv[2])
from record_examples import conversation_episode
from arena.records import create_run
writer = create_run(sys.argv[1], {})
for number in itertools.count():
    episode = conversation_episode(number)
    header = episode.model_dump(include={"task", "seed", "agents", "models"})
    writer.journal_start(episode.key, header)
    for turn in episode.turns:
        writer.journal(episode.key, turn, episode.messages if turn.index == 0 else ())
    print(number, flush=True)
    if number % 10 == 9:
        continue
    writer.append(episode)
"""


def test_kill_nine_loses_nothing_that_was_written(folder):
    """The engine dies without a word; every episode it had appended is there, and the open ones have their turns."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(folder), str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        while int(process.stdout.readline()) < 60:
            pass
        process.send_signal(signal.SIGKILL)
        last = [int(line) for line in process.stdout if line.endswith("\n")][-1:] or [60]
    process.wait()
    with open_run(folder) as run:
        have = {int(row.task.rpartition("@")[2]) for row in run.rows()}
        expected = {number for number in range(last[0]) if number % 10 != 9}
        assert have >= expected
        open_ones = {int(u.key.task.rpartition("@")[2]): u for u in run.unfinished()}
        assert set(range(9, 60, 10)) <= open_ones.keys()
        assert open_ones[9].turns == conversation_episode(9).turns
    with resume_run(folder, {}) as writer:
        recovered = writer.recover()
        assert {9, 19, 29} <= {int(row.task.rpartition("@")[2]) for row in recovered}
        assert all(row.outcome is Outcome.CANCELLED and row.tokens == 51 for row in recovered[:5])
    with open_run(folder) as run:
        assert run.unfinished() == []
        episode = run.episode("arena/House-v0@9")
        assert episode.prompt(episode.calls[-1]) == conversation_episode(9).prompt(conversation_episode(9).calls[-1])


def test_what_was_appended_reaches_the_index_by_itself(folder):
    """After a crash most of the index is there already."""
    writer = create_run(folder, CONFIG)
    try:
        writer.append(conversation_episode(0))
        deadline = time.monotonic() + 30
        connection = sqlite3.connect(folder / "index.sqlite")
        while not connection.execute("SELECT count(*) FROM episodes").fetchone()[0]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        connection.close()
    finally:
        writer.close()


def test_threads_may_write_together(folder):
    """Frames of two threads must not mix, nor rows point at each other's."""
    episodes = {number: conversation_episode(number, turns=1) for number in range(40)}
    with create_run(folder, CONFIG) as writer, ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(writer.append, episodes.values()))
    with open_run(folder) as run:
        assert sorted(run.rows()) == sorted(rows)
        assert {e.seed - 1000: e for e in run.episodes()} == episodes
        assert run.verify() == []


def test_processes_that_work_together_write_one_run(folder):
    """Ranks of a training record beside each other: nobody waits for a lock, and one reader sees all of it."""
    first, second = conversation_episode(0), conversation_episode(1)
    with create_run(folder, CONFIG) as writer:
        beside = join_run(folder, writer.shard_beside(1))
        with beside:
            beside.append(second)
            beside.sync()
            with pytest.raises(UsageError, match="holds the lock"):
                beside.supersede_after({})
        writer.append(first)
        assert writer.offsets().keys() == {"0000", "0001"}
        with pytest.raises(RunLocked):
            resume_run(folder, CONFIG)
    with open_run(folder) as run:
        assert same(run, [first, second])
