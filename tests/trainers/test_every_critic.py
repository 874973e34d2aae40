"""What holds for the critic of every algorithm that has one: no future, no padding, and where it settles."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from arena.agents import build
from arena.agents.models.critic import Critic
from arena.agents.models.critic_heads import HeadOptions
from arena.core.seeds import derive
from arena.evaluation import evaluate
from arena.records import open_run
from arena.trainers import TurnTable
from arena.trainers._algorithms import parts_of
from arena.trainers._config import TrainConfig
from arena.trainers._critic import Fit
from arena.trainers._policy import Policy
from arena.trainers._recorded import read_recorded, recorded
from arena.trainers._returns import discounted_returns
from arena.trainers._training import Training
from arena.trainers._turn_critic import TurnCritic
from arena.trainers._turn_rows import TurnReader
from arena.trainers._turn_values import TurnBatch

ENV = "arena/KeyDoor-v0"
AGENT = "chat:max_tokens=8"
OF_TURNS = ("archer", "offline_archer")
OF_TOKENS = ("ppo", "awr", "ilql", "mc", "a_lol", "digirl")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("every-critic")
    small = {"params": {"length": 1, "branching": 0, "keys": 1}, "max_turns": 4}
    for agent in ("oracle", "random"):
        evaluate(ENV, agent, tasks=3, out=folder / agent, **small)
    return [str(folder / agent) for agent in ("oracle", "random")]


@pytest.fixture(scope="module")
def policy(tiny_model):
    return Policy.load(tiny_model)


def told(algorithm, model, **changed):
    critic = changed.pop("critic", "small:hidden=16,layers=1,heads=2")
    return TrainConfig.read(
        {
            "algorithm": algorithm,
            "env": ENV,
            "model": str(model),
            "agent": AGENT,
            "eval_every": 0,
            "data": {"runs": [] if algorithm == "ppo" else ["some/run"]},
            "settings": {"critic": critic, **changed.pop("settings", {})},
            **changed,
        }
    )


def critic_of(algorithm, tiny_model, policy, critic="small:hidden=16,layers=1,heads=2"):
    """The critic that a run of the algorithm begins with, and what fits it; its heads say something already."""
    part = parts_of(told(algorithm, tiny_model, critic=critic), policy)["critic"]
    fit = part.fit if isinstance(part, TurnCritic) else part
    for name, head in fit.critic.heads.items():
        generator = torch.Generator().manual_seed(derive(0, name) % 2**63)
        head.last.weight.data.normal_(0.0, 0.3, generator=generator)
    return part, fit


def with_its_end_shuffled(episode, kept):
    """The same episode with the turns after the first `kept` in another order."""
    later = list(episode.turns[kept:])
    order = np.random.default_rng(0).permutation(len(later))
    assert (order != np.arange(len(later))).any()
    moved = [
        later[place].model_copy(update={name: getattr(here, name) for name in ("index", "terminated", "truncated")})
        for place, here in zip(order, later, strict=True)
    ]
    return episode.model_copy(update={"turns": (*episode.turns[:kept], *moved)})


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """An episode of a dozen turns, whose whole conversation is the state."""
    folder = tmp_path_factory.mktemp("long") / "random"
    evaluate(ENV, "random", tasks=1, max_turns=12, out=folder)
    with open_run(folder) as run:
        return next(iter(run.episodes()))


@pytest.mark.parametrize("algorithm", [*OF_TURNS, *OF_TOKENS])
def test_shuffling_later_turns_changes_no_earlier_value(algorithm, tiny_model, policy, long):
    """A critic that knew what comes later would be exact and useless."""
    part, fit = critic_of(algorithm, tiny_model, policy)
    kept = 6
    both = [long, with_its_end_shuffled(long, kept)]
    make = lambda model: build(AGENT, model)  # noqa: E731
    if algorithm in OF_TURNS:
        rows = TurnReader(make, policy.model, policy.context).rows(both, TurnTable.from_episodes(both), 0.9, own=False)
        batch = TurnBatch.of(rows.sequences["prompt"], rows.sequences["answer"], policy.context)
        found = {name: values.reshape(-1, 2, 12) for name, values in zip("qv", batch.read(part), strict=True)}
    else:
        data = recorded(both, TurnTable.from_episodes(both), make, policy.model)
        first, number = data.table.token_offsets[:-1], len(data.turn_of_token)
        found = {head: fit.before(data.rows, number, 4096, head)[first].reshape(1, 2, 12) for head in fit.critic.heads}
    for name, values in found.items():
        one, other = values[:, 0], values[:, 1]
        np.testing.assert_allclose(one[:, :kept], other[:, :kept], atol=1e-5, err_msg=name)
        assert np.abs(one[:, kept:] - other[:, kept:]).max() > 1e-4, name


@pytest.mark.parametrize("critic", ["small:hidden=16,layers=1,heads=2", "copy"])
@pytest.mark.parametrize("algorithm", [*OF_TURNS, *OF_TOKENS])
def test_left_and_right_padding_give_equal_values(algorithm, critic, tiny_model, policy):
    """The values of a conversation would depend on what it is batched with."""
    _, fit = critic_of(algorithm, tiny_model, policy, critic)
    ids = torch.arange(5, 14)[None]
    none, pad = torch.ones_like(ids), torch.zeros(1, 4, dtype=torch.long)
    with torch.no_grad():
        for name in fit.critic.heads:
            alone = fit.critic.values(ids, none, name)
            left = fit.critic.values(torch.cat([pad, ids], 1), torch.cat([pad, none], 1), name)[:, 4:]
            right = fit.critic.values(torch.cat([ids, pad], 1), torch.cat([none, pad], 1), name)[:, :9]
            assert alone.std() > 1e-3, "values that are all equal prove nothing"
            torch.testing.assert_close(left, alone, atol=1e-5, rtol=0)
            torch.testing.assert_close(right, alone, atol=1e-5, rtol=0)


class States(torch.nn.Module):
    """A trunk whose hidden state is a one-hot of which of these prompts ends there: heads on it are exact tables."""

    def __init__(self, prompts):
        super().__init__()
        self.number = {prompt: place + 1 for place, prompt in enumerate(sorted(set(prompts)))}
        self.config = SimpleNamespace(
            model_type="states", hidden_size=len(self.number) + 1, max_position_embeddings=4096, get_text_config=None
        )
        self.config.get_text_config = lambda **_: self.config
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, attention_mask):
        places = torch.zeros_like(input_ids)
        for row, (ids, length) in enumerate(zip(input_ids.tolist(), attention_mask.sum(-1).tolist(), strict=True)):
            for end in range(1, length + 1):
                places[row, end - 1] = self.number.get(tuple(ids[:end]), 0)
        hidden = torch.nn.functional.one_hot(places, self.config.hidden_size).float()
        return SimpleNamespace(last_hidden_state=hidden + 0 * self.nothing)

    def save_pretrained(self, folder):
        """A table is not saved."""


@pytest.mark.parametrize("algorithm", ["awr", "a_lol", "digirl"])
def test_the_loop_brings_the_critic_to_what_is_earned_on_average(algorithm, tiny_model, runs, tmp_path):
    """Of returns, and of whether the episode earned, a fit settles at the mean over the turns that were shown the same.

    With targets on another token than the one that is read, or in another unit, it would settle elsewhere. What
    `awr` adds to a return that was cut off is its own value of the final state, of which it is then the fixed point.
    """
    steps = 60
    config = told(
        algorithm,
        tiny_model,
        agent="chat:window=0,max_tokens=8,system=nothing.j2,user=observation.j2",
        data={"runs": runs},
        steps=steps,
        minibatches=1,
        checkpoint_every=steps,
        settings={"critic_warmup": steps, "batch": 6},
        optimiser={"final_share": 0.02},
    )
    with Training.start(config, tmp_path / "run") as training:
        data = read_recorded(training)
        shown = [tuple(row.ids[: np.flatnonzero(row.source >= 0)[0]].tolist()) for row in data.rows]
        assert len(shown) == len(data.table), "without a window each turn is a row"
        assert len(set(shown)) < len(shown), "some states come several times"
        plain = {name: HeadOptions() for name in training.parts["critic"].critic.heads}
        exact = Critic.on(States(shown), training.policy.tokenizer, plain)
        fit = training.parts["critic"] = Fit(exact, training.policy, learning_rate=0.3)
        training.run()
        table, heads = data.table, list(fit.critic.heads)
        end = data.after(fit, range(len(data.episodes)), 4096, "value") if algorithm == "awr" else 0.0
        earned = discounted_returns(table.reward, table.trajectories, 1.0, end)
        if algorithm == "digirl":
            earned = table.trajectories.spread(table.trajectory_return > 0).astype(float)
            heads = ["step1", "step2"]
        first, number = table.token_offsets[:-1], len(data.turn_of_token)
        for head in heads:
            value = fit.before(data.rows, number, 4096, head)[first]
            value = 1 / (1 + np.exp(-value)) if algorithm == "digirl" else value
            for prompt in set(shown):
                same = np.array([other == prompt for other in shown])
                assert value[same].mean() == pytest.approx(earned[same].mean(), abs=0.06), (head, same.sum())
