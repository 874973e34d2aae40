"""The reduced run of the value benchmark: a policy gets better than the poor player whose episodes it learns from."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from arena.evaluation.statistics import wilson
from benchmarks._value_runs import Offline
from benchmarks._value_tasks import ValueTask

KEYDOOR = ValueTask(
    "arena/KeyDoor-v0",
    {"length": 1, "branching": 0, "keys": 1},
    6,
    "reward delayed",
    {"random": 1.0},
    episodes=200,
    held_out=150,
    told={
        "bc": {"minibatches": 12},
        "offline_archer": {
            "steps": 10,
            "minibatches": 6,
            "optimiser": {"learning_rate": 2e-3, "final_share": 0.1},
            "settings": {
                "critic": "small:hidden=32,layers=1,heads=2",
                "critic_warmup": 4,
                "critic_updates": 30,
                "n_steps": 2,
                "gamma": 0.9,
                "beta": 10.0,
                "max_weight": 20.0,
                "expectile": 0.7,
            },
        },
    },
)


def test_recorded_episodes_of_a_random_agent_teach_more_than_imitating_them(tmp_path):
    """Buffer, targets, expectile and weights could each be right to the digit and together teach nothing."""
    torch.set_num_threads(1)
    runs = Offline(KEYDOOR, "keydoor", 0, tmp_path, lambda text: None)
    cloned, learned = (runs.run(name) for name in ("bc", "offline_archer"))
    before, after = (wilson(run.success * run.episodes, run.episodes) for run in (cloned, learned))
    assert after[0] > before[1], f"95 % intervals of held-out success overlap: {before} and {after}"
