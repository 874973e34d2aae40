"""Critics: values that know nothing of the future, whatever the padding; folders; heads."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers

from arena.agents.models.critic import Critic, is_critic, small_trunk, tokenizer_digest, trunk_of
from arena.agents.models.critic_heads import HeadOptions, ValueHead, hl_gauss
from arena.core.errors import UsageError
from arena.trainers._policy import Policy

HEADS = {"value": HeadOptions(), "q": HeadOptions(kind="hl_gauss", layers=1, outputs=2)}


@pytest.fixture(scope="module")
def policy(tiny_model):
    return Policy.load(tiny_model)


@pytest.fixture
def critic(policy):
    trunk = small_trunk(policy.tokenizer, 128, hidden=32, layers=2, heads=2, seed=3)
    made = Critic.on(trunk, policy.tokenizer, HEADS, seed=1)
    stirred(made)
    return made


def stirred(critic):
    """Last layers that are not zero, so that values differ."""
    generator = torch.Generator().manual_seed(0)
    for head in critic.heads.values():
        head.last.weight.data.normal_(0, 0.5, generator=generator)


def some_ids(rows=3, length=12):
    return torch.randint(0, 300, (rows, length), generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("head", HEADS)
def test_what_comes_later_changes_no_value(critic, head):
    """A critic that sees the future tells the policy what it could not have known."""
    ids = some_ids()
    before = critic.values(ids, torch.ones_like(ids), head)
    for cut in (1, 6, 11):
        changed = ids.clone()
        changed[:, cut:] = (changed[:, cut:] + 17) % 300
        after = critic.values(changed, torch.ones_like(ids), head)
        torch.testing.assert_close(after[:, :cut], before[:, :cut], rtol=0, atol=1e-6)
        assert not torch.allclose(after[:, cut:], before[:, cut:])


def test_padding_left_or_right_changes_no_value(critic):
    """The values of a sequence are its own, whatever it is batched with."""
    ids, lengths, length = some_ids(), (12, 7, 1), 12
    right, left = torch.zeros(2, 3, length, dtype=torch.long), torch.zeros(2, 3, length, dtype=torch.long)
    for row, n in enumerate(lengths):
        right[0, row, :n], right[1, row, :n] = ids[row, :n], 1
        left[0, row, length - n :], left[1, row, length - n :] = ids[row, :n], 1
    alone = [critic.values(ids[row : row + 1, :n], torch.ones(1, n))[0] for row, n in enumerate(lengths)]
    on_the_right, on_the_left = critic.values(*right), critic.values(*left)
    for row, n in enumerate(lengths):
        torch.testing.assert_close(on_the_right[row, :n], alone[row], rtol=0, atol=1e-5)
        torch.testing.assert_close(on_the_left[row, length - n :], alone[row], rtol=0, atol=1e-5)


def test_a_fresh_critic_is_worth_nothing_and_equal_seeds_are_equal(policy):
    """A head that begins with noise would send the first updates anywhere; global generators stay untouched."""
    state = torch.get_rng_state()
    one, other = (
        Critic.on(
            small_trunk(policy.tokenizer, 64, hidden=16, layers=1, heads=2, seed=5), policy.tokenizer, HEADS, seed=2
        )
        for _ in range(2)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    ids = some_ids()
    assert not one.values(ids, torch.ones_like(ids)).any()
    torch.testing.assert_close(one.values(ids, torch.ones_like(ids), "q"), torch.full((3, 12, 2), 0.5))


def test_a_folder_gives_the_same_critic_back(critic, tmp_path):
    """Agents use a critic that they did not train: all of it must be in its folder."""
    critic.heads["value"].unit.copy_(torch.tensor([3.0, 2.0]))
    folder = critic.save(tmp_path / "critic")
    again = Critic.load(folder, device="cpu")
    ids = some_ids()
    for head in HEADS:
        assert torch.equal(
            again.values(ids, torch.ones_like(ids), head), critic.values(ids, torch.ones_like(ids), head)
        )
    assert is_critic(folder)
    assert {name: head.options for name, head in again.heads.items()} == HEADS
    told = json.loads((folder / "config.json").read_text())
    assert told["tokenizer"] == tokenizer_digest(again.tokenizer) == tokenizer_digest(critic.tokenizer)
    assert told["encoder"] == {"model_type": "llama", "hidden_size": 32}
    assert set(told["versions"]) == {"arena-gym", "torch", "transformers"}
    assert transformers.AutoModel.from_pretrained(folder / "encoder").config.hidden_size == 32


def test_a_critic_of_heads_alone_needs_the_network_it_read(policy, tmp_path):
    """Without its trunk it must not load as if it were whole; with a copy of it it stands alone."""
    heads = Critic.borrowing(policy.network, policy.tokenizer, HEADS)
    stirred(heads)
    folder = heads.save(tmp_path / "heads")
    with pytest.raises(UsageError, match="no encoder of its own"):
        Critic.load(folder)
    again = Critic.load(folder, device="cpu", network=policy.network)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in heads.state_dict().items())
    whole = Critic.load(heads.save(tmp_path / "whole", trunk=trunk_of(policy.network)), device="cpu")
    ids = some_ids()
    hidden = trunk_of(policy.network)(input_ids=ids, use_cache=False).last_hidden_state
    read = heads.heads["value"]
    torch.testing.assert_close(whole.values(ids, torch.ones_like(ids)), read.value(read(hidden)))


def test_what_is_no_critic_or_another_is_said(critic, policy, tmp_path, tiny_model):
    """Heads on the hidden states of another model give numbers without a meaning."""
    with pytest.raises(UsageError, match="is no critic"):
        Critic.load(tiny_model)
    narrow = critic.save(tmp_path / "narrow")
    trunk = small_trunk(policy.tokenizer, 64, hidden=16, layers=1, heads=2, seed=0)
    trunk.save_pretrained(narrow / "encoder")
    with pytest.raises(UsageError, match="trained on a llama of width 32, and this is a llama of width 16"):
        Critic.load(narrow)
    damaged = critic.save(tmp_path / "damaged")
    (damaged / "heads.safetensors").write_bytes(b"short")
    with pytest.raises(UsageError, match="damaged"):
        Critic.load(damaged)
    newer = critic.save(tmp_path / "newer")
    (newer / "config.json").write_text((newer / "config.json").read_text().replace('"format": 1', '"format": 9'))
    with pytest.raises(UsageError, match="format 9"):
        Critic.load(newer)


def test_an_encoder_that_reads_both_ways_is_found_out(critic, policy):
    """BERT and its kin may judge whole texts, and never a token by what follows it."""
    config = transformers.BertConfig(
        vocab_size=len(policy.tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    with torch.random.fork_rng():
        bert = transformers.BertModel(config).eval()
    assert Critic.on(bert, policy.tokenizer, HEADS).looks_ahead()
    assert not critic.looks_ahead()


def test_a_scalar_head_learns_in_the_unit_of_its_returns():
    """Returns of 1000 and of 0.001 must be learned equally fast, and the unit never moves under learned weights."""
    head = ValueHead(4)
    head.measure(torch.tensor([900.0, 1100.0]))
    assert head.unit.tolist() == [1000.0, 250.0]
    scores = head(torch.ones(3, 4))
    assert head.value(scores).tolist() == [1000.0] * 3
    assert head.loss(scores, torch.full((3,), 1250.0)).tolist() == [0.5] * 3
    head.last.weight.data.fill_(1.0)
    head.measure(torch.tensor([0.0, 1.0]))
    assert head.unit.tolist() == [1000.0, 250.0]


def test_hl_gauss_means_its_target_and_its_loss_is_least_there():
    """Farebrother et al.: a Gaussian of 0.75 bins, renormalised within the range."""
    edges = torch.linspace(-1, 2, 61, dtype=torch.float64)
    target = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    shares = hl_gauss(target, edges)
    torch.testing.assert_close(shares.sum(-1), torch.ones(3, dtype=torch.float64))
    centres = (edges[1:] + edges[:-1]) / 2
    torch.testing.assert_close(shares @ centres, target, rtol=0, atol=1e-6)
    below = np.array([0.5 * (1 + float(torch.erf((e - 0.3) / (2**0.5 * 0.75 * 0.05)))) for e in edges])
    np.testing.assert_allclose(shares[1].numpy(), np.diff(below) / (below[-1] - below[0]), atol=1e-12)
    head = ValueHead(2, HeadOptions(kind="hl_gauss", low=-1.0, high=2.0, bins=60))
    scores = shares.float().log().clamp(min=-30)[:, None, :]
    torch.testing.assert_close(head.value(scores), target.float(), rtol=0, atol=1e-4)
    assert (head.loss(scores, target.float()) < head.loss(scores, target.float() + 0.1)).all()
    assert torch.isfinite(head.loss(scores, torch.full((3,), 50.0))).all()


@pytest.mark.parametrize("wrong", [{"kind": "quantile"}, {"low": 1.0, "high": 1.0}, {"bins": 1}, {"outputs": 0}])
def test_heads_that_cannot_be(wrong):
    with pytest.raises(UsageError, match="value head"):
        HeadOptions(**wrong)
