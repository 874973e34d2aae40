"""ArCHer as a run: from recorded episodes, from its own, killed and resumed; and what it says of bad input."""

from __future__ import annotations

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

from arena.agents.models._weights import load_tokenizer
from arena.agents.models.critic import Critic
from arena.agents.models.critic_scores import CriticScores
from arena.agents.models.tiny import build_tiny_model
from arena.cli._app import run as arena
from arena.core.errors import UsageError
from arena.evaluation import evaluate
from arena.records import open_run
from arena.records.buffer_reader import BufferReader
from arena.trainers._config import TrainConfig
from arena.trainers._metrics import TIMED
from arena.trainers._table import DEMONSTRATOR, POLICY
from arena.trainers._training import Training

ENV = "arena/KeyDoor-v0"
SMALL = {
    "algorithm": "archer",
    "env": ENV,
    "params": {"length": 1, "branching": 0, "keys": 1},
    "max_turns": 4,
    "agent": "chat:window=0,system=nothing.j2,user=observation.j2,max_tokens=4",
    "steps": 2,
    "tasks": 2,
    "group_size": 2,
    "minibatches": 2,
    "eval_every": 0,
    "checkpoint_every": 1,
    "policy": {"deterministic": True},
    "settings": {
        "critic_updates": 2,
        "critic_batch": 4,
        "actor_batch": 2,
        "critic": "small:hidden=16,layers=1,heads=2",
    },
}


def config(model, settings=None, **changed):
    told = {**SMALL, **changed, "model": str(model)}
    return {**told, "settings": {**({} if told["algorithm"] != "archer" else SMALL["settings"]), **(settings or {})}}


def train(out, told):
    with Training.start(TrainConfig.read(told), out) as training:
        training.run()
        return plain(training.metrics.lines)


def plain(lines):
    return [{name: value for name, value in line.items() if name not in TIMED} for line in lines]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Runs of an oracle, which earns, and of an agent that does nothing."""
    folder = tmp_path_factory.mktemp("recorded")
    for agent in ("oracle", "random", "idle"):
        evaluate(ENV, agent, tasks=6, params=SMALL["params"], max_turns=4, out=folder / agent)
    evaluate(ENV, "oracle", tasks=1, params=SMALL["params"], out=folder / "one")
    return folder


def test_recorded_episodes_alone_train_critic_and_actor(tiny_model, recorded, tmp_path):
    """Without playing: imitation first, then the critic alone, then the actor; and the critic stands alone."""
    data = {"runs": [str(recorded / "oracle"), str(recorded / "random")]}
    changed = {
        "bc_steps": 1,
        "critic_warmup": 1,
        "baseline": True,
        "samples": 2,
        "clip": 0.2,
        "critic_loss": "hl_gauss",
    }
    lines = train(tmp_path / "run", config(tiny_model, changed, data=data, steps=3))
    assert ["demonstrated" in line for line in lines] == [True, False, False]
    assert ["advantage_std" in line for line in lines] == [False, False, True]
    assert not any("episodes" in line for line in lines), "nothing was played"
    with open_run(tmp_path / "run") as run:
        assert not run.rows()
    assert len(BufferReader(tmp_path / "run" / "replay")) == sum(
        row.turns for name in ("oracle", "random") for row in open_run(recorded / name).rows()
    )
    critic = Critic.load(tmp_path / "run" / "critic")
    assert set(critic.heads) == {"q1", "q2", "v1", "v2", "baseline"}


def test_offline_to_online_plays_from_the_step_it_is_told(tiny_model, recorded, tmp_path):
    data = {"runs": [str(recorded / "oracle"), str(recorded / "random")]}
    lines = train(tmp_path / "run", config(tiny_model, {"play_from": 2, "critic_window": 2}, data=data))
    assert ["episodes" in line for line in lines] == [False, True]
    reader = BufferReader(tmp_path / "run" / "replay")
    producer, version = (reader.scalar(name, np.arange(len(reader))) for name in ("producer", "version"))
    assert set(producer.tolist()) == {POLICY, DEMONSTRATOR}
    assert (version[producer == DEMONSTRATOR] == -1).all()
    assert (version[producer == POLICY] == 1).all(), "what the policy played in the second step, after one update"


def test_the_policys_own_trunk_may_be_read_but_not_moved(tiny_model, recorded, tmp_path):
    data = {"runs": [str(recorded / "oracle"), str(recorded / "random")]}
    lines = train(tmp_path / "run", config(tiny_model, {"critic": "head"}, data=data, steps=1))
    assert lines[0]["critic_q1"] > 0
    with pytest.raises(UsageError, match="take critic=head to read it as it is"):
        train(tmp_path / "shared", config(tiny_model, {"critic": "shared"}))


def test_a_published_critic_is_asked_about_answers_as_it_was_trained_on_them(tiny_model, recorded, tmp_path):
    """With and without the end of the turn: an answer that the agent's limit ends never says it."""
    actions = []
    for name in ("oracle", "random"):
        with open_run(recorded / name) as run:
            actions += [turn.action for episode in run.episodes() for turn in episode.turns]
    tokenizer = load_tokenizer(str(tiny_model))
    limit = len(tokenizer.encode(actions[0], add_special_tokens=False))
    agent = f"chat:window=0,system=nothing.j2,user=observation.j2,max_tokens={limit}"
    data = {"runs": [str(recorded / "oracle"), str(recorded / "random")]}
    train(tmp_path / "run", config(tiny_model, data=data, steps=1, agent=agent))
    reader = BufferReader(tmp_path / "run" / "replay")
    trained = [tuple(ids.tolist()) for ids in reader.sequences("answer", np.arange(len(reader)))]
    judge = CriticScores.load(str(tmp_path / "run"))
    assert sorted(tuple(judge._whole(judge._ids(action))) for action in actions) == sorted(trained)
    assert len({ids[-1] == judge._end for ids in trained}) == 2, "some of either kind"


def test_offline_archer_imitates_by_advantage(tiny_model, recorded, tmp_path, capsys):
    command = ["train", "offline-archer", "--env", ENV, "-m", str(tiny_model), "-a", SMALL["agent"], "--steps", "1"]
    data = ["--data", str(recorded / "oracle"), str(recorded / "random"), "-o", str(tmp_path / "run")]
    small = ["params.length=1", "params.branching=0", "params.keys=1", "max_turns=4", "minibatches=2", "eval_every=0"]
    own = ["settings.critic_updates=2", "settings.critic_batch=4", "settings.actor_batch=4"]
    told = [part for setting in (*small, *own) for part in ("--set", setting)]
    assert arena([*command, *data, *told]) == 0, capsys.readouterr().err
    assert (tmp_path / "run" / "model" / "config.json").exists()
    assert (tmp_path / "run" / "critic" / "config.json").exists()


KILLED = """
import os, signal, sys, torch
from arena.trainers._training import Training
from arena.trainers._config import TrainConfig
import json
torch.set_num_threads(1)
told, out = json.loads(sys.argv[1]), sys.argv[2]
with Training.start(TrainConfig.read(told), out) as training:
    at_work = lambda text: "updating" in text and training.done == 1
    training.on_progress = lambda text: at_work(text) and os.kill(os.getpid(), signal.SIGKILL)
    training.run()
"""


def test_a_run_killed_in_a_step_goes_on_with_the_same_numbers(tiny_model, tmp_path):
    """Killed when the second step's turns were in the buffer already: they count no more, nothing else is lost."""
    import json

    told = config(tiny_model)
    whole = train(tmp_path / "whole", told)
    killed = subprocess.run([sys.executable, "-c", KILLED, json.dumps(told), str(tmp_path / "killed")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(BufferReader(tmp_path / "killed" / "replay")) == len(BufferReader(tmp_path / "whole" / "replay"))
    with Training.resume(tmp_path / "killed") as training:
        assert training.done == 1
        training.run()
        assert plain(training.metrics.lines) == whole
    for part in ("model/model.safetensors", "critic/heads.safetensors", "critic/encoder/model.safetensors"):
        one, other = (load_file(tmp_path / name / part) for name in ("whole", "killed"))
        assert all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize(
    ("runs", "settings", "reason"),
    [
        (("idle",), {}, "The data has no rewards at all, so archer cannot tell better actions from worse"),
        (("oracle",), {}, "The data has the same return"),
        (("one",), {}, "archer compares episodes, and the data has one"),
        ((), {"play_from": 3}, "play_from=3 leaves nothing to learn from before: name runs with --data RUN"),
        (("oracle", "random"), {"critic_loss": "hl_gauss", "high": 0.5}, "set settings.low and settings.high"),
    ],
)
def test_what_cannot_be_learned_from_is_said(tiny_model, recorded, runs, settings, reason):
    data = {"runs": [str(recorded / name) for name in runs]}
    out = recorded / f"refused-{len(runs)}-{'-'.join(settings)}-{'-'.join(runs)}"
    with pytest.raises(UsageError) as told:
        train(out, config(tiny_model, settings, data=data))
    assert reason in str(told.value)


def test_a_critic_with_another_tokenizer_is_refused(tiny_model, tmp_path):
    other = build_tiny_model(tmp_path / "other", vocabulary=300)
    with pytest.raises(UsageError, match="has another tokenizer than the policy"):
        train(tmp_path / "run", config(tiny_model, {"critic": str(other)}))


def test_a_run_goes_on_with_the_critic_of_another_run_and_says_where_one_does_not_fit(tiny_model, recorded, tmp_path):
    """Named by the run, as for `arena eval --critic RUN`; a critic of tokens has other heads than one of turns."""
    data = {"runs": [str(recorded / "oracle"), str(recorded / "random")]}
    train(tmp_path / "run", config(tiny_model, data=data, steps=1))
    before = load_file(tmp_path / "run" / "critic" / "heads.safetensors")
    with Training.start(
        TrainConfig.read(config(tiny_model, {"critic": str(tmp_path / "run")}, data=data)), tmp_path / "next"
    ) as training:
        heads = training.parts["critic"].fit.critic.heads.state_dict()
    assert all(torch.equal(value, heads[name]) for name, value in before.items())
    few = {"critic": str(tmp_path / "run")}
    with pytest.raises(
        UsageError, match=r"needs a scalar for each of \d+ tokens \(1 hidden layer\) there: go on with one"
    ):
        train(tmp_path / "ilql", config(tiny_model, few, data=data, algorithm="ilql"))
    with pytest.raises(
        UsageError, match="There is no critic 'smal': copy, shared, head, small, or the folder of a run"
    ):
        train(tmp_path / "typo", config(tiny_model, {"critic": "smal"}, data=data))


def test_turns_longer_than_the_encoder_are_named(tiny_model, recorded, tmp_path: Path):
    """The first prompt fits and later ones do not, as the conversation grows."""
    data = {"runs": [str(recorded / "oracle"), str(recorded / "random")]}
    short = {"deterministic": True, "context": 120}
    growing = "chat:system=nothing.j2,max_tokens=4"
    with pytest.raises(UsageError, match=r"the encoder takes 120\. Give the agent a window"):
        train(tmp_path / "run", config(tiny_model, data=data, policy=short, agent=growing))
