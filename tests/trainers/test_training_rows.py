"""Training rows are the very tokens that were sampled, and every turn's credit reaches its own tokens."""

from __future__ import annotations

import asyncio
from itertools import combinations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

pytest.importorskip("torch")
pytest.importorskip("transformers")

from arena.agents import build
from arena.agents.models.tiny import build_tiny_model
from arena.core import registry
from arena.rollout import Engine, Job, RecordedModel
from arena.trainers import TurnTable
from arena.trainers._batch import batch_of, parts, shuffled
from arena.trainers._demonstrations import demonstrations
from arena.trainers._policy import Policy, PolicyOptions
from arena.trainers._rows import NOWHERE, RowWriter, rows_of
from arena.trainers._table import PRODUCERS

AGENTS = {
    "whole": "chat:max_tokens=6,temperature=0.7",
    "window": "chat:window=1,max_tokens=6",
    "react": "react:max_tokens=8,temperature=1.3",
}


def play(policy, spec):
    agent, episodes = build(spec, RecordedModel(policy.model)), []
    jobs = [
        Job(type(task)(task.env, task.seed, task.params, None, 5), repeat)
        for task in registry.tasks("arena/Maze-v0", "train", 2, 0, {"size": 3})
        for repeat in range(2)
    ]
    asyncio.run(Engine({"agent": agent}, on_episode=episodes.append).run(jobs))
    return sorted(episodes, key=lambda episode: (episode.key.task, episode.key.repeat))


@pytest.fixture(scope="module")
def policy(tiny_model):
    return Policy.load(tiny_model)


@pytest.mark.parametrize("spec", AGENTS.values(), ids=AGENTS)
def test_rows_hold_each_sampled_token_once_where_the_table_has_it(policy, spec):
    """A token twice, or under another turn, would be credited wrongly without any error."""
    episodes = play(policy, spec)
    rows, table = rows_of(episodes), TurnTable.from_episodes(episodes)
    chosen = np.concatenate([row.source[row.trains()] for row in rows])
    assert sorted(chosen.tolist()) == np.flatnonzero(table.token_producer == 0).tolist()
    for row in rows:
        trained = row.trains()
        np.testing.assert_array_equal(table.token_logprob[row.source[trained]], row.logprob[trained])
        assert (row.source[~trained] == NOWHERE).all()


def test_turn_advantages_reach_the_tokens_of_their_turn_only(policy):
    """Credit that lands on a neighbouring turn trains the wrong action."""
    episodes = play(policy, AGENTS["whole"])
    table = TurnTable.from_episodes(episodes)
    credit = table.on_tokens(np.arange(1, len(table) + 1, dtype=float))
    rows = rows_of(episodes)
    batch = batch_of(rows, credit, pad=0)
    turn = 0
    for number, episode in enumerate(episodes):
        for recorded in episode.turns:
            turn += 1
            (call,) = [call for call in recorded.calls if call.role == "chosen"]
            begin = len(episode.ids(call.prompt_ids))
            span = slice(begin, begin + len(call.token_ids))
            assert batch.ids[number, span].tolist() == list(call.token_ids)
            assert set(batch.advantage[number, span].tolist()) == {float(turn)}


def test_a_growing_conversation_is_one_row_and_a_window_one_row_per_turn(policy):
    """More rows than needed cost time; fewer would mean that ids were changed."""
    whole, window = play(policy, AGENTS["whole"]), play(policy, AGENTS["window"])
    assert len(rows_of(whole)) == len(whole)
    assert len(rows_of(window)) == sum(len(episode.turns) for episode in window)
    for row, episode in zip(rows_of(whole), whole, strict=True):
        assert tuple(row.ids) == episode.sequence(episode.turns[-1].calls[-1])


def test_a_template_that_drops_reasoning_splits_rows_only_where_ids_differ(tmp_path):
    """A prefix that is not kept must never be trained on as if it were."""
    policy = Policy.load(build_tiny_model(tmp_path / "strip", template="strip_reasoning"))
    for episode in play(policy, AGENTS["whole"]):
        for row in rows_of([episode]):
            whole = [episode.sequence(call) for turn in episode.turns for call in turn.calls]
            assert tuple(row.ids) in whole


sequences = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple)


@given(st.lists(st.tuples(st.booleans(), sequences, sequences), min_size=1, max_size=6))
def test_calls_are_merged_exactly_where_ids_go_on(calls):
    """Whatever the calls, unpacking the rows gives back every answer after its own prompt."""
    writer, sequence, expected = RowWriter(0), (), []
    for turn, (goes_on, new, answer) in enumerate(calls):
        prompt = (*sequence, *new) if goes_on else (9, *new)
        writer.add(turn, prompt, answer, place=100 * turn)
        expected.append((prompt, answer))
        sequence = (*prompt, *answer)
    rows = writer.rows()
    # A prompt that starts with 9 never continues anything but an equal sequence, so rows begin there at the latest.
    assert len(rows) <= 1 + sum(not goes_on for goes_on, _, _ in calls[1:])
    found = []
    for row in rows:
        for turn in range(row.turns[0], row.turns[1] + 1):
            places = np.flatnonzero((row.source >= 100 * turn) & (row.source < 100 * turn + 100))
            found.append((tuple(row.ids[: places[0]]), tuple(row.ids[places])))
    assert found == expected


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 6), st.integers(1, 200))
def test_every_row_is_in_one_part_within_the_budget(lengths, minibatches, budget):
    """A row left out is not trained on; a part over the budget may not fit into memory."""
    lengths = np.array(lengths)
    groups = shuffled(len(lengths), minibatches, np.random.default_rng(0))
    cut = [part for group in groups for part in parts(group, lengths, budget)]
    assert sorted(np.concatenate(cut).tolist()) == list(range(len(lengths)))
    assert all(len(part) * lengths[part].max() <= max(budget, lengths[part].max()) for part in cut)
    assert len(groups) == min(minibatches, len(lengths))
    assert max(map(len, groups)) - min(map(len, groups)) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_no_other_cut_computes_less(seed):
    """One long row among short ones would be the width of all of them: five times the work, as once on questions."""
    generator = np.random.default_rng(seed)
    lengths, budget = np.sort(generator.integers(1, 900, generator.integers(1, 9))), int(generator.integers(500, 4000))

    def cost(cut):
        return sum(len(part) * lengths[part].max() + 512 for part in cut)

    rows = np.arange(len(lengths))
    every = [np.split(rows, at) for number in rows for at in combinations(rows[1:], number)]
    allowed = [cut for cut in every if all(len(part) == 1 or len(part) * lengths[part].max() <= budget for part in cut)]
    found = parts(generator.permutation(rows), lengths, budget)
    assert np.concatenate(found).tolist() == rows.tolist()
    assert cost(found) == min(map(cost, allowed))


def test_sorted_rows_waste_little_padding():
    """Unsorted, rows of 50 to 500 tokens would be padded by more than half."""
    lengths = np.random.default_rng(0).integers(50, 500, 512)
    cut = [part for group in shuffled(512, 4, np.random.default_rng(1)) for part in parts(group, lengths, 8192)]
    padded = sum(len(part) * lengths[part].max() for part in cut)
    assert 1 - lengths.sum() / padded < 0.1


def test_demonstrations_are_the_actions_after_what_the_policy_would_have_seen(policy, tiny_model):
    """A clone of other prompts than those it will be shown learns the wrong game."""
    oracle = []
    tasks = registry.tasks("arena/Maze-v0", "train", 2, 0, {"size": 3})
    asyncio.run(Engine({"agent": build("oracle")}, on_episode=oracle.append).run(map(Job, tasks)))
    for spec in ("chat", "chat:window=1"):
        rows = asyncio.run(demonstrations(oracle, lambda model, spec=spec: build(spec, model), policy.model))
        said = [policy.tokenizer.decode(row.ids[row.trains((PRODUCERS.index("demonstrator"),))]) for row in rows]
        actions = [turn.action for episode in oracle for turn in episode.turns]
        assert "".join(said).split("<|im_end|>")[:-1] == actions
        shown = policy.tokenizer.decode(rows[0].ids)
        assert oracle[0].turns[0].text.strip() in shown
        assert shown.endswith("<|im_end|>")


@pytest.mark.parametrize("adapters", [0, 4])
@pytest.mark.parametrize("spec", AGENTS.values(), ids=AGENTS)
def test_the_trainer_and_the_sampler_agree_on_log_probabilities(tiny_model, spec, adapters):
    """If they differ, the ratio is not 1 before the first update and the gradient is biased."""
    policy = Policy.load(tiny_model, PolicyOptions(lora_rank=adapters))
    agent = build(spec, policy.model)
    rows = rows_of(play(policy, spec))
    batch = batch_of(rows, None, pad=policy.tokenizer.pad_token_id)
    found, entropy = policy.logprobs(batch.ids, batch.attention, batch.mask, agent.sampling.temperature or 1.0)
    assert float(((found.detach() - batch.old_logprob) * batch.mask).abs().max()) < 1e-4
    assert float((entropy * batch.mask).min()) >= 0
    assert float((found.detach() * (1 - batch.mask)).abs().max()) == 0
