"""What the offline algorithms compute, held against references, closed forms and tabular problems."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from reference_cases import CLOSE, case

pytest.importorskip("torch")

import torch

from arena.core.errors import UsageError
from arena.trainers import TurnTable, a_lol, awr, digirl, dmpo, ilql, mc, offline_archer
from arena.trainers._returns import discounted_returns
from arena.trainers._segments import Segments

torch.set_num_threads(1)


def test_ilql_loss():
    """V of the next action token, skipping what was shown; the smaller target; halves of squares; both CQL terms."""
    one = case("ilql_loss").inputs
    acted = np.array(one.should_take_action, bool)
    rows = np.repeat(np.arange(2), acted.sum(1))
    along = Segments.where_changing(rows)
    chosen = {name: np.array(value)[acted] for name, value in one.__dict__.items() if np.shape(value)[:2] == (2, 5)}
    taken = chosen["token_ids"]
    bar = [chosen[f"target_q{k}_logits"][np.arange(len(taken)), taken] for k in (1, 2)]
    target = ilql.targets(chosen["rewards"], chosen["v"], along, one.gamma, np.array(one.v_final))
    total, metrics = ilql.loss(
        (torch.tensor(chosen["q1_logits"]), torch.tensor(chosen["q2_logits"])),
        torch.tensor(chosen["v"]),
        torch.tensor(taken),
        ilql.Config(expectile=one.tau, cql=one.cql_weight),
        target=torch.tensor(target),
        least=torch.tensor(np.minimum(*bar)),
    )
    expected = dict(case("ilql_loss").expected)
    np.testing.assert_allclose(total.item(), expected.pop("total_loss"), **CLOSE)
    names = {"q1_cql_loss": "q1_cql", "q2_cql_loss": "q2_cql", "v_loss": "value_loss"}
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[names.get(name, name)], value, **CLOSE)


def test_dmpo_loss_and_its_gradient():
    """Unlike lengths, each with its own shares; the coefficients are the gradient that the loop follows."""
    one = case("dmpo_loss")
    logps = one.inputs.per_turn_logps
    for gamma in one.inputs.gammas:
        expected, found = one.expected[str(gamma)], {}
        for side in ("chosen", "rejected"):
            turns = [np.subtract(p, r) for p, r in zip(logps[f"policy_{side}"], logps[f"ref_{side}"], strict=True)]
            episode = np.repeat(np.arange(len(turns)), [len(each) for each in turns])
            table = TurnTable.of(episode=episode, reward=0.0 * episode)
            shares = dmpo.shares(table, gamma)
            found[side] = np.bincount(episode, np.concatenate(turns) * shares)
            np.testing.assert_allclose(one.inputs.beta * found[side], expected[f"{side}_rewards"], **CLOSE)
        better, worse = (torch.tensor(found[side], requires_grad=True) for side in ("chosen", "rejected"))
        losses = dmpo.loss(better, worse, one.inputs.beta)
        np.testing.assert_allclose(losses.detach(), expected["losses"], **CLOSE)
        losses.sum().backward()
        each = dmpo.coefficients(found["chosen"], found["rejected"], one.inputs.beta)
        np.testing.assert_allclose(better.grad, -each)
        np.testing.assert_allclose(worse.grad, each)


def test_shares_of_four_turns():
    table = TurnTable.of(episode=[0] * 4, reward=[0.0] * 4)
    for gamma, expected in case("dmpo_loss").expected.items():
        np.testing.assert_allclose(dmpo.shares(table, float(gamma)), expected["alpha_4_turns"], **CLOSE)


def test_monte_carlo_returns():
    one = case("mc_return")
    rewards = np.array(one.inputs.rewards)
    found = discounted_returns(rewards, Segments.where_changing(np.zeros(4)), one.inputs.gamma)
    np.testing.assert_allclose(found, one.expected["mc_return"], **CLOSE)


# A chain: in state 0 token 0 ends with 1, token 1 leads to state 1, where token 0 ends with 0 and token 1 with 2.
# Recorded: each path, the one over state 1 with either end, so many times.
PATHS = [([(0, 0)], 1.0, 1), ([(0, 1), (1, 0)], 0.0, 3), ([(0, 1), (1, 1)], 2.0, 1)]
EPISODES = [(steps, end) for steps, end, times in PATHS for _ in range(times)]
STATE, TAKEN = (torch.tensor([step[k] for steps, _ in EPISODES for step in steps]) for k in (0, 1))
ALONG = Segments.where_changing(np.repeat(np.arange(5), [len(steps) for steps, _ in EPISODES]))
REWARD = np.zeros(ALONG.rows)
REWARD[ALONG.lasts] = [end for _, end in EPISODES]


@pytest.mark.parametrize("expectile", [0.5, 0.7, 0.95])
def test_tabular_ilql_reaches_its_fixed_point(expectile):
    """V(1) solves tau 1/4 (2 - V) = (1 - tau) 3/4 V in closed form, Q backs it up, and V(0) is the same of Q(0, .)."""
    gamma, config = 0.9, ilql.Config(expectile=expectile, cql=0.0)

    def lean(values, weights):
        up, down = (expectile if v == max(values) else 1 - expectile for v in values)
        return (up * weights[0] * values[0] + down * weights[1] * values[1]) / (up * weights[0] + down * weights[1])

    v1 = lean((0.0, 2.0), (3, 1))
    v0 = lean((1.0, gamma * v1), (1, 4))
    q1, q2, value = (torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 2), (2, 2), (2,)))
    slow = [q1.detach().clone(), q2.detach().clone()]
    optimiser = torch.optim.SGD([q1, q2, value], lr=1.0)
    for _ in range(400):
        target = torch.from_numpy(ilql.targets(REWARD, value.detach()[STATE].numpy(), ALONG, gamma))
        least = torch.minimum(*(bar[STATE, TAKEN] for bar in slow))
        total, _ = ilql.loss((q1[STATE], q2[STATE]), value[STATE], TAKEN, config, target=target, least=least)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        for bar, fast in zip(slow, (q1, q2), strict=True):
            bar.lerp_(fast.detach(), 0.5)
    expected = torch.tensor([[1.0, gamma * v1], [0.0, 2.0]], dtype=torch.float64)
    for found in (q1, q2):
        torch.testing.assert_close(found.detach(), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(value.detach(), torch.tensor([v0, v1], dtype=torch.float64), atol=1e-4, rtol=0)


def test_tabular_mc_reaches_the_mean_return_and_cql_lowers_what_was_not_taken():
    gamma, config = 0.9, mc.Config(cql=0.0)
    q = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    returns = torch.from_numpy(mc.targets(REWARD, ALONG, gamma))
    for held in (config, mc.Config(cql=0.1)):
        optimiser = torch.optim.SGD([q], lr=1.0)
        for _ in range(300):
            total, _ = mc.loss(q[STATE], TAKEN, returns, held)
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
        if held is config:
            expected = torch.tensor([[1.0, gamma * 0.5, 0.0], [0.0, 2.0, 0.0]], dtype=torch.float64)
            torch.testing.assert_close(q.detach(), expected, atol=1e-4, rtol=0)
    assert (q.detach()[:, 2] < -0.5).all()


def test_tabular_digirl_critic_reaches_the_success_rate():
    log_odds = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    succeeded = torch.tensor([float(end > 0) for steps, end in EPISODES for _ in steps], dtype=torch.float64)
    optimiser = torch.optim.SGD([log_odds], lr=0.2)
    for _ in range(200):
        optimiser.zero_grad()
        digirl.critic_loss([log_odds[STATE], log_odds[STATE]], succeeded).backward()
        optimiser.step()
    torch.testing.assert_close(log_odds.detach().sigmoid(), torch.tensor([2 / 5, 1 / 4], dtype=torch.float64))


def test_awr_weights_by_hand():
    config = awr.Config(temperature=2.0, normalise=False, most=3.0)
    found = awr.weights(np.array([1.0, 3.0, 9.0, 0.0]), np.array([1.0, 1.0, 0.0, np.nan]), config)
    np.testing.assert_allclose(found, [1.0, np.e, 3.0, np.nan])
    unit = awr.weights(np.array([10.0, -10.0]), np.zeros(2), awr.Config())
    np.testing.assert_allclose(unit, [np.e, 1 / np.e])


def test_digirl_by_hand():
    """A = V' - V - cost + r + G, and the best of R - V_inst, the earlier of equals."""
    one = np.array([0.5])
    np.testing.assert_allclose(digirl.advantages(one, 0.25 * one, one, 2 * one, 0.05), 0.5 - 0.125 - 0.05 + 0.5 + 1.0)
    succeeded = np.array([True, True, False, True])
    assert digirl.filtered(succeeded, np.array([0.9, 0.1, 0.0, 0.1]), 0.25).tolist() == [False, True, False, False]
    total, metrics = digirl.loss(torch.tensor([[-1.0, -2.0]]), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2))
    assert (total.item(), metrics["good"]) == (0.5, 0.5)
    for every in (np.ones(3, bool), np.zeros(3, bool)):
        with pytest.raises(UsageError, match="return above 0, so digirl's critics have nothing to tell apart"):
            digirl.check_returns(every)


@pytest.mark.parametrize("kind", ["turn", "token", "none"])
def test_a_lol_by_hand(kind):
    """The ratio is a constant, of the turn or of the token, kept within 1 +- clip; padding is in no turn's ratio."""
    now = torch.tensor([[-1.0, -2.0, -1.0, -7.0]], requires_grad=True)
    ref, mask = torch.tensor([[-1.1, -1.8, -1.0, 0.0]]), torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    advantage, turn = torch.tensor([[2.0, 2.0, 0.5, 0.0]]), torch.tensor([[0, 0, 1, 0]])
    config = a_lol.Config(ratio=kind, clip=0.05)
    total, _ = a_lol.loss(now, ref, advantage, mask, config, turn=turn)
    ratios = {"turn": [0.95, 0.95, 1.0], "token": [1.05, 0.95, 1.0], "none": [1.0, 1.0, 1.0]}[kind]
    weight = np.array([2.0, 2.0, 0.5]) * ratios
    np.testing.assert_allclose(total.item(), weight @ [1.0, 2.0, 1.0] / 3, rtol=1e-6)
    total.backward()
    np.testing.assert_allclose(now.grad[0], [*(-weight / 3), 0.0], rtol=1e-6)
    np.testing.assert_array_equal(a_lol.advantages(np.array([1.0, 0.0]), np.array([0.4, 0.4])), [0.6, 0.0])


# Answers of two tokens of three words each, all nine of them, so that expectations over answers are sums. Recorded by
# a policy MU; what each came to is RETURN, and what was expected of the state is VALUE.

_DRAW = torch.Generator().manual_seed(7)
MU = (
    torch.randn(3, generator=_DRAW, dtype=torch.float64).log_softmax(0),
    torch.randn(3, 3, generator=_DRAW, dtype=torch.float64).log_softmax(1),
)
RETURN = torch.randn(3, 3, generator=_DRAW, dtype=torch.float64)
VALUE = 0.2
ANSWERS = [(i, j) for i in range(3) for j in range(3)]


def likely(first, second):
    """The log-probability of each answer under tables of logits (3, 3)."""
    return first.log_softmax(0)[:, None] + second.log_softmax(1)


def expected_loss(of_answer, first, second):
    """The mean of `of_answer(i, j, log-probabilities of both tokens)` over answers, each as likely as under MU."""
    total = torch.zeros((), dtype=torch.float64)
    for i, j in ANSWERS:
        logprob = torch.stack([first.log_softmax(0)[i], second.log_softmax(1)[i, j]])[None]
        total = total + likely(*MU)[i, j].exp() * of_answer(i, j, logprob)
    return total


def imitating(weight, sums):
    """The loss of one answer in AWR (mean over its tokens) or offline ArCHer (their sum)."""

    def of_answer(i, j, logprob):
        mask = torch.ones(1, 2, dtype=torch.float64)
        if sums:
            return offline_archer.loss(logprob, weight[i, j][None], mask)[0]
        return awr.loss(logprob, weight[i, j].expand(1, 2), mask)[0]

    return of_answer


@pytest.mark.parametrize("algorithm", ["awr", "offline_archer"])
def test_weighted_imitation_settles_at_the_recorded_policy_times_the_exponential_of_the_advantage(algorithm):
    """pi*(a) ~ mu(a) exp(A / temperature) in closed form: there the expected gradient is 0, and nowhere near it."""
    advantage = (RETURN - VALUE).flatten().numpy()
    if algorithm == "awr":
        config = awr.Config(temperature=0.5, normalise=False, most=1e9)
        weight = awr.weights(RETURN.flatten().numpy(), np.full(9, VALUE), config)
    else:
        weight = offline_archer.weights(advantage, offline_archer.Config(beta=2.0))
    np.testing.assert_allclose(weight, np.exp(2 * advantage))
    weight = torch.from_numpy(weight).reshape(3, 3)
    best = likely(*MU) + 2 * (RETURN - VALUE)
    best = best - best.logsumexp((0, 1))
    first = best.logsumexp(1).requires_grad_()
    second = (best - best.logsumexp(1, keepdim=True)).requires_grad_()
    of_answer = imitating(weight, algorithm == "offline_archer")
    for found in torch.autograd.grad(expected_loss(of_answer, first, second), (first, second)):
        torch.testing.assert_close(found, torch.zeros_like(found), atol=1e-12, rtol=0)
    began = [one.clone().requires_grad_() for one in MU]
    elsewhere = torch.autograd.grad(expected_loss(of_answer, *began), began)
    assert max(float(found.abs().max()) for found in elsewhere) > 0.05


def test_a_lols_expected_gradient_is_the_policy_gradient_of_the_positive_advantages():
    """Over all answers of the recorded policy, the ratio of whole answers makes up for whose they are (the paper, 3.1).

    The ratio of single tokens does not, and without one the gradient is that of weighted imitation.
    """
    draw = torch.Generator().manual_seed(8)
    first, second = (torch.randn(shape, generator=draw, dtype=torch.float64) for shape in ((3,), (3, 3)))
    first, second = first.requires_grad_(), second.requires_grad_()
    advantage = torch.from_numpy(a_lol.advantages(RETURN.numpy(), np.full((3, 3), VALUE)))
    assert 0 < int((advantage == 0).sum()) < 9

    def of_answer(ratio):
        def one(i, j, logprob):
            began = torch.stack([MU[0][i], MU[1][i, j]])[None].detach()
            credit, mask = advantage[i, j].expand(1, 2), torch.ones(1, 2, dtype=torch.float64)
            config = a_lol.Config(ratio=ratio, clip=1e9)
            return 2 * a_lol.loss(logprob, began, credit, mask, config)[0]  # a mean over two tokens

        return one

    def gradient(loss):
        return torch.cat([one.flatten() for one in torch.autograd.grad(loss, (first, second))])

    exact = -gradient((likely(first, second).exp() * advantage).sum())
    imitation = -gradient((likely(*MU).detach().exp() * advantage * likely(first, second)).sum())
    found = {ratio: gradient(expected_loss(of_answer(ratio), first, second)) for ratio in ("turn", "token", "none")}
    torch.testing.assert_close(found["turn"], exact, atol=1e-10, rtol=0)
    torch.testing.assert_close(found["none"], imitation, atol=1e-10, rtol=0)
    assert (found["token"] - exact).abs().max() > 0.01


def test_dmpos_credit_of_each_token_is_the_gradient_of_the_loss_of_the_pairs():
    """An episode may be in several pairs, and every token of a turn counts by the turn's place in its own episode."""
    draw = np.random.default_rng(3)
    turns, tokens = np.array([3, 1, 4, 2]), draw.integers(1, 4, 10)
    episode = np.repeat(np.arange(4), turns)
    table = TurnTable.of(episode=episode, reward=0.0 * episode)
    along = Segments.where_changing(np.repeat(episode, tokens))
    data = SimpleNamespace(along=along, episodes=range(4))
    phi = np.repeat(dmpo.shares(table, 0.7), tokens)
    chosen = np.array([[0, 1], [2, 1], [0, 3]])
    now = torch.from_numpy(draw.normal(-1, 1, len(phi))).requires_grad_()
    ratio = now - torch.from_numpy(draw.normal(-1, 1, len(phi)))
    each = torch.zeros(4, dtype=torch.float64).index_add(
        0, torch.from_numpy(along.index), ratio * torch.from_numpy(phi)
    )
    np.testing.assert_allclose(dmpo._preferred(data, ratio.detach().numpy(), phi), each.detach())
    better, worse = each[chosen[:, 0]], each[chosen[:, 1]]
    (exact,) = torch.autograd.grad(dmpo.loss(better, worse, 0.3).mean(), now)
    coefficients = dmpo.coefficients(better.detach().numpy(), worse.detach().numpy(), 0.3)
    np.testing.assert_allclose(-dmpo._credit(data, chosen, coefficients, phi) / 3, exact, atol=1e-12)


def test_weights_stay_numbers_however_far_apart_the_episodes_are():
    """exp(1000) is infinite and 0 / 0 no number: one such turn would end the training, or be all of it."""
    far = np.array([1000.0, -1000.0])
    bounded = offline_archer.Config(max_weight=20.0)
    np.testing.assert_allclose(offline_archer.weights(far, bounded), [20.0, 0.0])
    with pytest.raises(UsageError, match=r"bound the weights with settings\.max_weight=20"):
        offline_archer.weights(far, offline_archer.Config())
    assert offline_archer.weights(np.zeros(0), offline_archer.Config()).shape == (0,)
    np.testing.assert_allclose(awr.weights(far, np.zeros(2), awr.Config(normalise=False)), [20.0, 0.0])
    # Equal advantages, but for rounding, are no spread to be divided by.
    alike = np.array([0.3, 0.1 + 0.2])
    np.testing.assert_allclose(awr.weights(alike, np.zeros(2), awr.Config()), np.exp(0.3))
    np.testing.assert_array_equal(dmpo.coefficients(np.array([1e5, -1e5]), np.zeros(2), 0.1), [0.0, 0.1])
