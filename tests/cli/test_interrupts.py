"""Ctrl-C and SIGTERM while episodes run: nothing is lost, and the run can be completed."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
from typed import Shell, process

from arena.core.outcome import Outcome
from arena.records import open_run

SLOW = ("eval", "guess-number", "-a", "chat", "-m", "scripted:replies=5,latency=0.15", "-j", 3, "-n", 30, "-o", "run")


def started(folder: Path) -> subprocess.Popen[str]:
    """The evaluation, once episodes are in flight."""
    evaluation = process(*SLOW, cwd=folder)
    journals = folder / "run" / "journal"
    for _ in range(600):
        if any(path.stat().st_size for path in journals.glob("*.jsonl")):
            return evaluation
        if evaluation.poll() is not None:
            break
        with pytest.raises(subprocess.TimeoutExpired):
            evaluation.wait(0.05)
    raise AssertionError(evaluation.communicate())


def ended(evaluation: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = evaluation.communicate(timeout=60)
    assert evaluation.returncode == 130
    assert "Traceback" not in err
    assert "complete it  arena eval --resume run" in out
    return out, err


def test_once_lets_the_episodes_in_flight_end_and_the_run_is_completed_later(arena: Shell):
    evaluation = started(arena.folder)
    evaluation.send_signal(signal.SIGINT)
    _, err = ended(evaluation)
    assert "the episodes in flight go on to their end. Ctrl-C again stops them." in err
    rows = open_run(Path("run")).rows()
    assert 3 <= len(rows) < 30
    assert {row.outcome for row in rows} <= {Outcome.FAILURE, Outcome.SUCCESS}
    resumed = arena("eval", "--resume", "run", "--set", "model=scripted:replies=5", "--json")
    assert resumed.code == 0
    summary = json.loads(resumed.out)
    assert (summary["complete"], summary["overall"]["scored"], summary["run"]["attempts"]) == (True, 30, 30)


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_twice_stops_and_records_what_there_is(second, arena: Shell):
    evaluation = started(arena.folder)
    evaluation.send_signal(signal.SIGINT)
    line = evaluation.stderr.readline()
    while "Interrupted" not in line:
        line = evaluation.stderr.readline()
    evaluation.send_signal(second)
    _, err = ended(evaluation)
    assert "recorded as cancelled" in err
    outcomes = [row.outcome for row in open_run(Path("run")).rows()]
    assert outcomes.count(Outcome.CANCELLED) == 3


def test_a_termination_signal_stops_at_once(arena: Shell):
    evaluation = started(arena.folder)
    evaluation.send_signal(signal.SIGTERM)
    _, err = ended(evaluation)
    assert "go on to their end" not in err
    assert [row.outcome for row in open_run(Path("run")).rows()].count(Outcome.CANCELLED) == 3
