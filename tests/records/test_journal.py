"""The turns of unfinished episodes are readable after a crash, and the journal does not grow for ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from record_examples import conversation_episode, hostile_episode

from arena.core.episode import Episode
from arena.core.outcome import Outcome
from arena.records import _journal, create_run, open_run, resume_run
from arena.records._journal import Journal, read_journal


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "journal" / "0000.jsonl"


def header(episode: Episode) -> dict:
    return {name: getattr(episode, name) for name in ("task", "seed", "agents", "models", "briefs", "started", "tools")}


def play(journal: Journal, episode: Episode, turns: int | None = None) -> None:
    journal.start(episode.key, header(episode))
    for turn in episode.turns[:turns]:
        journal.turn(episode.key, turn, episode.messages if turn.index == 0 else ())


def test_turns_come_back_as_they_were(path):
    """Hostile text, images, numbers that JSON does not know, and the messages the calls refer to."""
    journal = Journal(path)
    for episode in (conversation_episode(3), hostile_episode()):
        play(journal, episode)
    found = list(read_journal(path))
    for unfinished, episode in zip(found, (conversation_episode(3), hostile_episode()), strict=True):
        assert unfinished.key == episode.key
        assert unfinished.messages == episode.messages
        assert [t.model_dump_json() for t in unfinished.turns] == [t.model_dump_json() for t in episode.turns]
        assert unfinished.header["seed"] == episode.seed
        assert unfinished.episode().task.model_dump_json() == episode.task.model_dump_json()


def test_what_was_spent_is_counted(path):
    """`--resume` counts the tokens and the money of episodes that a crash cut short."""
    journal = Journal(path)
    play(journal, conversation_episode(3, turns=3), turns=2)
    (unfinished,) = read_journal(path)
    episode = unfinished.episode()
    assert (episode.outcome, episode.usage.input, episode.usage.output) == (Outcome.CANCELLED, 20, 10)
    assert episode.cost == pytest.approx(0.002)
    assert episode.seconds == pytest.approx(1.25)
    assert episode.prompt(episode.calls[1]) == conversation_episode(3).prompt(conversation_episode(3).calls[1])
    with pytest.raises(ValueError, match="seed"):
        unfinished._replace(header={}).episode()


def test_a_journal_torn_anywhere_is_read(path):
    """The last line may be half written; the turns before it stand."""
    journal, episode = Journal(path), conversation_episode(3)
    play(journal, episode)
    data = path.read_bytes()
    lines = data.splitlines(keepends=True)
    for size in range(len(lines[0]), len(data), 7):
        path.write_bytes(data[:size])
        (unfinished,) = read_journal(path)
        whole = sum(size >= sum(map(len, lines[: n + 1])) - 1 for n in range(1, 4))
        assert unfinished.turns == episode.turns[:whole]


def test_a_damaged_line_ends_its_episode_there(path):
    """Turns after a missing one would be read as if nothing were missing."""
    journal, episode = Journal(path), conversation_episode(3)
    play(journal, episode)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1], b"\xff\x00 garbage\n", lines[3]]))
    (unfinished,) = read_journal(path)
    assert unfinished.turns == episode.turns[:1]


def test_the_journal_shrinks_when_no_episode_is_open(path, monkeypatch):
    """A long run's journal would be as large as its shards."""
    monkeypatch.setattr(_journal, "_KEEP", 1000)
    journal = Journal(path)
    for number in range(20):
        episode = conversation_episode(number)
        play(journal, episode)
        journal.end(episode.key)
    assert path.stat().st_size == 0
    journal.close()
    assert not path.exists()


def test_the_journal_is_compacted_while_episodes_are_open(path, monkeypatch):
    """At high concurrency there is always an open episode; the dead lines must go all the same."""
    monkeypatch.setattr(_journal, "_LARGE", 20_000)
    journal, stays = Journal(path), conversation_episode(99)
    play(journal, stays, turns=1)
    for number in range(30):
        play(journal, conversation_episode(number))
        journal.end(conversation_episode(number).key)
    journal.turn(stays.key, stays.turns[1])
    assert path.stat().st_size < 30_000
    live = [unfinished for unfinished in read_journal(path) if unfinished.key == stays.key]
    assert [unfinished.turns for unfinished in live] == [stays.turns[:2]]


def test_a_turn_needs_a_start(path):
    """A turn whose episode is not known could not be read."""
    with pytest.raises(KeyError, match="journal_start"):
        Journal(path).turn(conversation_episode().key, conversation_episode().turns[0])


def test_a_run_shows_what_is_unfinished(tmp_path):
    """Recorded and dropped episodes are finished; an episode begun again has only its new turns."""
    with create_run(tmp_path / "run", {}) as writer:
        for number in range(4):
            episode = conversation_episode(number)
            writer.journal_start(episode.key, header(episode))
            writer.journal(episode.key, episode.turns[0], episode.messages)
        writer.append(conversation_episode(0))
        writer.journal_drop(conversation_episode(1).key)
        writer.journal_start(conversation_episode(3).key, header(conversation_episode(3)))
        live = [(u.key.task[-1], len(u.turns)) for u in open_run(tmp_path / "run").unfinished()]
        assert live == [("2", 1), ("3", 0)]
    assert [u.key.task[-1] for u in open_run(tmp_path / "run").unfinished()] == ["2", "3"]


def test_recovering_keeps_a_journal_it_cannot_record(tmp_path):
    """Nothing readable may be thrown away."""
    folder, episode = tmp_path / "run", conversation_episode()
    with create_run(folder, {}) as writer:
        writer.journal_start(episode.key, {"seed": 1})
        writer.journal(episode.key, episode.turns[0])
    with resume_run(folder, {}) as writer:
        assert writer.recover() == []
    assert [u.turns for u in open_run(folder).unfinished()] == [episode.turns[:1]]
    assert "kept journal/0000.jsonl" in (folder / "log.txt").read_text()
