"""`arena collect`: data sets of a stated mixed quality, stopped and completed without losing any."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from typed import Shell, process

from arena.core.errors import UsageError
from arena.evaluation.collection import read_shares
from arena.records import open_run


def test_each_agent_plays_exactly_its_share_and_the_record_says_which(arena: Shell):
    said = arena("collect", "arena/KeyDoor-v0", "-a", "oracle:0.4,random:0.6", "-n", 50, "-o", "data", "--json")
    assert said.code == 0, said.err
    told = {one["agent"]: one for one in json.loads(said.out)["agents"]}
    assert [told[name]["scored"] for name in ("oracle", "random", "all")] == [20, 30, 50]
    assert told["oracle"]["success"]["mean"] == 1.0
    assert told["random"]["success"]["mean"] < 0.5, "the mixture would be of one quality"
    rows = open_run(Path("data")).rows()
    assert sorted(row.agent for row in rows) == ["oracle"] * 20 + ["random"] * 30
    assert len({row.task for row in rows}) == 50
    assert all(episode.task.task.split == "train" for episode in open_run(Path("data")).episodes())


def test_few_tasks_are_played_by_all_agents(arena: Shell):
    """Agents with tasks of their own would make quality a matter of the task."""
    arena("collect", "arena/KeyDoor-v0", "-a", "idle:0.5,random:0.5", "-n", 60, "--tasks", 3, "-o", "data")
    rows = open_run(Path("data")).rows()
    assert {(row.task, row.agent) for row in rows} == {
        (t, a) for t in {r.task for r in rows} for a in ("idle", "random")
    }
    assert len({row.slot for row in rows}) == 60


def test_a_killed_collection_is_completed_and_equals_one_in_one_piece(arena: Shell):
    words = ("collect", "arena/GuessNumber-v0", "-a", "chat:0.5,oracle:0.5", "-m", "scripted:replies=5,latency=0.02")
    arena(*words, "-n", 40, "-j", 2, "-o", "whole")
    running = process(*words, "-n", 40, "-j", 2, "-o", "data", cwd=arena.folder)
    for _ in range(400):
        if list((arena.folder / "data" / "episodes").glob("*")) and len(open_run(Path("data")).rows()) >= 3:
            break
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert len(open_run(Path("data")).rows()) < 40
    resumed = arena("collect", "--resume", "data", "--json")
    assert json.loads(resumed.out)["complete"]
    played = [
        {row.slot: (row.agent, row.score, row.turns) for row in open_run(Path(name)).rows()}
        for name in ("whole", "data")
    ]
    assert played[0] == played[1]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("-a", "oracle:0.4,random:0.7"), "do not add up to 1"),
        (("-a", "oracle:0.4,random"), "has no share"),
        (("-a", "orakle"), "oracle"),
        ((), "Name who plays"),
        (("-a", "oracle", "-n", "0"), "episodes"),
        (("-a", "oracle", "--set", "episods=3"), "did you mean 'episodes'"),
        (("-a", "noisy:epsilon=1.5"), "probability"),
    ],
)
def test_what_cannot_be_collected_is_told_before_anything_is_written(words, reason, arena: Shell):
    said = arena("collect", "arena/KeyDoor-v0", "-o", "data", *words)
    assert said.code == 2
    assert reason in said.err
    assert not Path("data").exists()


def test_specs_with_options_keep_them():
    assert read_shares("chat:window=2,max_tokens=8:0.25,random:0.75") == {
        "chat:window=2,max_tokens=8": 0.25,
        "random": 0.75,
    }
    assert read_shares("noisy:epsilon=0.3") == {"noisy:epsilon=0.3": 1.0}
    with pytest.raises(UsageError):
        read_shares("a:0.5,b")
