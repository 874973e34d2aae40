"""Whole trainings from recorded episodes: what is read, what is learned from it, killed and resumed, and refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from safetensors.torch import load_file

from arena.agents import build
from arena.agents.models.critic_heads import HeadOptions
from arena.cli._app import run as arena
from arena.core.errors import UsageError
from arena.evaluation import evaluate
from arena.records import open_run
from arena.records.buffer_reader import BufferReader
from arena.trainers import TurnTable, bc, dmpo
from arena.trainers._batch import batch_of
from arena.trainers._config import TrainConfig
from arena.trainers._critic import Fit
from arena.trainers._critic_choice import make_critic
from arena.trainers._demonstrations import Demonstrator
from arena.trainers._policy import Policy
from arena.trainers._recorded import recorded
from arena.trainers._table import DEMONSTRATOR
from arena.trainers._training import Training

ENV = "arena/KeyDoor-v0"
WINDOW = "chat:window=0,max_tokens=4,system=nothing.j2,user=observation.j2"
OFFLINE = ("awr", "ilql", "mc", "dmpo", "a_lol", "digirl")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Four tasks played by an oracle, the same by a random agent, and by one that does nothing."""
    folder = tmp_path_factory.mktemp("recorded")
    for agent in ("oracle", "random", "idle"):
        evaluate(ENV, agent, tasks=4, max_turns=16, out=folder / agent)
    evaluate(ENV, "oracle", tasks=1, out=folder / "one")
    evaluate(ENV, "oracle", tasks=4, max_turns=1, params={"length": 1, "branching": 0}, out=folder / "short")
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def policy(tiny_model):
    return Policy.load(tiny_model)


def episodes_of(runs, *names):
    return [episode for name in names for episode in open_run(runs[name]).episodes()]


def read(runs, policy, agent=WINDOW, names=("oracle", "random")):
    episodes = episodes_of(runs, *names)
    return recorded(episodes, TurnTable.from_episodes(episodes), lambda model: build(agent, model), policy.model)


def values(model, runs, algorithm, **changed):
    """A training of two steps that takes milliseconds."""
    few = {"batch": 3}
    if algorithm in ("awr", "a_lol", "digirl"):
        few |= {"critic_warmup": 1}
    if algorithm != "dmpo":
        few |= {"critic": "small:hidden=16,layers=1,heads=2"}
    return {
        "algorithm": algorithm,
        "env": ENV,
        "model": str(model),
        "agent": WINDOW,
        "data": {"runs": [str(runs[name]) for name in ("oracle", "random")]},
        "steps": 2,
        "minibatches": 2,
        "eval_every": 0,
        "checkpoint_every": 1,
        "settings": few,
        "policy": {"deterministic": True},
        **changed,
    }


@pytest.mark.parametrize("agent", [WINDOW, "chat:max_tokens=4"])
def test_the_answers_are_the_recorded_actions_in_the_policys_tokens(runs, policy, agent):
    """One number too few or too many, and each reward would go to a neighbour's token."""
    data = read(runs, policy, agent)
    table, decode = data.table, policy.model.load().encoder.decode
    assert table.token_reward.sum() == pytest.approx(table.reward.sum())
    said = {}
    for row in data.rows:
        for source, token in zip(row.source, row.ids, strict=True):
            if source >= 0:
                assert said.setdefault(int(source), int(token)) == token
        assert (row.producer[row.source >= 0] == DEMONSTRATOR).all()
    assert sorted(said) == list(range(len(data.turn_of_token)))
    actions = [turn.action for episode in data.episodes for turn in episode.turns]
    for turn, action in enumerate(actions):
        begin, end = table.token_offsets[turn], table.token_offsets[turn + 1]
        assert decode([said[place] for place in range(begin, end)]) == action
    cut = [not episode.turns[-1].terminated for episode in data.episodes]
    assert [bool(final) for final in data.finals] == cut
    assert any(cut)


def test_all_episodes_come_once_before_one_comes_again(runs, policy):
    data = read(runs, policy)
    drawn = [number for step in range(1, 5) for number in data.draw(2, step, seed=7)[0]]
    assert sorted(drawn) == list(range(8))
    assert data.draw(3, 2, seed=7)[0] == data.draw(3, 2, seed=7)[0]
    chosen, rows = data.draw(3, 1, seed=7)
    assert {row.episode for row in rows} == set(chosen)


@pytest.mark.parametrize("head", ["v", "q"])
def test_a_critic_never_sees_the_future(runs, policy, head):
    """Changing all that comes after a token changes no value at it or before it."""
    data = read(runs, policy, "chat:max_tokens=4")
    width = policy.network.get_output_embeddings().weight.shape[0]
    heads = {"v": HeadOptions(layers=1), "q": HeadOptions(outputs=width, layers=1)}
    critic, _ = make_critic("small:hidden=16,layers=1,heads=2", policy, heads)
    for each in critic.heads.values():
        each.last.weight.data.normal_(0.0, 0.3, generator=torch.Generator().manual_seed(1))
    fit, number = Fit(critic, policy), len(data.turn_of_token)
    row = max(data.rows, key=len)
    here = np.flatnonzero(row.source >= 0)
    cut = here[len(here) // 2]
    other = row.ids.copy()
    other[cut + 1 :] = np.random.default_rng(0).permutation(other[cut + 1 :])
    assert (other != row.ids).any()
    changed = type(row)(other, row.producer, row.logprob, row.source, row.episode, row.turns, row.versions)
    one, two = (fit.before([some], number, 4096, head)[row.source[here]] for some in (row, changed))
    known = here <= cut
    np.testing.assert_allclose(one[known], two[known], atol=1e-6)
    assert np.abs(one[~known] - two[~known]).max() > 1e-6


def test_values_are_read_where_the_batch_trains_them(runs, policy):
    """What is fitted and what is bootstrapped from would otherwise be of different tokens."""
    data = read(runs, policy)
    width = policy.network.get_output_embeddings().weight.shape[0]
    critic, _ = make_critic("small:hidden=16,layers=1,heads=2", policy, {"q": HeadOptions(outputs=width)})
    critic.heads["q"].last.weight.data.normal_(0.0, 0.3, generator=torch.Generator().manual_seed(1))
    fit, rows = Fit(critic, policy), data.rows[:5]
    columns = {"returns": np.arange(len(data.turn_of_token), dtype=float)}
    batch = batch_of(rows, None, pad=0, producers=(DEMONSTRATOR,), columns=columns)
    where = batch.columns["returns"].isfinite()
    with torch.no_grad():
        q = critic.heads["q"].value(critic.heads["q"](fit.states(batch, where)))
        taken = q.gather(-1, batch.ids[where][:, None])[:, 0]
    before = fit.before(rows, len(columns["returns"]), 512, "q")
    np.testing.assert_allclose(taken, before[batch.columns["returns"][where].long()], atol=1e-5)
    assert torch.equal(where, batch.mask.bool())


@pytest.mark.parametrize("algorithm", OFFLINE)
def test_a_training_learns_and_leaves_what_can_be_played(algorithm, tiny_model, runs, tmp_path):
    """The losses are finite; what should move moves and what should stay stays, to the bit."""
    with Training.start(TrainConfig.read(values(tiny_model, runs, algorithm)), tmp_path / "run") as training:
        training.run()
        lines = training.metrics.steps
    assert len(lines) == 2
    assert all(np.isfinite(value) for line in lines for value in line.values() if isinstance(value, float))
    began, ended = (load_file(folder / "model.safetensors") for folder in (tiny_model, tmp_path / "run" / "model"))
    moved = any(not torch.equal(began[name], ended[name]) for name in began)
    assert moved == (algorithm not in ("ilql", "mc"))
    assert (tmp_path / "run" / "critic" / "heads.safetensors").exists() == (algorithm != "dmpo")


KILLED = """
import json, os, signal, sys
from arena.trainers._config import TrainConfig
from arena.trainers._training import Training
with Training.start(TrainConfig.read(json.loads(sys.argv[1])), sys.argv[2]) as training:
    written = training.metrics.add
    training.metrics.add = lambda line: (written(line), line["step"] == 2 and os.kill(os.getpid(), signal.SIGKILL))
    training.run()
"""


@pytest.mark.parametrize("algorithm", ["ilql", "digirl"])
def test_killed_and_resumed_it_ends_with_the_same_bits(algorithm, tiny_model, runs, tmp_path):
    """Weights, critic, targets, optimisers and the order of the episodes are all as in a run that was never stopped."""
    told, whole, broken = values(tiny_model, runs, algorithm, steps=3), tmp_path / "whole", tmp_path / "broken"
    with Training.start(TrainConfig.read(told), whole) as training:
        training.run()
    killed = subprocess.run([sys.executable, "-c", KILLED, json.dumps(told), str(broken)], check=False, timeout=200)
    assert killed.returncode == -signal.SIGKILL
    with Training.resume(broken) as training:
        training.run()
    for file in (*whole.glob("model/*.safetensors"), *whole.glob("checkpoints/step-000003/critic/**/*.safetensors")):
        left, right = load_file(file), load_file(broken / file.relative_to(whole))
        assert left.keys() == right.keys()
        assert all(torch.equal(left[name], right[name]) for name in left), file.name


def test_pairs_are_of_one_task_and_the_best_meets_the_worst(runs):
    episodes = episodes_of(runs, "oracle", "random", "idle")
    found = dmpo.pairs(episodes)
    assert len(found) == 4
    for better, worse in found:
        assert episodes[better].task == episodes[worse].task
        assert episodes[better].total_reward > episodes[worse].total_reward
    assert len(dmpo.pairs(episodes, margin=100.0)) == 0
    with pytest.raises(UsageError, match="so there are no pairs"):
        dmpo.check(episodes_of(runs, "oracle"), 0.0)


def test_cloning_keeps_to_both_thresholds(runs):
    episodes = episodes_of(runs, "oracle", "idle")
    assert len(bc.best(episodes, bc.Config(threshold=0.5))) == 4
    assert len(bc.best(episodes, bc.Config(keep=0.25, threshold=0.5))) == 2
    assert len(bc.best(episodes, bc.Config(threshold=0.0))) == 8
    with pytest.raises(UsageError, match="The highest return is"):
        bc.best(episodes, bc.Config(threshold=9.0))


SMALL = {"critic": "small:hidden=16,layers=1,heads=2"}
FEW = SMALL | {"critic_updates": 1, "critic_batch": 2, "actor_batch": 2}


@pytest.mark.parametrize(("algorithm", "settings"), [("bc", {}), ("mc", SMALL), ("offline_archer", FEW)])
def test_damaged_records_are_left_out_and_named(runs, tiny_model, tmp_path, algorithm, settings):
    evaluate(ENV, "oracle", tasks=6, out=tmp_path / "hurt")
    shard, row = next((tmp_path / "hurt" / "episodes").iterdir()), open_run(tmp_path / "hurt").rows()[3]
    content = bytearray(shard.read_bytes())
    content[row.offset + row.length // 2] ^= 0xFF
    shard.write_bytes(bytes(content))
    told = values(tiny_model, {**runs, "oracle": tmp_path / "hurt"}, algorithm, steps=1, settings=settings)
    said = []
    with Training.start(TrainConfig.read(told), tmp_path / "run") as training:
        training.on_notice = said.append
        training.run()
    assert any(line.startswith("left out: ") and str(row.offset) in line for line in said)


def test_what_cannot_be_learned_from_is_refused_in_a_sentence(runs, tiny_model, tmp_path, capsys):
    """Before anything is written."""
    cases = [
        ("awr", ["idle"], [], "no rewards at all"),
        ("ilql", ["oracle"], [], "the same return"),
        ("mc", ["one"], [], "compares episodes, and the data has one"),
        ("digirl", ["idle", "random"], ["data.success=false"], "no rewards at all"),
        ("dmpo", [], [], "learns from recorded episodes: name runs with --data"),
        ("ilql", ["oracle", "random"], ["settings.critic=shared"], "reads the policy's trunk"),
        ("mc", ["oracle", "random"], ["settings.gama=1"], "Did you mean 'gamma'"),
        ("awr", ["oracle", "random"], ["sampler=tokens:x@http://127.0.0.1:9"], "plays no episodes, so sampler"),
    ]
    for algorithm, names, settings, reason in cases:
        words = ["train", algorithm, "--env", ENV, "-m", tiny_model, "-a", WINDOW, "--steps", 1, "-o", tmp_path / "run"]
        words += ["--data", *(runs[name] for name in names)] if names else []
        words += [word for setting in settings for word in ("--set", setting)]
        assert arena([str(word) for word in words]) == 2, reason
        assert reason in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "run").exists()


def test_what_is_found_out_when_the_data_is_read_leaves_no_half_made_run(runs, tiny_model, tmp_path, capsys):
    """The corrected command would be refused, since its folder holds a run already."""
    whole = "chat:max_tokens=4,system=nothing.j2"
    cases = [
        ("archer", ["idle"], WINDOW, ["settings.critic_updates=1"], "The data has no rewards at all, so archer"),
        ("dmpo", ["oracle", "short"], WINDOW, [], "so there are no pairs"),
        ("bc", ["oracle"], whole, ["policy.context=120", "eval_every=5", "eval_tasks=2"], "this model takes 120"),
        ("awr", ["oracle", "random"], whole, ["policy.context=120"], "the model takes 120. Give the agent a window"),
        ("archer", ["oracle", "random"], whole, ["policy.context=120"], "the encoder takes 120. Give the agent a"),
        ("offline_archer", ["oracle", "random"], whole, ["policy.context=120"], "the encoder takes 120"),
    ]
    for algorithm, names, agent, settings, reason in cases:
        words = ["train", algorithm, "--env", ENV, "-m", tiny_model, "-a", agent, "--steps", 1, "-o", tmp_path / "run"]
        words += ["--data", *(runs[name] for name in names), "--set", "eval_every=0"]
        words += [word for setting in settings for word in ("--set", setting)]
        assert arena([str(word) for word in words]) == 2, reason
        assert reason in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "run").exists(), algorithm
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    assert arena([str(word) for word in words]) == 2
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("agent", [WINDOW, "chat:max_tokens=4", "react:max_tokens=12,retries=0"])
def test_answers_that_this_model_gave_keep_their_ids(tiny_model, policy, tmp_path, agent):
    """Written anew from their text they would be other ids than were sampled, and a thought would be lost."""
    evaluate(ENV, agent, f"hf:{tiny_model}", tasks=3, max_turns=5, out=tmp_path / "own")
    with open_run(tmp_path / "own") as run:
        episodes = list(run.episodes())
    make = lambda model: build(agent, model)  # noqa: E731
    data = recorded(episodes, TurnTable.from_episodes(episodes), make, policy.model)
    said = {int(place): int(token) for row in data.rows for place, token in zip(row.source, row.ids, strict=True)}
    sampled = [call.token_ids for episode in episodes for call in episode.calls]
    offsets = data.table.token_offsets
    found = [tuple(said[place] for place in range(*offsets[turn : turn + 2])) for turn in range(len(data.table))]
    assert found == sampled
    anew = [tuple(policy.tokenizer.encode(turn.action)) for episode in episodes for turn in episode.turns]
    assert any(one[: len(other)] != other for one, other in zip(found, anew, strict=True)), "nothing to tell apart"
    assert all((row.producer[row.source >= 0] == DEMONSTRATOR).all() for row in data.rows)


@pytest.mark.parametrize("algorithm", ["bc", "awr", "archer"])
def test_recorded_answers_are_written_once_and_the_record_says_whose_they_are(
    algorithm, tiny_model, runs, tmp_path, monkeypatch
):
    """Whoever reads the run must be able to tell what was imitated from what the policy said itself."""
    written = []
    answer = Demonstrator.complete

    async def counted(self, *told, **more):
        written.append(self.answer.text)
        return await answer(self, *told, **more)

    monkeypatch.setattr(Demonstrator, "complete", counted)
    settings = {"bc": {}, "awr": SMALL, "archer": FEW}[algorithm]
    told = values(tiny_model, runs, algorithm, steps=3, minibatches=1, settings=settings)
    with Training.start(TrainConfig.read(told), tmp_path / "run") as training:
        training.run()
    episodes = episodes_of(runs, "oracle", "random")
    turns = sum(len(episode.turns) for episode in episodes)
    cut = sum(not episode.turns[-1].terminated for episode in episodes) if algorithm != "bc" else 0
    assert len(written) == turns + cut, "one answer a turn, and one to read what a cut-off episode would go on with"
    log = (tmp_path / "run" / "log.txt").read_text()
    assert f"{turns} recorded answers are written as the policy gives its own: " in log
    assert log.rstrip().endswith("tokens, marked demonstrator")
    if algorithm == "archer":
        reader = BufferReader(tmp_path / "run" / "replay")
        assert (reader.scalar("producer", np.arange(len(reader))) == DEMONSTRATOR).all()


def test_turns_longer_than_the_model_are_named(runs, tiny_model):
    short = Policy.load(tiny_model, type(Policy.load(tiny_model).options)(context=24))
    with pytest.raises(UsageError, match=r"Turn \d+ of .* tokens with what comes before it, and the model takes 24"):
        read(runs, short, "chat:max_tokens=4")
