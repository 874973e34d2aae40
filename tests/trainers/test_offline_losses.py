"""What the offline algorithms compute, held against references, closed forms and tabular problems."""

from __future__ import annotations

import numpy as np
import pytest
from reference_cases import CLOSE, case

pytest.importorskip("torch")

import torch

from arena.core.errors import UsageError
from arena.trainers import TurnTable, a_lol, awr, digirl, dmpo, ilql, mc
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
