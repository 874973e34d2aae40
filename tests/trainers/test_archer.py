"""ArCHer's critic and actor: the reference's numbers, known fixed points, the exact gradient, and no future."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from arena.agents.models.critic import Critic, small_trunk
from arena.agents.models.critic_heads import HeadOptions, ValueHead, hl_gauss
from arena.core.errors import UsageError
from arena.trainers import archer, offline_archer
from arena.trainers._critic import Fit
from arena.trainers._policy import Policy
from arena.trainers._ranks import Ranks
from arena.trainers._turn_critic import Goal, TurnCritic
from arena.trainers._turn_values import TurnBatch, critic_goals, goals_of, q_targets, turn_heads, values_after

ORACLES = json.loads((Path(__file__).parent / "archer_oracles.json").read_text())


class Table(torch.nn.Module):
    """A trunk whose hidden state at a token is a one-hot of that token and the one before it: an exact table."""

    def __init__(self, tokens):
        super().__init__()
        self.tokens = tokens
        self.config = SimpleNamespace(
            model_type="table", hidden_size=tokens * (tokens + 1), max_position_embeddings=64, get_text_config=None
        )
        self.config.get_text_config = lambda **_: self.config
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, attention_mask):
        before = torch.cat([torch.full_like(input_ids[:, :1], self.tokens), input_ids[:, :-1]], 1)
        here = torch.nn.functional.one_hot(before * self.tokens + input_ids, self.config.hidden_size).float()
        return SimpleNamespace(last_hidden_state=here + 0 * self.nothing)


class Tokenizer:
    pad_token_id = 0
    model_max_length = 64


def tabular(tokens, kind="mse", tau=1.0, rate=0.05, **heads):
    """A critic that can say anything of each pair of tokens, with plain heads."""
    options = turn_heads(kind, -1.0, 3.0, 81)
    plain = {name: HeadOptions(one.kind, low=one.low, high=one.high, bins=one.bins) for name, one in options.items()}
    critic = Critic.on(Table(tokens), Tokenizer(), {**plain, **heads})
    policy = SimpleNamespace(ranks=Ranks(), tokenizer=Tokenizer(), device=torch.device("cpu"))
    return TurnCritic(Fit(critic, policy, learning_rate=rate), tau=tau, budget=4096)


def set_values(critic, head, values):
    """Make a scalar head say values[(before, token)]."""
    tokens = critic.trunk.tokens
    with torch.no_grad():
        for (before, token), value in values.items():
            critic.heads[head].last.weight[0, before * tokens + token] = value


# Public numbers.


def test_targets_losses_gradients_and_polyak_are_the_references():
    given, expected = ORACLES["archer_critic"]["inputs"], ORACLES["archer_critic"]["expected"]
    critic = tabular(6, tau=given["tau"])  # tokens 1, 2: states 0, 1; tokens 3, 4: actions 0, 1; 5: begin
    state, action, begin = (1, 2), (3, 4), 5
    for which, at in (("", critic.fit.critic), ("target_", critic.target)):
        for name in ("q1", "q2"):
            table = given[which + name]
            set_values(at, name, {(state[s], action[a]): table[s][a] for s in (0, 1) for a in (0, 1)})
        for name in ("v1", "v2"):
            set_values(at, name, {(begin, state[s]): given[which + name][s] for s in (0, 1)})
    batch = given["batch"]
    ids = [np.array([begin, state[s]]) for s in batch["obs"]]
    turns = SimpleNamespace(
        state=ids,
        answer=[np.array([action[a]]) for a in batch["action"]],
        reward=np.array(batch["reward"]),
        discount=given["gamma"] * (1 - np.array(batch["done"])),
        after=[np.array([begin, state[s]]) for s in batch["next_obs"]],
    )
    fresh = [np.array([action[given["policy"][str(s)]]]) for s in batch["obs"]]
    read, goals = critic_goals(critic, turns, [0, 1], fresh, 64)
    kept = {name: value.clone() for name, value in critic.fit.critic.named_parameters()}
    critic.fit.step = lambda share: 0.0  # look at the gradients, and leave the critic as it is
    losses = critic.step(read.sequences, goals)
    for name in ("q1", "q2", "v1", "v2"):
        assert 2 * losses[name] == pytest.approx(expected[f"{name}_loss"], abs=1e-5)
        gradient = 2 * critic.fit.critic.heads[name].last.weight.grad[0]
        slow = critic.target.heads[name].last.weight[0]
        places = [(begin, one) for one in state] if name[0] == "v" else [(s, a) for s in state for a in action]
        where = [before * 6 + token for before, token in places]
        assert torch.allclose(gradient[where], torch.tensor(expected["grads"][name]).flatten(), atol=1e-5)
        after = torch.tensor(expected["target_after_polyak"][name]).flatten()
        assert torch.allclose(slow[where], after, atol=1e-5)
    assert all(torch.equal(value, kept[name]) for name, value in critic.fit.critic.named_parameters())


def test_hl_gauss_is_the_papers():
    given, expected = ORACLES["hl_gauss"]["inputs"], ORACLES["hl_gauss"]["expected"]
    head = ValueHead(4, HeadOptions("hl_gauss", low=given["v_min"], high=given["v_max"], bins=given["num_bins"]))
    targets = torch.tensor(given["targets"])
    probabilities = hl_gauss(targets, head.edges, given["sigma_over_bin"])
    assert torch.allclose(probabilities, torch.tensor(expected["probs"]), atol=1e-5)
    scores = torch.tensor(given["logits"])[None]
    assert float(head.value(scores)) == pytest.approx(expected["value_from_logits"], abs=1e-5)
    losses = head.loss(scores.expand(4, 1, -1), targets)
    assert torch.allclose(losses, torch.tensor(expected["ce_loss"]), atol=1e-5)


def test_the_minimum_over_heads_is_taken_of_q_and_of_v():
    q, v = np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[0.5, 0.5], [0.0, 1.0]])
    assert archer.advantages(q, v).tolist() == [1.0, -0.5]


def test_weights_of_the_offline_actor_are_unbounded_unless_told():
    advantage = np.array([-1.0, 0.0, 5.0])
    assert np.allclose(offline_archer.weights(advantage, offline_archer.Config(beta=2.0)), np.exp(2 * advantage))
    bounded = offline_archer.weights(advantage, offline_archer.Config(max_weight=3.0))
    assert np.allclose(bounded, [np.exp(-1), 1, 3])


def test_actors_losses_are_means_over_turns_of_sums_over_tokens():
    logprob = torch.tensor([[0.0, -1.0, -2.0], [0.0, -0.5, 0.0]])
    mask, advantage = torch.tensor([[0, 1, 1], [0, 1, 0]]), torch.tensor([[0, 2.0, 2.0], [0, -1.0, 0]])
    total, _ = archer.loss(logprob, logprob, advantage, mask, archer.Config())
    assert float(total) == pytest.approx(-(2 * -3 + -1 * -0.5) / 2)
    weighted, _ = offline_archer.loss(logprob, torch.tensor([2.0, 3.0]), mask)
    assert float(weighted) == pytest.approx(-(2 * -3 + 3 * -0.5) / 2)


# A game that is known in closed form. Two states (tokens 1, 2) and two actions (3, 4). Action 3 earns 1/4 and
# changes the state; action 4 earns 1 in state 2 and nothing in state 1, and ends the game.

STATES, ACTIONS, BEGIN = (1, 2), (3, 4), 5
GAMMA = 0.5
PI = {1: np.array([0.7, 0.3]), 2: np.array([0.4, 0.6])}
"""Probabilities of the actions in each state."""


def outcome(state, action):
    """Reward, and the next state (None at the end)."""
    return (0.25, 3 - state) if action == 3 else (float(state == 2), None)


def exact(pi=PI, best=False):
    """Q and V of each state in closed form, under a policy, or the best."""
    v = dict.fromkeys(STATES, 0.0)
    for _ in range(200):
        q = {(s, a): r + GAMMA * (v[n] if n else 0.0) for s in STATES for a in ACTIONS for r, n in [outcome(s, a)]}
        v = {s: max(q[s, a] for a in ACTIONS) if best else sum(pi[s] * [q[s, a] for a in ACTIONS]) for s in STATES}
    return q, v


def every_transition():
    """Each state with each action once, as they come out of the buffer."""
    pairs = [(s, a) for s in STATES for a in ACTIONS]
    found = [outcome(s, a) for s, a in pairs]
    return SimpleNamespace(
        state=[np.array([BEGIN, s]) for s, _ in pairs],
        answer=[np.array([a]) for _, a in pairs],
        reward=np.array([r for r, _ in found]),
        discount=np.array([GAMMA if n else 0.0 for _, n in found]),
        after=[np.array([BEGIN, n] if n else [], np.int64) for _, n in found],
    )


def said(critic):
    batch = TurnBatch.of(*(getattr(every_transition(), name) for name in ("state", "answer")), 64)
    return batch.read(critic)


def settled(critic, steps, goals):
    """Take steps at falling rates, and return what the heads say."""
    for number in range(steps):
        critic.fit.learning_rate = 0.1 * (1 - number / steps) + 1e-4
        read, wanted = goals()
        critic.step(read.sequences, wanted)
    return said(critic)


@pytest.mark.parametrize("kind", ["mse", "hl_gauss"])
def test_the_critic_comes_to_the_values_of_the_policy(kind):
    """V towards Q' of all actions in the policy's proportions, Q towards r + gamma V': both exact at the end."""
    critic, turns, q, v = tabular(6, kind, tau=0.3), every_transition(), *exact()
    # Ten answers in the policy's own shares are its expectation without noise.
    fresh = [
        np.array([a])
        for s in (1, 1, 2, 2)
        for a, n in zip(ACTIONS, np.rint(10 * PI[s]), strict=True)
        for _ in range(int(n))
    ]
    found = settled(critic, 250, lambda: critic_goals(critic, turns, range(4), fresh, 64))
    close = 0.01 if kind == "mse" else 0.03
    assert np.allclose(found[0], [list(q.values())] * 2, atol=close)
    assert np.allclose(found[1], [[v[1], v[1], v[2], v[2]]] * 2, atol=close)


@pytest.mark.parametrize(("expectile", "best"), [(0.5, False), (0.99, True)])
def test_the_expectile_goes_from_the_value_of_the_data_to_the_best(expectile, best):
    critic, turns = tabular(6, tau=0.3), every_transition()
    even = {s: np.array([0.5, 0.5]) for s in STATES}
    q, v = exact(even, best)

    def goals():
        batch = TurnBatch.of(turns.state, turns.answer, 64)
        wanted = q_targets(turns.reward, turns.discount, values_after(critic, turns.after))
        return batch, goals_of(batch, wanted, offline_archer.target_q(critic, batch), expectile=expectile)

    found = settled(critic, 250, goals)
    assert np.allclose(found[0], [list(q.values())] * 2, atol=0.02)
    assert np.allclose(found[1], [[v[1], v[1], v[2], v[2]]] * 2, atol=0.02)


def test_with_an_exact_critic_the_actors_expected_gradient_is_the_policy_gradient():
    """Over all answers in a state, d/d theta of the loss is - sum_a pi(a) A(a) grad log pi(a) = - grad of sum_a pi Q.

    The answers have two tokens, so that the advantage of the turn teaches both; a baseline changes nothing.
    """
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(3, generator=generator, dtype=torch.float64, requires_grad=True)
    second = torch.randn(3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    q = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    baseline = torch.randn(4, generator=generator, dtype=torch.float64)  # before the first token, and after each
    likely = first.log_softmax(0)[:, None] + second.log_softmax(1)
    expected = torch.autograd.grad((likely.exp() * q).sum(), (first, second))
    value = float((likely.exp() * q).sum().detach())
    for subtracted in (torch.zeros(4, dtype=torch.float64), baseline):
        total = torch.zeros((), dtype=torch.float64)
        for i in range(3):
            for j in range(3):
                logprob = torch.stack([first.log_softmax(0)[i], second.log_softmax(1)[i, j]])[None]
                credit = torch.stack([q[i, j] - value - subtracted[0], q[i, j] - value - subtracted[1 + i]])[None]
                one, _ = archer.loss(logprob, logprob.detach(), credit, torch.ones(1, 2), archer.Config())
                total = total + likely[i, j].exp().detach() * one
        found = torch.autograd.grad(total, (first, second), retain_graph=True)
        assert all(torch.allclose(-a, b, atol=1e-10) for a, b in zip(found, expected, strict=True))


# The critic as a network.


@pytest.fixture(scope="module")
def policy(tiny_model):
    return Policy.load(tiny_model)


def network_critic(policy, **heads):
    trunk = small_trunk(policy.tokenizer, 256, hidden=16, layers=1, heads=2, seed=3)
    critic = Critic.on(trunk, policy.tokenizer, {**turn_heads("mse", 0, 1, 2, baseline=True), **heads})
    generator = torch.Generator().manual_seed(1)
    for head in critic.heads.values():
        head.last.weight.data.normal_(0, 0.5, generator=generator)
    return TurnCritic(Fit(critic, policy, learning_rate=1e-3), tau=0.1, budget=48)


def test_v_knows_nothing_of_the_answer_and_neither_knows_what_comes_later(policy):
    critic = network_critic(policy)
    state, others = np.arange(5, 17), [np.array([40, 41]), np.array([50, 51, 52, 53])]
    batch = TurnBatch.of([state, state], others, 256)
    _, v = batch.read(critic)
    assert np.allclose(v[:, 0], v[:, 1], atol=1e-6)
    longer = [np.concatenate([ids, np.arange(60, 70)]) for ids in batch.sequences]
    again = critic.values(longer, {"q1": batch.of_q, "v1": batch.of_v})
    now = critic.values(batch.sequences, {"q1": batch.of_q, "v1": batch.of_v})
    for name, values in now.items():
        assert np.allclose(np.concatenate(values), np.concatenate(again[name]), atol=1e-6)


def test_padding_on_either_side_gives_equal_values(policy):
    critic = network_critic(policy).fit.critic
    ids = torch.arange(5, 13)[None]
    alone = critic.values(ids, torch.ones_like(ids), "q1")
    for left in (True, False):
        pad, none = torch.zeros(1, 3, dtype=torch.long), torch.ones_like(ids)
        parts = [(pad, pad), (ids, none)] if left else [(ids, none), (pad, pad)]
        padded = critic.values(*(torch.cat([one[k] for one in parts], 1) for k in (0, 1)), "q1")
        assert torch.allclose(padded[:, 3:] if left else padded[:, :8], alone, atol=1e-5)


def test_how_a_batch_is_cut_into_passes_changes_no_gradient(policy):
    """The reference sums over its accumulations, so that a smaller pass is a larger step."""
    states = [np.arange(5, 5 + length) for length in (4, 9, 14, 20)]
    batch = TurnBatch.of(states, [np.array([40, 41])] * 4, 256)
    gradients = []
    for budget in (10_000, 24):
        critic = network_critic(policy)
        critic._budget = budget
        critic.fit.step = lambda share: 0.0
        goals = goals_of(batch, np.arange(8.0).reshape(2, 4), np.ones((2, 4)))
        critic.step(batch.sequences, {**goals, **batch.baseline_goal(critic, np.arange(4.0))})
        gradients.append([value.grad.clone() for value in critic.fit.critic.parameters()])
    for whole, cut in zip(*gradients, strict=True):
        assert torch.allclose(whole, cut, atol=1e-5)


def test_a_state_that_leaves_no_room_loses_its_beginning():
    batch = TurnBatch.of([np.arange(10)], [np.array([70, 71])], 8)
    assert batch.sequences[0].tolist() == [4, 5, 6, 7, 8, 9, 70, 71]
    assert batch.before.tolist() == [5]
    assert batch.last.tolist() == [7]


def test_the_critic_comes_back_with_its_targets_and_its_optimiser(policy, tmp_path):
    critics = [network_critic(policy), network_critic(policy)]
    batch = TurnBatch.of([np.arange(5, 12)] * 2, [np.array([40]), np.array([41])], 256)
    goals = goals_of(batch, np.ones((2, 2)), np.zeros((2, 2)))
    critics[0].step(batch.sequences, goals)
    critics[0].save(tmp_path / "critic")
    critics[1].restore(tmp_path / "critic")
    for critic in critics:
        critic.step(batch.sequences, goals)
    for part in ("target", "fit"):
        one, other = (getattr(critic, part) for critic in critics)
        states = [
            (one.critic if part == "fit" else one).state_dict(),
            (other.critic if part == "fit" else other).state_dict(),
        ]
        assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_bins_that_do_not_hold_the_returns_are_refused(policy):
    with pytest.raises(UsageError, match=r"The returns go from -2 to 1.5.* bins from -1 to 3: set settings\.low"):
        tabular(6, "hl_gauss").measure(np.array([-2.0, 1.5]))


def test_a_goal_may_leave_sequences_out(policy):
    critic = network_critic(policy)
    nothing = np.zeros(0, np.int64)
    goal = Goal([np.array([2]), nothing], [np.array([1.0]), np.zeros(0)])
    assert np.isfinite(critic.step([np.arange(4), np.arange(6)], {"q1": goal})["q1"])
