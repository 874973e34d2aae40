"""Records written once are readable for ever, and the schema does not change by accident."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from make_golden import GOLDEN, SCHEMA, without_prose
from record_examples import conversation_episode, image, pixels

from arena.core.episode import FORMAT, Episode
from arena.core.outcome import Outcome
from arena.records import episode_schema, open_run, resume_run

RUNS = sorted(path.name for path in GOLDEN.glob("run-format-*") if path.is_dir())


@pytest.fixture(params=RUNS)
def golden(request, tmp_path) -> tuple[Path, dict[str, Any]]:
    """A copy of the run, and what reading it gave on the day it was written."""
    kept = GOLDEN / request.param
    shutil.copytree(kept, tmp_path / "run")
    return tmp_path / "run", json.loads(kept.with_suffix(".json").read_text())


def holds(now: Any, then: Any) -> bool:
    """Whether everything that was there is there, unchanged; new fields may have come."""
    if isinstance(then, dict):
        return isinstance(now, dict) and all(key in now and holds(now[key], then[key]) for key in then)
    if isinstance(then, list):
        return isinstance(now, list) and len(now) == len(then) and all(map(holds, now, then))
    return now == then and type(now) is type(then)


def test_the_schema_has_not_drifted():
    """Old records would be refused, or other programs could not read new ones."""
    assert without_prose(episode_schema()) == json.loads(SCHEMA.read_text()), (
        "The schema of an episode's record has changed. If a field was added with a default, run "
        "`python tests/records/make_golden.py schema` and commit the file. If a field went or changed its meaning, "
        f"old records can no longer be read as they are: raise FORMAT (now {FORMAT}) in arena/core/episode.py too."
    )


def test_there_is_a_golden_run():
    """Without one, the tests below would test nothing."""
    assert "run-format-1" in RUNS


def test_yesterdays_episodes_are_read(golden):
    """Field by field as on the day they were written."""
    folder, expected = golden
    with open_run(folder) as run:
        episodes = [json.loads(episode.model_dump_json()) for episode in run.episodes(latest=False)]
        assert holds(episodes, expected["episodes"])
        rows = [{**row._asdict(), "name": row.name} for row in run.rows(latest=False)]
        assert holds(json.loads(json.dumps(rows)), expected["rows"])


def test_yesterdays_run_is_understood(golden):
    """Attempts, superseded frames, a torn tail, an unfinished episode and images."""
    folder, _ = golden
    with open_run(folder) as run:
        assert run.config["suite"] == {"name": "golden", "hash": "0123456789abcdef"}
        assert run.summary == {"score": 0.5}
        assert {row.outcome for row in run.rows()} == {
            Outcome.SUCCESS,
            Outcome.TRUNCATED,
            Outcome.FAILURE,
            Outcome.ENVIRONMENT_ERROR,
        }
        assert [(row.task, row.attempt) for row in run.superseded] == [
            ("arena/House-v0@1", 0),
            ("arena/House-v0@2", 0),
        ]
        assert [(d.shard, d.length) for d in run.damage] == [("0001", 50)]
        (unfinished,) = run.unfinished()
        assert unfinished.episode().turns[0].action == "go 0"
        assert pixels(run.blob(image(10))) == (3, 2)
        episode = run.episode("arena/House-v0@0")
        call = episode.calls[-1]
        assert [m.text for m in episode.prompt(call)][-1] == "Room 2 of house 0."
        assert call.prompt_ids is not None
        assert episode.ids(call.prompt_ids)[:5] == (1, 2, 3, 100, 101)


def test_yesterdays_run_is_resumed(golden):
    """A run may be finished by a newer version than it was begun with."""
    folder, _ = golden
    with resume_run(folder, open_run(folder).config) as writer:
        assert [damage.length for damage in writer.damage] == [50]
        writer.append(conversation_episode(3))
    with open_run(folder) as run:
        assert run.damage == []
        assert run.row(conversation_episode(3).key).shard == "0002"


def test_a_record_of_a_newer_format_is_refused(golden):
    """It may hold things that this version would silently drop."""
    _, expected = golden
    newer = expected["episodes"][0] | {"format": FORMAT + 1}
    with pytest.raises(ValueError, match="upgrade"):
        Episode.model_validate_json(json.dumps(newer))
