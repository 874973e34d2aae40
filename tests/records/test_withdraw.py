"""A run that is refused when it has begun: an empty folder goes, and what was recorded never does."""

from __future__ import annotations

import pytest
from record_examples import conversation_episode

from arena.core.errors import InfrastructureError, UsageError
from arena.core.outcome import Outcome
from arena.records import create_run, open_run, withdrawn_if_refused

REFUSED = UsageError("That does not fit.")


def run(folder, error, episodes):
    with withdrawn_if_refused(folder), create_run(folder, {"format": 1}) as writer:
        for episode in episodes:
            writer.append(episode)
        raise error


def begin(folder, error, *episodes):
    """Begin a run, record something, and end with an error."""
    with pytest.raises(type(error)):
        run(folder, error, episodes)


def test_a_refused_run_in_which_nothing_was_played_leaves_no_folder(tmp_path):
    """The corrected command would be told that the folder holds a run already."""
    cancelled = conversation_episode(turns=0, outcome=Outcome.CANCELLED, score=None, success=None)
    begin(tmp_path / "run", REFUSED, cancelled)
    assert not (tmp_path / "run").exists()
    begin(tmp_path / "run", REFUSED)
    assert not (tmp_path / "run").exists()


def test_what_was_recorded_or_failed_or_stood_there_before_stays(tmp_path):
    begin(tmp_path / "played", REFUSED, conversation_episode())
    begin(tmp_path / "failed", InfrastructureError("The disk is full."))
    for name, episodes in (("played", 1), ("failed", 0)):
        with open_run(tmp_path / name) as found:
            assert len(found.rows()) == episodes
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    begin(tmp_path / "mine", REFUSED)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_a_folder_that_holds_a_run_is_not_touched_by_the_refusal_to_overwrite_it(tmp_path):
    create_run(tmp_path / "run", {"format": 1}).close()
    with pytest.raises(UsageError, match="already holds a run"), withdrawn_if_refused(tmp_path / "run"):
        create_run(tmp_path / "run", {"format": 1})
    assert (tmp_path / "run" / "run.toml").exists()
