"""The benchmarks with a model run on any CPU: at a size that says nothing, through the same code."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from arena.trainers._batch import parts
from benchmarks import gpu
from benchmarks._report import CannotMeasure
from benchmarks._rows import ragged_rows

TINY = gpu.Size(
    hidden=32, layers=1, heads=2, vocabulary=500, episodes=4, group=2, turns=2, answer=4, pass_tokens=2048, steps=1
)


def test_the_gpu_benchmark_on_a_cpu():
    """A slip in it would otherwise show first on a rented card."""
    torch.set_num_threads(1)
    report = gpu.measure_on("cpu", TINY)
    found = {figure.what: figure.value for figure in report.figures}
    assert all(math.isfinite(value) for value in found.values())
    assert found["sampled tokens"] > 0
    assert found["tokens of an update"] > 0
    assert 0 < found["share of the peak in the update"] < 1
    assert "4 tokens an answer" in report.table()


def test_answers_of_the_benchmarks_model_have_their_full_length(tmp_path):
    """Sides that sample different numbers of tokens could not be compared."""
    torch.set_num_threads(1)
    folder = gpu.build(tmp_path / "model", TINY)
    updater = gpu.Updater(folder, [], np.empty(0))
    _, episodes = gpu.play(updater, folder, TINY)
    assert {len(call.token_ids) for episode in episodes for call in episode.calls} == {TINY.answer}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_says_so():
    with pytest.raises(CannotMeasure, match="no NVIDIA GPU"):
        gpu.measure()


@pytest.mark.parametrize("budget", [2048, 4096, 16384])
@pytest.mark.parametrize("seed", range(3))
def test_ragged_rows_are_cut_with_little_padding(budget, seed):
    """Under 10 % of what is computed is padding, whatever a pass may hold."""
    rows, _ = ragged_rows(64, 8, 400, seed)
    lengths = np.array([len(row) for row in rows])
    cut = parts(np.arange(len(rows)), lengths, budget)
    padded = sum(len(part) * lengths[part].max() for part in cut)
    assert sorted(np.concatenate(cut).tolist()) == list(range(len(rows)))
    assert 1 - lengths.sum() / padded < 0.1
