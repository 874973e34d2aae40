"""Losses, KL estimates, entropy smoothing and the curriculum agree with the references to the digit."""

from __future__ import annotations

import json
from typing import get_args

import numpy as np
import pytest
from reference_cases import CLOSE, case

from arena.trainers import grpo, gspo, loop, ppo
from arena.trainers._curriculum import Ucb

pytest.importorskip("torch")

import torch

from arena.agents.models.critic_heads import HeadOptions, ValueHead, hl_gauss
from arena.trainers._entropy import EntropyHistory, Smoothing, smoothing_penalty, smoothing_weight
from arena.trainers._kl import kl
from arena.trainers._loop_options import SmoothingOptions
from arena.trainers._losses import aggregate

torch.set_num_threads(1)


@pytest.mark.parametrize("mode", ["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"])
def test_clip_higher_and_dual_clip(mode):
    one = case("ppo_policy_loss_clip_higher_dual_clip")
    old, new, advantage, mask = (
        torch.tensor(one.inputs.__dict__[name]) for name in ("old_log_prob", "log_prob", "advantages", "mask")
    )
    config = grpo.Config(clip_low=0.2, clip_high=0.28, dual_clip=one.inputs.clip_ratio_c, aggregation=mode)
    total, metrics = grpo.loss(new, old, advantage, mask, config)
    expected = one.expected[mode]
    found = [total.item(), metrics["clip_share"], metrics["dual_clip_share"], metrics["old_kl"]]
    wanted = [expected[name] for name in ("loss", "clipfrac", "clipfrac_lower", "ppo_kl")]
    np.testing.assert_allclose(found, wanted, **CLOSE)


def test_kl_estimators():
    one = case("kl_estimators")
    new, reference = torch.tensor(one.inputs.logprob), torch.tensor(one.inputs.ref_logprob)
    for kind, expected in one.expected.items():
        np.testing.assert_allclose(kl(new, reference, kind), expected, **CLOSE)
    np.testing.assert_allclose(kl(new, reference, "k3+"), one.expected["k3"], **CLOSE)


def test_clipped_value_loss():
    one = case("ppo_value_loss_clipped")
    value, old, returns, mask = (
        torch.tensor(one.inputs.__dict__[name]) for name in ("vpreds", "old_values", "returns", "mask")
    )
    total, metrics = ppo.value_loss(value, old, returns, mask, ppo.Config(value_clip=one.inputs.cliprange_value))
    np.testing.assert_allclose(total.item(), one.expected["loss"], **CLOSE)
    np.testing.assert_allclose(metrics["value_clip_share"], one.expected["clipfrac"], **CLOSE)


def test_loop_clips_on_a_multiplicative_interval():
    one = case("loop")
    new, old = torch.tensor([one.inputs.new_logp]), torch.tensor([one.inputs.old_logp])
    for advantage, name in zip(one.inputs.advs, ("posadv", "negadv"), strict=True):
        spread = torch.full_like(new, advantage)
        total, _ = loop.loss(new, old, spread, torch.ones_like(new), loop.Config(clip=one.inputs.eps))
        np.testing.assert_allclose(total.item(), one.expected[f"per_token_loss_{name}"], **CLOSE)
    whole = loop.Config(clip=one.inputs.eps, ratio="trajectory")
    total, _ = loop.loss(new, old, torch.full_like(new, one.inputs.advs[0]), torch.ones_like(new), whole)
    np.testing.assert_allclose(total.item(), one.expected["per_traj_loss_posadv"], **CLOSE)


def test_gspo_by_hand():
    """The ratio is the sequence's geometric mean, on each of its tokens, and padding does not enter it."""
    new = torch.tensor([[-1.0, -2.0, -9.0], [-1.0, -1.0, -1.0]])
    old = torch.tensor([[-1.2, -1.9, 0.0], [-1.0, -1.3, -1.1]])
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    advantage = torch.tensor([[1.0], [-0.5]]).expand(2, 3)
    total, metrics = gspo.loss(new, old, advantage, mask, gspo.Config(clip_low=0.1, clip_high=0.1))
    ratios = np.exp([0.05, 0.4 / 3])
    expected = np.mean([-ratios[0], 0.5 * max(ratios[1], 0.9)])
    np.testing.assert_allclose(total.item(), expected, rtol=1e-6)
    assert metrics["clip_share"] == 0


def test_entropy_smoothing():
    one = case("epo_entropy_smoothing")
    entropy = torch.tensor(one.inputs.token_entropy, requires_grad=True)
    usual = torch.tensor(one.inputs.entropy_history_mean_per_env_step)[one.inputs.rollout_step]
    settings = {
        "token_08_12_p01": {"low": 0.8, "high": 1.2, "weight": 0.1},
        "token_0_2_p005": {"low": 0.0, "high": 2.0, "weight": 0.05},
        "seq_08_12_p01": {"low": 0.8, "high": 1.2, "weight": 0.1, "unit": "sequence"},
    }
    for name, setting in settings.items():
        penalty = smoothing_penalty(entropy, usual, differentiable=False, **setting)
        np.testing.assert_allclose(penalty.detach(), one.expected[name], **CLOSE)
        assert penalty.requires_grad == one.expected["penalty_requires_grad"]


def test_entropy_hinge_pushes_entropy_back_into_the_corridor():
    """The reference's penalty has no gradient; the default here does, and only outside."""
    entropy = torch.tensor([[0.5, 1.0, 2.0]], requires_grad=True)
    smoothing_penalty(entropy, torch.tensor([1.0]), weight=0.1).sum().backward()
    assert entropy.grad.tolist() == [[pytest.approx(-0.1), 0.0, pytest.approx(0.1)]]


def test_smoothing_by_sequence_compares_the_mean_of_a_turns_answer():
    """A row holds several turns: the mean must run over one turn's tokens, not over the row, nor over padding."""
    entropy = torch.tensor([[0.9, 0.5, 1.5, 3.0, 9.0]], requires_grad=True)
    turn, mask = torch.tensor([[-1, 0, 0, 1, -1]]), torch.tensor([[0.0, 1.0, 1.0, 1.0, 0.0]])
    penalties = {}
    for unit in get_args(SmoothingOptions.model_fields["unit"].annotation):
        smoothing = Smoothing(SmoothingOptions(weight=1.0, low=0.8, high=1.2, unit=unit), steps=10)
        smoothing.history.add(0, 1.0)
        smoothing.history.add(1, 2.0)
        smoothing.begin(1)
        penalties[unit] = smoothing.penalty(entropy, turn, mask)
    assert penalties["token"].item() == pytest.approx(0.3 + 0.3 + 0.6)
    assert penalties["sequence"].item() == pytest.approx(0.6)
    penalties["sequence"].backward()
    assert entropy.grad.tolist() == [[0.0, 0.0, 0.0, 1.0, 0.0]]


def test_ucb_curriculum():
    one = case("dump_ucb_curriculum")
    curriculum = Ucb(one.inputs.arms, one.inputs.temperature, one.inputs.window)
    events = [{}, {"easy": [0.1, -0.1] * 4, "mid": [1, -1, 0.8, -0.8]}, {"hard": [0.0] * 4}]
    for event, expected in zip(events, one.expected, strict=True):
        curriculum.learn(event)
        np.testing.assert_allclose(curriculum.probabilities(), list(expected.values()), atol=1e-6)


@pytest.mark.parametrize("mode", ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm"])
def test_microbatches_add_up(mode):
    """With the whole batch's counts, parts of a ragged batch sum to the whole; a mean of means would not."""
    generator = torch.Generator().manual_seed(0)
    loss = torch.randn(6, 5, generator=generator)
    mask = torch.arange(5) < torch.tensor([[5], [1], [3], [2], [4], [1]])
    whole = aggregate(loss, mask, mode)
    counts = {"tokens": float(mask.sum()), "sequences": 6.0}
    parts = [aggregate(loss[rows], mask[rows], mode, **counts) for rows in (slice(0, 1), slice(1, 6))]
    torch.testing.assert_close(sum(parts), whole)


def test_smoothing_weight_follows_the_references_schedule():
    """1 at first, 1 - 0.2 (1 - e^-2) at half time, then 0.8 e^-3p."""
    assert smoothing_weight(0, 100) == 1.0
    assert smoothing_weight(25, 100) == pytest.approx(1 - 0.2 * (1 - np.exp(-1)))
    assert smoothing_weight(50, 100) == pytest.approx(1 - 0.2 * (1 - np.exp(-2)))
    assert smoothing_weight(75, 100) == pytest.approx(0.8 * np.exp(-1.5))
    assert smoothing_weight(100, 100) == smoothing_weight(170, 100) == pytest.approx(0.8 * np.exp(-3))
    assert smoothing_weight(0, 1) == smoothing_weight(3, 0) == 1.0


def test_entropy_history_survives_a_checkpoint():
    history = EntropyHistory()
    history.add(0, 1.0)
    history.add(0, 2.0)
    history.add(3, 0.5)
    restored = EntropyHistory.from_state(json.loads(json.dumps(history.state())))
    assert [restored.usual(turn) for turn in (0, 1, 3)] == [1.5, None, 0.5]


def test_hl_gauss():
    """The projection onto bins, what it decodes to, the cross entropy, and the value that logits mean."""
    one = case("hl_gauss")
    at = one.inputs
    target = torch.tensor(at.targets)
    head = ValueHead(2, HeadOptions(kind="hl_gauss", low=at.v_min, high=at.v_max, bins=at.num_bins))
    shares = hl_gauss(target, head.edges, at.sigma_over_bin)
    np.testing.assert_allclose(shares, one.expected["probs"], **CLOSE)
    centres = (head.edges[1:] + head.edges[:-1]) / 2
    np.testing.assert_allclose(shares @ centres, one.expected["decoded_mean"], **CLOSE)
    scores = torch.tensor(at.logits).expand(len(target), 1, -1)
    np.testing.assert_allclose(head.loss(scores, target), one.expected["ce_loss"], **CLOSE)
    np.testing.assert_allclose(head.value(scores), one.expected["value_from_logits"], **CLOSE)
