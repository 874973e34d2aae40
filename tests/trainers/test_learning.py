"""The reduced run of the learning benchmark: a model gets better at tasks it has never seen by playing others."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from benchmarks._learning_runs import learn


def test_a_student_learns_from_its_own_episodes(tmp_path):
    """Sampling, credit, losses and optimiser could each be right to the digit and together teach nothing."""
    torch.set_num_threads(1)
    learned = learn("keydoor", "gigpo", 0, tmp_path, steps=12)
    before, after = learned.points[0], learned.points[-1]
    assert after[1] > before[1]
    assert after[2] > before[3], f"95 % intervals of held-out success overlap: {before} and {after}"
