"""Drawing from a replay buffer: the probabilities are those that were asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arena.core.errors import UsageError
from arena.records.buffer import BufferWriter, Columns
from arena.records.buffer_reader import BufferReader
from arena.trainers._sampling import PrioritisedSampler, UniformSampler

COLUMNS = Columns({"turn": "<i4"}, {})


@pytest.fixture
def buffer(tmp_path: Path) -> BufferReader:
    with BufferWriter(tmp_path / "b", COLUMNS, segment_rows=300) as writer:
        for first in range(0, 1000, 100):
            writer.add({"turn": np.arange(first, first + 100)}, {}, priority=1.0)
    return BufferReader(tmp_path / "b")


def shares(sampler, draws: int = 200_000) -> np.ndarray:
    return np.bincount(sampler.draw(draws), minlength=1000) / draws


def test_uniform_means_uniform(buffer: BufferReader):
    found = shares(UniformSampler(buffer, np.random.default_rng(0)))
    assert abs(found - 0.001).max() < 0.0005


def test_rows_are_drawn_in_proportion_to_their_priority_and_weights_undo_it(buffer: BufferReader):
    sampler = PrioritisedSampler(buffer, np.random.default_rng(0), alpha=0.5, beta=1.0)
    priority = np.where(np.arange(1000) % 2, 4.0, 1.0)
    priority[[0, 299, 300, 999]] = 0.0
    sampler.set_priorities(np.arange(1000), priority)
    expected = priority**0.5 / (priority**0.5).sum()
    found = shares(sampler)
    assert abs(found - expected).max() < 0.0008
    assert found[[0, 299, 300, 999]].sum() == 0, "a row of priority 0 was drawn"
    rows = sampler.draw(5000)
    weights = sampler.weights(rows)
    assert np.allclose(weights * expected[rows], (weights * expected[rows])[0])
    assert weights.max() == 1


def test_others_see_priorities_and_new_rows_after_a_refresh(buffer: BufferReader):
    mine = PrioritisedSampler(buffer, np.random.default_rng(0), alpha=1.0)
    theirs = PrioritisedSampler(BufferReader(buffer.folder), np.random.default_rng(1), alpha=1.0)
    mine.set_priorities(np.arange(1000), np.zeros(1000))
    mine.set_priorities(np.array([700]), np.array([1.0]))
    with BufferWriter(buffer.folder, COLUMNS, segment_rows=300) as writer:
        writer.add({"turn": [1000]}, {}, priority=3.0)
    assert set(mine.draw(100).tolist()) == {700}
    theirs.refresh()
    drawn = np.bincount(theirs.draw(4000), minlength=1001) / 4000
    assert abs(drawn[[700, 1000]] - [0.25, 0.75]).max() < 0.05
    assert drawn.sum() == drawn[[700, 1000]].sum()


def test_nothing_to_draw_is_said(tmp_path: Path, buffer: BufferReader):
    BufferWriter(tmp_path / "empty", COLUMNS).close()
    with pytest.raises(UsageError, match="empty"):
        UniformSampler(BufferReader(tmp_path / "empty"), np.random.default_rng(0)).draw(1)
    sampler = PrioritisedSampler(buffer, np.random.default_rng(0))
    sampler.set_priorities(np.arange(1000), np.zeros(1000))
    with pytest.raises(UsageError, match="All priorities"):
        sampler.draw(1)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1.0])
def test_a_priority_that_is_none_is_refused_before_it_spoils_all_sums(buffer: BufferReader, wrong: float):
    sampler = PrioritisedSampler(buffer, np.random.default_rng(0))
    before = sampler.draw(4).tolist()
    with pytest.raises(UsageError, match="row 7 was given"):
        sampler.set_priorities(np.array([3, 7]), np.array([1.0, wrong]))
    assert np.isfinite(buffer.priorities()).all()
    assert len(sampler.draw(4)) == len(before)
