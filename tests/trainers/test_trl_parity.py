"""Advantages, log-probabilities, losses and gradients are those of TRL's own trainers, called on the same numbers.

TRL runs as a process of its own (`peers/trl_values.py`); each test names the function it is held against.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from arena.trainers import TurnTable, grpo, gspo, rloo
from arena.trainers._batch import batch_of
from arena.trainers._kl import kl
from arena.trainers._losses import aggregate, log_ratio
from arena.trainers._policy import Policy
from arena.trainers._rows import Row
from arena.trainers._shaping import kl_in_reward
from arena.trainers._table import ENVIRONMENT, POLICY

CLOSE = {"rtol": 2e-5, "atol": 2e-6}
"""TRL computes in 32 bits."""

GROUP, BETA, TEMPERATURE = 4, 0.3, 0.7
HORIZON = 48

REWARDS = {
    "ordinary": [0.3, 1.0, -0.7, 0.3, 5.0, 2.0, 2.5, -1.0],
    "equal": [1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0],
    "close": [0.5, 0.5003, 0.5, 0.4999, 1e3, 1001.0, 1002.0, 999.0],
    "unscorable": [1.0, None, 0.0, 1.0, None, None, 0.5, None],
}

ADVANTAGES = {
    "grpo group": ("grpo", {"scale_rewards": "group"}, grpo, grpo.Config(eps=1e-4)),
    "grpo batch": ("grpo", {"scale_rewards": "batch"}, grpo, grpo.Config(scale="batch", eps=1e-4)),
    "grpo none": ("grpo", {"scale_rewards": "none"}, grpo, grpo.DR_GRPO),
    "gspo": ("grpo", {"importance_sampling_level": "sequence"}, gspo, gspo.Config(eps=1e-4)),
    "rloo": ("rloo", {"beta": 0.0, "max_completion_length": 2}, rloo, rloo.Config()),
    "rloo normalised": (
        "rloo",
        {"beta": 0.0, "max_completion_length": 2, "normalize_advantages": True},
        rloo,
        rloo.Config(normalise=True),
    ),
}
"""name -> TRL's trainer and options, our module and options"""

CLIPS = {"epsilon": 0.2, "epsilon_high": 0.28}
LOSSES = {
    "grpo": ("grpo", {"loss_type": "grpo"}, grpo, grpo.Config(aggregation="seq-mean-token-mean")),
    "grpo, delta": (
        "grpo",
        {"loss_type": "grpo", "delta": 1.5},
        grpo,
        grpo.Config(aggregation="seq-mean-token-mean", dual_clip=1.5),
    ),
    "bnpo": ("grpo", {"loss_type": "bnpo"}, grpo, grpo.Config()),
    "dapo": ("grpo", {"loss_type": "dapo", **CLIPS}, grpo, grpo.Config(clip_high=0.28)),
    "dr_grpo": (
        "grpo",
        {"loss_type": "dr_grpo", "max_completion_length": HORIZON},
        grpo,
        grpo.Config(scale="none", aggregation="seq-mean-token-sum-norm", horizon=HORIZON),
    ),
    "gspo": (
        "grpo",
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.1, "epsilon_high": 0.15},
        gspo,
        gspo.Config(clip_low=0.1, clip_high=0.15),
    ),
    "rloo": (
        "rloo",
        {"epsilon": 0.4, "beta": 0.0},
        rloo,
        rloo.Config(ratio="trajectory", aggregation="seq-mean-token-mean", clip_low=0.4, clip_high=0.4),
    ),
    "kl": ("grpo", {"loss_type": "bnpo", "beta": BETA, "use_bias_correction_kl": False}, grpo, grpo.Config()),
    "kl, corrected": ("grpo", {"loss_type": "bnpo", "beta": BETA}, grpo, grpo.Config()),
}
"""loss -> TRL's trainer and options, our module and options"""

WHOLE = {"dapo": 100.0}
"""Training tokens of a batch that the rows are a part of; by default they are all."""


def moved_copy(folder, out):
    """The model with each weight a little larger: the policy of a later step."""
    policy = Policy.load(folder)
    with torch.no_grad():
        for value in policy.network.parameters():
            value.mul_(1.1)
    return policy.save(out)


def training_rows(policy):
    """Ragged rows in which the policy's tokens and the environment's take turns, and where the prompts end."""
    generator = np.random.default_rng(3)
    rows, prompts = [], [5, 9, 3, 7]
    for number, (prompt, turns) in enumerate(zip(prompts, (3, 1, 2, 3), strict=True)):
        said = [(POLICY, 6), (ENVIRONMENT, 4)] * turns
        producer = np.array([ENVIRONMENT] * prompt + [who for who, n in said for _ in range(n)], np.uint8)
        n = len(producer)
        ids = generator.integers(5, len(policy.tokenizer), n)
        rows.append(Row(ids, producer, np.zeros(n), np.arange(n), number, (0, turns - 1), frozenset()))
    return rows, prompts


@pytest.fixture(scope="module")
def asked(require, tiny_model, tmp_path_factory):
    """Our numbers that TRL is given, and its answers."""
    require("trl")
    folder = tmp_path_factory.mktemp("trl")
    policy = Policy.load(tiny_model)
    rows, prompts = training_rows(policy)
    batch = batch_of(rows, None, pad=0)
    with torch.no_grad():
        logprob, _ = policy.logprobs(batch.ids, batch.attention, batch.mask)
    generator = np.random.default_rng(4)
    old, reference = (logprob.numpy() + generator.normal(0, 0.3, logprob.shape) for _ in range(2))
    advantage = [1.3, -0.8, 0.4, -1.1]
    questions = {
        "folder": str(folder),
        "model": str(tiny_model),
        "moved": str(moved_copy(tiny_model, folder / "moved")),
        "temperature": TEMPERATURE,
        "rows": [
            {
                "ids": row.ids.tolist(),
                "prompt": prompt,
                "mask": row.trains().astype(int).tolist(),
                "old": old[number, : len(row)].tolist(),
                "reference": reference[number, : len(row)].tolist(),
                "advantage": advantage[number],
            }
            for number, (row, prompt) in enumerate(zip(rows, prompts, strict=True))
        ],
        "advantages": {
            f"{name}, {case}": {"trainer": trainer, "options": options, "rewards": rewards, "group": GROUP}
            for name, (trainer, options, _, _) in ADVANTAGES.items()
            for case, rewards in REWARDS.items()
        }
        | {
            "kl in reward": {
                "trainer": "rloo",
                "options": {"beta": BETA, "max_completion_length": 6},
                "rewards": REWARDS["ordinary"],
                "group": GROUP,
            }
        },
        "losses": {
            name: {"trainer": trainer, "options": options, "tokens": WHOLE.get(name, float(batch.mask.sum()))}
            for name, (trainer, options, _, _) in LOSSES.items()
        },
    }
    tensors = {"old": old, "reference": reference, "advantage": np.array(advantage)[:, None] * np.ones(old.shape)}
    given = {name: torch.tensor(value, dtype=torch.float32) for name, value in tensors.items()}
    return SimpleNamespace(
        policy=policy, batch=batch, given=given, questions=questions, told=answers(questions, folder)
    )


def answers(questions, folder):
    """What the script of the peer finds."""
    asking, told = folder / "questions.json", folder / "answers.npz"
    asking.write_text(json.dumps(questions))
    script = Path(__file__).parents[1] / "peers" / "trl_values.py"
    environment = {**os.environ, "PYTHONPATH": str(Path(sys.prefix, "peers", "trl")), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script, asking, told], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(told) as found:
        return dict(found)


@pytest.mark.parametrize("case", REWARDS)
@pytest.mark.parametrize("name", ADVANTAGES)
def test_advantages(asked, name, case):
    """`GRPOTrainer._generate_and_score_completions` and `RLOOTrainer._generate_and_score_completions`."""
    _, _, module, config = ADVANTAGES[name]
    rewards = [np.nan if reward is None else reward for reward in REWARDS[case]]
    table = TurnTable.of(group=np.arange(len(rewards)) // GROUP, episode=range(len(rewards)), reward=rewards)
    expected = asked.told[f"advantages/{name}, {case}"]
    # A variance of 1e-7 in 32 bits, or 1 around 1000: TRL's own rounding.
    close = {"rtol": 2e-3, "atol": 2e-3} if case == "close" else CLOSE
    np.testing.assert_allclose(module.advantages(table, config), expected, **close)


def test_kl_in_the_reward(asked):
    """`RLOOTrainer._generate_and_score_completions` with beta: the KL of a reply is taken off its reward."""
    prompt, ids, mask = (
        asked.told[f"{name}/kl in reward"] for name in ("prompt_ids", "completion_ids", "completion_mask")
    )
    whole = torch.tensor(np.concatenate([prompt, ids], 1))
    sampled = torch.tensor(np.concatenate([np.zeros_like(prompt), mask], 1), dtype=torch.float32)
    attention = torch.tensor(np.concatenate([np.ones_like(prompt), mask], 1))
    with torch.no_grad():
        now, before = (
            Policy.load(folder).logprobs(whole, attention, sampled)[0][sampled.bool()].double().numpy()
            for folder in (asked.questions["moved"], asked.questions["model"])
        )
    rewards = REWARDS["ordinary"]
    table = TurnTable.of(
        group=np.arange(len(rewards)) // GROUP,
        episode=range(len(rewards)),
        reward=rewards,
        tokens=mask.sum(1),
        token_logprob=now,
    )
    found = rloo.advantages(kl_in_reward(table, before, BETA), rloo.Config())
    np.testing.assert_allclose(found, asked.told["advantages/kl in reward"], **CLOSE)


def test_log_probabilities_and_entropies(asked):
    """`GRPOTrainer._get_per_token_logps_and_entropies`, at a temperature."""
    batch = asked.batch
    with torch.no_grad():
        logprob, entropy = asked.policy.logprobs(batch.ids, batch.attention, batch.mask, TEMPERATURE)
    places = batch.mask.bool()
    np.testing.assert_allclose(logprob[places], asked.told["logprob"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(entropy[places], asked.told["entropy"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradient(asked, name):
    """`GRPOTrainer.compute_loss` and `RLOOTrainer.compute_loss`, and what their backward pass leaves."""
    policy, batch, given = asked.policy, asked.batch, asked.given
    _, _, module, config = LOSSES[name]
    logprob, _ = policy.logprobs(batch.ids, batch.attention, batch.mask)
    total, _ = module.loss(
        logprob, given["old"], given["advantage"], batch.mask, config, tokens=WHOLE.get(name), sequences=None
    )
    if name.startswith("kl"):  # TRL corrects the estimate by the ratio unless told otherwise
        ratio = log_ratio(logprob, given["old"]).exp() if name == "kl, corrected" else 1.0
        total = total + BETA * aggregate(kl(logprob, given["reference"], "k3") * ratio, batch.mask)
    gradients = torch.autograd.grad(total, [value for _, value in sorted(policy.network.named_parameters())])
    gradient = torch.cat([value.flatten() for value in gradients]).numpy()
    np.testing.assert_allclose(total.item(), asked.told[f"loss/{name}"], rtol=1e-4, atol=1e-5)
    expected = asked.told[f"gradient/{name}"]
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)
