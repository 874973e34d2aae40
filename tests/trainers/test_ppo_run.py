"""PPO's loop and its critic: values where they belong, what is fitted and what is not, and what is refused."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers
from safetensors.torch import load_file

from arena.agents import build
from arena.agents.models.critic import Critic, small_trunk
from arena.agents.models.critic_heads import HeadOptions
from arena.agents.models.tiny import build_tiny_model
from arena.cli._app import run as arena
from arena.core import registry
from arena.core.errors import RecordDamaged, UsageError
from arena.rollout import Engine, Job, RecordedModel
from arena.trainers import TurnTable, _checkpoint, ppo
from arena.trainers._batch import batch_of
from arena.trainers._config import TrainConfig
from arena.trainers._critic import Fit, explained_variance
from arena.trainers._critic_choice import make_critic
from arena.trainers._next_prompts import next_prompts
from arena.trainers._policy import Policy, PolicyOptions
from arena.trainers._rows import NOWHERE, Row, rows_of
from arena.trainers._training import Training
from arena.trainers._values import at_first_answers, first_answers, with_values

SMALL = {
    "algorithm": "ppo",
    "env": "arena/Maze-v0",
    "params": {"size": 3},
    "max_turns": 3,
    "agent": "chat:window=0,max_tokens=4",
    "steps": 1,
    "tasks": 2,
    "group_size": 1,
    "minibatches": 2,
    "eval_every": 0,
    "policy": {"deterministic": True},
}
HEADS = {"value": HeadOptions()}
AGENTS = {
    "whole": "chat:max_tokens=6",
    "window": "chat:window=1,max_tokens=6",
    "react, asked again": "react:max_tokens=8",
}


@pytest.fixture(scope="module")
def policy(tiny_model):
    return Policy.load(tiny_model)


def config(model, **changed):
    return TrainConfig.read({**SMALL, "model": str(model), **changed})


def train(model, out, **changed):
    with Training.start(config(model, **changed), out) as training:
        training.run()
        return training


def play(policy, spec, turns=5):
    agent, episodes = build(spec, RecordedModel(policy.model)), []
    jobs = [
        Job(type(task)(task.env, task.seed, task.params, None, turns), repeat)
        for task in registry.tasks("arena/Maze-v0", "train", 2, 0, {"size": 4})
        for repeat in range(2)
    ]
    asyncio.run(Engine({"agent": agent}, on_episode=episodes.append).run(jobs))
    return sorted(episodes, key=lambda episode: (episode.key.task, episode.key.repeat))


def fit_of(policy, spec="small:hidden=32", **options):
    critic, detach = make_critic(spec, policy, HEADS, seed=1)
    critic.heads["value"].last.weight.data.normal_(0, 0.5, generator=torch.Generator().manual_seed(0))
    return Fit(critic, policy, detach=detach, **options)


@pytest.mark.parametrize(
    ("spec", "critic"),
    [
        *((spec, "small:hidden=32") for spec in AGENTS.values()),
        *((AGENTS["whole"], name) for name in ("copy", "shared")),
    ],
)
def test_a_turn_is_valued_where_its_prompt_ends(policy, spec, critic):
    """Read one token later, a value would know the answer; in another turn's place it would judge another state."""
    episodes, fit = play(policy, spec), fit_of(policy, critic)
    table = with_values(
        TurnTable.from_episodes(episodes),
        fit,
        episodes,
        budget=500,
        make_agent=lambda m: build(spec, m),
    )
    turn = 0
    for episode in episodes:
        for recorded in episode.turns:
            (call,) = [call for call in recorded.calls if call.role == "chosen"]
            prompt, answer = episode.ids(call.prompt_ids), call.token_ids
            (alone,) = fit.read(
                [np.array([*prompt, *answer])], [np.arange(len(prompt) - 1, len(prompt) + len(answer) - 1)], 9
            )
            assert table.value[turn] == pytest.approx(alone[0], abs=1e-5)
            begin = first_answers(table)[turn]
            np.testing.assert_allclose(table.token_value[begin : begin + len(answer)], alone, atol=1e-5)
            (cut,) = fit.read([np.array(prompt)], [np.array([len(prompt) - 1])], 9)
            assert cut[0] == pytest.approx(alone[0], abs=1e-5), "what was answered changed the value of the question"
            turn += 1
    assert turn == len(table)
    assert np.isfinite(table.next_value[table.trajectories.lasts[~table.terminated[table.trajectories.lasts]]]).all()


@pytest.mark.parametrize("spec", AGENTS.values(), ids=AGENTS)
def test_the_prompt_after_a_cut_is_the_one_that_came(policy, spec):
    """Cut off at any turn, an episode must be valued in the very ids that the policy would have been asked with."""
    cut_off, expected = [], []
    for episode in play(policy, spec):
        for turn in episode.turns[1:]:
            (call,) = [call for call in turn.calls if call.role == "chosen"]
            first = turn.calls[0]
            cut_off.append(
                episode.model_copy(
                    update={
                        "turns": episode.turns[: turn.index],
                        "final_observation": turn.observation,
                        "final_results": turn.results,
                    }
                )
            )
            expected.append(tuple(episode.ids((first if first.role == "rejected" else call).prompt_ids)))
    found = asyncio.run(next_prompts(cut_off, lambda model: build(spec, model), policy.model))
    assert found == expected
    assert len(found) > 8


def test_an_agent_that_does_something_else_is_told_what_happened(policy):
    """A session that cannot be repeated must still give the prompt of these turns, not of others."""
    episodes = play(policy, "chat:max_tokens=6")[:1]
    (ids,) = asyncio.run(next_prompts(episodes, lambda model: build("react", model), policy.model))
    said = policy.tokenizer.decode(ids)
    assert all(turn.action in said for turn in episodes[0].turns)
    assert episodes[0].final_observation[0].text.strip() in said


def test_a_conversation_that_is_full_is_worth_nothing_more(tiny_model):
    """The policy could not have gone on, so there is nothing to expect."""
    policy, spec = Policy.load(tiny_model), "chat:max_tokens=6"
    episodes = play(policy, spec, turns=3)
    lengths = [len(row) for row in rows_of(episodes)]
    narrow = Policy.load(tiny_model, PolicyOptions(context=max(lengths) + 1))
    table = with_values(
        TurnTable.from_episodes(episodes),
        fit_of(narrow, "shared"),
        episodes,
        budget=9999,
        make_agent=lambda model: build(spec, model),
    )
    ends = table.trajectories.lasts[table.truncated[table.trajectories.lasts]]
    longest = int(np.argmax(lengths))
    assert table.truncated[table.trajectories.lasts[longest]]
    assert table.next_value[table.trajectories.lasts[longest]] == 0
    assert len(ends) > 0


def chain():
    """A table and rows of one token per observation: 10 -> 11 -> 12 -> end with reward 1, and 13, cut off after 0.1."""
    table = TurnTable.of(
        episode=[0, 0, 0, 1],
        reward=[0.0, 0.0, 1.0, 0.1],
        truncated=[False, False, False, True],
        token_offsets=[0, 2, 4, 6, 8],
        token_producer=["environment", "policy"] * 4,
    )
    row = {"producer": np.array([2, 0], np.uint8), "logprob": np.zeros(2), "turns": (0, 0), "versions": frozenset()}
    rows = [
        Row(ids=np.array([10 + turn, 5]), source=np.array([NOWHERE, 2 * turn + 1]), episode=turn // 3, **row)
        for turn in range(4)
    ]
    return table, rows


def valued_and_batched(fit, table, rows, settings):
    """What the critic says of the small world now, and the batch with the returns that it is to say instead."""
    values = fit.before(rows, 8, 99)
    (final,) = fit.read([np.array([13])], [np.array([0])], 99)
    valued = table.with_values(values[first_answers(table)], np.array([np.nan, final[0]]))
    _, targets = ppo.advantages(valued, settings)
    column = at_first_answers(valued, targets)
    batch = batch_of(rows, column, pad=0, columns={"returns": fit.in_unit(column)}, counts={"returns": 4.0})
    return valued, batch


def test_values_of_a_small_world_are_learned(policy):
    """The fixed point is known: V = 0.81, 0.9, 1 on the way to the reward, and 0.1 / (1 - 0.9) where it never ends."""
    table, rows = chain()
    settings = ppo.Config(gamma=0.9, lam=0.5, whiten=False, value_clip=None)
    fit = Fit(make_critic("small:hidden=16,layers=1,heads=2", policy, HEADS, seed=4)[0], policy, learning_rate=5e-3)
    fit.measure(np.array([0.0, 1.0]))
    for _ in range(250):
        valued, batch = valued_and_batched(fit, table, rows, settings)
        where = batch.columns["returns"].isfinite()
        value = fit.values(batch, where)
        total, _ = ppo.value_loss(value, value, batch.columns["returns"], where, settings, tokens=4.0)
        total.backward()
        fit.accumulate()
        assert np.isfinite(fit.step(1.0))
    np.testing.assert_allclose(valued.value, [0.81, 0.9, 1.0, 1.0], atol=0.02)


def test_a_classifying_critic_learns_the_values_of_a_small_world(policy):
    """Its loss must pull the means of its distributions to the same fixed point as squared errors do."""
    table, rows = chain()
    settings = ppo.Config(gamma=0.9, lam=0.5, whiten=False, critic_loss="hl_gauss")
    heads = {"value": HeadOptions(kind="hl_gauss", low=settings.low, high=settings.high, bins=settings.bins)}
    fit = Fit(make_critic("small:hidden=16,layers=1,heads=2", policy, heads, seed=4)[0], policy, learning_rate=5e-3)
    fit.measure(np.array([0.0, 1.0]))
    for _ in range(250):
        valued, batch = valued_and_batched(fit, table, rows, settings)
        (fit.errors(batch, batch.columns["returns"]).sum() / 4).backward()
        fit.accumulate()
        assert np.isfinite(fit.step(1.0))
    np.testing.assert_allclose(valued.value, [0.81, 0.9, 1.0, 1.0], atol=0.03)


def test_a_classifying_critic_in_the_loop(tiny_model, tmp_path):
    """Its run trains, resumes with the same head, and is refused where its bins cannot hold the returns."""
    settings = {"critic_loss": "hl_gauss", "low": -15.0, "high": 5.0, "bins": 21}
    training = train(tiny_model, tmp_path / "run", settings=settings)
    (line,) = training.metrics.steps
    assert 0 < line["value_loss"] < 2 * np.log(21)
    head = training.parts["critic"].critic.heads["value"]
    assert head.last.weight.any()
    with Training.resume(tmp_path / "run") as again:
        assert again.parts["critic"].critic.heads["value"].options == head.options
    with pytest.raises(UsageError, match=r"the critic's bins from 5 to 6: set settings.low"):
        train(tiny_model, tmp_path / "narrow", settings={**settings, "low": 5.0, "high": 6.0})


def test_first_answers_and_what_stands_on_them():
    """A turn without an answer has no place, and an unscored one teaches the critic nothing."""
    table = TurnTable.of(
        episode=[0, 0, 1],
        reward=[0.0, 1.0, np.nan],
        token_offsets=[0, 3, 4, 6],
        token_producer=["environment", "policy", "policy", "environment", "environment", "demonstrator"],
    )
    assert first_answers(table).tolist() == [1, -1, 5]
    np.testing.assert_array_equal(at_first_answers(table, np.array([7.0, 8.0, 9.0])), [np.nan, 7, *[np.nan] * 4])
    assert explained_variance(np.array([0.0, 1.0, 5.0]), np.array([0.0, 2.0, np.nan])) == 0.75
    assert np.isnan(explained_variance(np.ones(2), np.ones(2)))


@pytest.mark.parametrize("unit", ["turn", "token", "bilevel"])
def test_each_unit_through_the_command_line(tiny_model, tmp_path, unit, capsys):
    """From a model folder to a model and a critic that stands alone, with groups of one."""
    run = tmp_path / "run"
    words = ["train", "ppo", "--env", "arena/Maze-v0", "-m", str(tiny_model), "-o", str(run), "--steps", "2"]
    words += ["-a", "chat:window=0,max_tokens=4", "-n", "2", "-g", "1"]
    for setting in ("params.size=3", "max_turns=3", "eval_every=0", f"settings.unit={unit}"):
        words += ["--set", setting]
    assert arena(words) == 0
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        assert {"value_loss", "explained_variance", "critic_grad_norm", "clip_share"} <= line.keys()
        assert np.isfinite([line["value_loss"], line["loss"]]).all()
        assert line["critic_grad_norm"] > 0
        assert line["grad_norm"] > 0
    critic = Critic.load(run / "critic", device="cpu")
    ids = torch.arange(6)[None]
    assert critic.values(ids, torch.ones_like(ids)).shape == (1, 6)


def moved(before, after):
    return [name for name, value in before.items() if not torch.equal(value, after[name])]


@pytest.mark.parametrize("critic", ["shared", "head", "copy"])
def test_warming_up_moves_the_critic_alone(tiny_model, tmp_path, critic):
    """A policy that moved while its critic knows nothing would follow noise."""
    settings = {"critic": critic, "critic_warmup": 1}
    training = train(tiny_model, tmp_path / "run", settings=settings, entropy_bonus=0.1)
    before = load_file(tiny_model / "model.safetensors")
    assert not moved(before, load_file(training.folder / "model" / "model.safetensors"))
    assert training.parts["critic"].critic.heads["value"].last.weight.any()


@pytest.mark.parametrize(("critic", "reached"), [("shared", True), ("head", False), ("copy", False)])
def test_the_value_loss_moves_the_policys_trunk_only_where_it_is_shared(policy, critic, reached):
    """A gradient where none is wanted spoils the policy; one that is missing leaves features that fit no value."""
    episodes = play(policy, "chat:max_tokens=4", turns=2)
    rows, fit = rows_of(episodes), fit_of(policy, critic)
    batch = batch_of(rows, np.zeros(sum(map(len, rows))), pad=0)
    policy.network.zero_grad()
    with fit.watching():
        policy.logprobs(batch.ids, batch.attention, batch.mask)
    fit.values(batch, batch.mask.bool()).sum().backward()
    norms = [float(value.grad.norm()) for value in policy.parameters().values() if value.grad is not None]
    policy.network.zero_grad()
    assert (max(norms, default=0.0) > 0) == reached
    assert float(fit.critic.heads["value"].last.weight.grad.norm()) > 0


def test_adapters_and_a_head_train_together(tiny_model, tmp_path):
    """With adapters the head is the only part of the model that is trained whole."""
    training = train(tiny_model, tmp_path / "run", policy={"lora_rank": 2, "deterministic": True})
    head = training.parts["critic"].critic
    assert head.trunk is None
    assert head.heads["value"].last.weight.any()
    assert training.metrics.steps[-1]["grad_norm"] > 0
    assert (tmp_path / "run" / "critic" / "encoder" / "model.safetensors").exists()
    again = Training.resume(tmp_path / "run")
    again.close()
    assert torch.equal(again.parts["critic"].critic.heads["value"].last.weight, head.heads["value"].last.weight)


def test_a_critic_goes_on_in_another_run(tiny_model, tmp_path):
    """What a critic has learned about a task is worth keeping."""
    first = train(tiny_model, tmp_path / "one")
    with Training.start(
        config(tiny_model, settings={"critic": str(tmp_path / "one" / "critic")}), tmp_path / "two"
    ) as two:
        state = two.parts["critic"].critic.state_dict()
        assert not moved(first.parts["critic"].critic.state_dict(), state)
        before = {name: value.clone() for name, value in state.items()}
        two.run()
    assert moved(before, state)


def test_a_checkpoint_without_its_critic_is_said(tiny_model, tmp_path):
    """Going on with a fresh critic would look like the same run and be another."""
    import shutil

    train(tiny_model, tmp_path / "run")
    shutil.rmtree(_checkpoint.newest(tmp_path / "run") / "critic")
    with pytest.raises(RecordDamaged, match="lacks its critic"):
        Training.resume(tmp_path / "run")


def _bert(folder, tokenizer):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    with torch.random.fork_rng():
        bert = transformers.BertModel(
            transformers.BertConfig(vocab_size=len(tokenizer), max_position_embeddings=4096, **sizes)
        )
    bert.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _short(folder, tokenizer):
    small_trunk(tokenizer, 64, hidden=16, layers=1, heads=2, seed=0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _other_head(folder, tokenizer):
    trunk = small_trunk(tokenizer, 4096, hidden=16, layers=1, heads=2, seed=0)
    Critic.on(trunk, tokenizer, {"q": HeadOptions()}).save(folder)


REFUSED = {
    "another tokenizer": (lambda folder, _: build_tiny_model(folder, vocabulary=350), "has another tokenizer"),
    "sees what follows": (_bert, "every token see those after it"),
    "a shorter context": (_short, r"reads 64 tokens.*set policy.context=64"),
    "another head": (_other_head, "has no head 'value', and this training needs a scalar"),
}


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED)
def test_a_critic_that_does_not_fit_is_refused_before_anything_is_written(tiny_model, policy, tmp_path, make, said):
    """Its values would be numbers without a meaning, found out after hours if at all."""
    make(tmp_path / "critic", policy.tokenizer)
    with pytest.raises(UsageError, match=said):
        Training.start(config(tiny_model, settings={"critic": str(tmp_path / "critic")}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("critic", "said"),
    [
        ("copi", "no critic 'copi': copy, shared"),
        ("./nowhere", "no critic './nowhere'"),
        ("small:width=3", "width"),
    ],
)
def test_a_critic_that_does_not_exist_is_refused(tiny_model, tmp_path, critic, said):
    """A slip in the name must not become the default."""
    with pytest.raises(UsageError, match=said):
        Training.start(config(tiny_model, settings={"critic": critic}), tmp_path / "run")
