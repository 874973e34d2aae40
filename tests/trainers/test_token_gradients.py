"""The gradient that reaches each token: its sign, its silence where it must be silent, and that of the KL."""

from __future__ import annotations

import pytest

from arena.trainers import gigpo, grpo, gspo, loop, opo, ppo, reinforce, reinforce_pp, rloo

pytest.importorskip("torch")

import torch

from arena.trainers._kl import kl
from arena.trainers._losses import aggregate, clipped

torch.set_num_threads(1)

WITH_RATIO = (rloo, grpo, reinforce_pp, opo, loop, ppo, gigpo, gspo)

ADVANTAGE = torch.tensor([[0.7, -1.3, 0.0, 2.0], [-0.4, 0.9, -0.2, 5.0]])
MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 0]])


def gradient(algorithm, new, old, *, advantage=ADVANTAGE, mask=MASK, config=None):
    new = new.clone().requires_grad_()
    algorithm.loss(new, old, advantage, mask, config or algorithm.Config())[0].backward()
    return new.grad


@pytest.mark.parametrize("algorithm", WITH_RATIO, ids=lambda module: module.__name__.rpartition(".")[2])
def test_descent_raises_what_was_good_and_lowers_what_was_bad(algorithm):
    """On fresh samples each trained token's gradient has the sign of -A; the others have none."""
    old = torch.full((2, 4), -1.0)
    found = gradient(algorithm, old, old)
    assert torch.equal(found.sign(), -(ADVANTAGE * MASK).sign())


def test_reinforce_gradient_is_minus_the_advantage():
    logprob = torch.full((2, 4), -1.0, requires_grad=True)
    reinforce.loss(logprob, ADVANTAGE, MASK, reinforce.Config())[0].backward()
    torch.testing.assert_close(logprob.grad, -ADVANTAGE * MASK / MASK.sum())


@pytest.mark.parametrize("algorithm", WITH_RATIO[:-1], ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_ratio_that_left_the_interval_the_right_way_is_let_go(algorithm):
    """Clipped: good tokens already raised, bad ones already lowered. Not clipped: those that moved the wrong way."""
    old = torch.full((1, 4), -1.0)
    new = old + torch.tensor([[1.0, -1.0, -1.0, 1.0]])
    found = gradient(algorithm, new, old, advantage=torch.tensor([[1.0, -1.0, 1.0, -1.0]]), mask=torch.ones(1, 4))
    assert found[0, :2].tolist() == [0.0, 0.0]
    assert found[0, 2] < 0 < found[0, 3]


def test_clip_higher_leaves_more_room_above():
    """DAPO: a ratio of 1.25 still learns, under a symmetric clip of 0.2 it would not."""
    old = torch.zeros(1, 1)
    new, one = old + torch.tensor(1.25).log(), torch.ones(1, 1)
    assert gradient(grpo, new, old, advantage=one, mask=one, config=grpo.DAPO).item() < 0
    assert gradient(grpo, new, old, advantage=one, mask=one).item() == 0


def test_dual_clip_lets_go_of_a_bad_token_far_above():
    """Without it a token that became 20 times likelier would dominate the batch."""
    advantage, far = -torch.ones(1), torch.tensor([3.0], requires_grad=True)
    clipped(far, advantage, 0.8, 1.2, dual=3.0)[0].sum().backward()
    assert far.grad.item() == 0
    far.grad = None
    clipped(far, advantage, 0.8, 1.2)[0].sum().backward()
    assert far.grad.item() > 0


def test_gspo_clips_whole_sequences():
    """One ratio per sequence: a token inside its own interval is silent where its sequence is not."""
    old = torch.zeros(2, 2)
    new = torch.tensor([[0.5, 0.0], [0.1, -0.1]])
    found = gradient(gspo, new, old, advantage=torch.ones(2, 2), mask=torch.ones(2, 2))
    assert found[0].tolist() == [0.0, 0.0]
    assert (found[1] < 0).all()


def test_gspo_divides_by_the_length_of_the_sequence():
    """On fresh samples each sequence has its mean gradient, so long ones count less per token, as documented."""
    old, mask = torch.zeros(2, 4), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    found = gradient(gspo, old, old, advantage=torch.ones(2, 4), mask=mask)
    assert found.tolist() == [[-0.125] * 4, [-0.25, -0.25, 0.0, 0.0]]


def test_padding_may_hold_anything():
    """Log-probabilities of padding may be inf or NaN; they must reach neither loss nor gradient."""
    old = torch.full((2, 4), -1.0)
    new = old.clone()
    old[:, 3], new[:, 3] = float("-inf"), float("nan")
    for algorithm in WITH_RATIO:
        found = gradient(algorithm, new, old)
        assert torch.isfinite(found).all(), algorithm.__name__


def test_expected_gradients_of_the_kl_estimates():
    """k2 and k3+ have the gradient of KL(pi || ref) in expectation; k1 has none, k3 that of KL(ref || pi)."""
    logits = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([0.0, 0.4, -0.1], dtype=torch.float64).log_softmax(-1)
    logprob = logits.log_softmax(-1)
    sampled = logprob.exp().detach()

    def expected(kind):
        return torch.autograd.grad((sampled * kl(logprob, reference, kind)).sum(), logits, retain_graph=True)[0]

    def exact(p, q):
        return torch.autograd.grad((p.exp() * (p - q)).sum(), logits, retain_graph=True)[0]

    torch.testing.assert_close(expected("k2"), exact(logprob, reference))
    torch.testing.assert_close(expected("k3+"), exact(logprob, reference))
    torch.testing.assert_close(expected("k1"), torch.zeros_like(logits))
    torch.testing.assert_close(expected("k3"), exact(reference, logprob))
    value = (sampled * kl(logprob, reference, "k3+")).sum()
    torch.testing.assert_close(value, (logprob.exp() * (logprob - reference)).sum())


def test_unknown_names_are_refused():
    one = torch.ones(1, 1)
    with pytest.raises(ValueError, match="k3"):
        kl(one, one, "k4")
    with pytest.raises(ValueError, match="mean-of-means"):
        aggregate(one, one, "mean-of-means")
