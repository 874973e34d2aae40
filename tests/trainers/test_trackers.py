"""Metrics reach the trackers for real, a resumed run goes on in the same curve, and a missing one is told at once."""

from __future__ import annotations

import importlib.util
import time

import pytest

from arena.core.errors import MissingPrerequisite
from arena.trainers._trackers import check_tracker, flat, open_tracker

LINES = [
    {"step": 0, "eval": {"success": {"mean": 0.5, "low": None, "method": "wilson"}}},
    {"step": 1, "reward": 1.5, "seconds": {"sample": 2}},
    {"step": 2, "reward": 2.5},
]


def logged(name, run):
    """Two lines, and after the run is resumed at step 1 a third."""
    run.mkdir()
    for done, lines in ((0, LINES[:2]), (1, LINES[2:])):
        tracker = open_tracker(name, "arena-tests", run, {"steps": 2, "model": None}, done)
        for line in lines:
            tracker.log(line)
        tracker.close()


def test_only_numbers_are_sent():
    """A tracker refuses words, and null would end a curve."""
    assert flat(LINES[0]) == {"eval/success/mean": 0.5}
    assert flat(LINES[1]) == {"reward": 1.5, "seconds/sample": 2.0}


def test_tensorboard(require, tmp_path):
    require("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logged("tensorboard", tmp_path / "run")
    read = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    read.Reload()
    assert [(event.step, event.value) for event in read.Scalars("reward")] == [(1, 1.5), (2, 2.5)]
    assert [event.step for event in read.Scalars("eval/success/mean")] == [0]


def test_trackio(require, tmp_path, monkeypatch, capfd):
    """Its greetings would break the progress line."""
    require("trackio")
    import trackio
    from trackio import sqlite_storage

    monkeypatch.setattr(sqlite_storage, "TRACKIO_DIR", tmp_path / "trackio")
    logged("trackio", tmp_path / "run")
    runs = trackio.Api().runs("arena-tests")
    found = [
        (line["step"], line.get("reward"))
        for run in runs
        for line in sqlite_storage.SQLiteStorage.get_logs("arena-tests", run.name)
    ]
    assert found == [(0, None), (1, 1.5), (2, 2.5)]
    assert capfd.readouterr().out == ""


def test_wandb_offline(require, tmp_path, monkeypatch):
    require("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = tmp_path / "run"
    run.mkdir()
    tracker = open_tracker("wandb", "arena-tests", run, {"steps": 2, "model": None})
    for line in LINES:
        tracker.log(line)
    tracker.close()
    (file,) = (run / "wandb").glob("offline-run-*/*.wandb")
    deadline = time.monotonic() + 300
    while b"eval/success/mean" not in file.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.1)  # a process of its own writes it, late on a busy machine
    assert b"eval/success/mean" in file.read_bytes()
    assert b"2.5" in file.read_bytes()


@pytest.mark.parametrize("name", ["trackio", "tensorboard", "wandb"])
def test_a_missing_tracker_is_told_with_its_install_line(name, monkeypatch):
    """Told after the first step, it would cost the step."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda asked: None)
    with pytest.raises(MissingPrerequisite, match=rf'pip install "arena-gym\[{name}\]"'):
        check_tracker(name)
    check_tracker(None)
