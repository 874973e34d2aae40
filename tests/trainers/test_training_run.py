"""A whole training: the command line, checkpoints, resuming after kill -9, guards and bad input."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import babble  # noqa: F401 - registers the environment
import torch
from safetensors.torch import load_file

from arena.cli._app import run as arena
from arena.core.errors import InfrastructureError, UsageError
from arena.records import open_run
from arena.trainers import TurnTable, _checkpoint, grpo
from arena.trainers._config import TrainConfig
from arena.trainers._guards import TrainingDiverged, warnings
from arena.trainers._metrics import TIMED
from arena.trainers._optimiser import Optimiser, OptimiserOptions
from arena.trainers._options import FixedAggregation
from arena.trainers._policy import Policy, PolicyOptions
from arena.trainers._training import Training

SMALL = {
    "algorithm": "gigpo",
    "env": "arena/Maze-v0",
    "params": {"size": 3},
    "max_turns": 4,
    "agent": "chat:window=0,max_tokens=4",
    "steps": 2,
    "tasks": 2,
    "group_size": 2,
    "minibatches": 2,
    "eval_every": 0,
    "checkpoint_every": 1,
    "policy": {"deterministic": True},
}


def config(model, **changed):
    return TrainConfig.read({**SMALL, "model": str(model), **changed})


def train(model, out, **changed):
    with Training.start(config(model, **changed), out) as training:
        training.run()
        return training


def measured(folder):
    """The metrics that do not depend on the clock."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMED} for line in lines]


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def test_two_steps_through_the_command_line(tiny_model, tmp_path, capsys):
    """From a model folder to a model folder that `arena eval` takes, every episode recorded."""
    run = tmp_path / "run"
    words = ["train", "gigpo", "--env", "arena/Maze-v0", "-m", str(tiny_model), "-o", str(run), "--steps", "2"]
    words += ["-a", "chat:window=0,max_tokens=4", "-n", "2", "-g", "2"]
    for setting in ("params.size=3", "max_turns=3", "eval_every=1", "eval_tasks=2", "optimiser.learning_rate=1e-3"):
        words += ["--set", setting]
    assert arena(words) == 0
    said, progress = capsys.readouterr()
    assert progress.startswith(f"loading {tiny_model} and trying arena/Maze-v0 …\n"), "nothing is seen for seconds"
    assert "before" in said
    assert "after step 2" in said
    assert " success on held-out tasks\n 1.00 ┤" in said
    assert f"learning curve     {run / 'curve.png'}" in said
    assert (run / "curve.svg").exists()
    with open_run(run) as opened:
        assert len(opened.rows()) == 2 * 2 * 2
        assert {row.key.step for row in opened.rows()} == {1, 2}
        versions = {call.policy_version for e in opened.episodes() for t in e.turns for call in t.calls}
    assert versions == {"step-0", "step-1"}
    steps = [line["step"] for line in measured(run)]
    assert steps == [0, 1, 2]
    before = load_file(tiny_model / "model.safetensors")
    assert any(not torch.equal(before[name], value) for name, value in weights(run).items())
    evaluation = ["eval", "arena/Maze-v0", "-a", "chat:window=0,max_tokens=2", "-m", str(run / "model"), "-n", "1"]
    assert arena([*evaluation, "--limit", "turns=1", "-o", str(tmp_path / "eval")]) == 0


KILLED = """
import os, signal, sys
import torch
torch.set_num_threads(1)
from arena.trainers import _checkpoint
from arena.trainers._config import TrainConfig
from arena.trainers._training import Training
import json
values, out, moment = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
with Training.start(TrainConfig.read(values), out) as training:
    def die(*unused):
        os.kill(os.getpid(), signal.SIGKILL)
    def progress(text):
        if text.startswith("step 3/") and moment in text:
            die()
    training.on_progress = progress
    if moment == "metrics":
        written = training.metrics.add
        training.metrics.add = lambda line: (written(line), die() if line["step"] == 3 else None)
    if moment == "saving":
        finish = _checkpoint.replace_folder
        _checkpoint.replace_folder = lambda fresh, path: die() if "4" in path.name else finish(fresh, path)
    training.run()
"""


FOUR_STEPS = {"steps": 4, "checkpoint_every": 2, "eval_every": 4, "eval_tasks": 2}


KILLS = [
    *(({}, moment) for moment in ("playing 2/4", "updating", "metrics", "saving")),
    ({"algorithm": "ppo"}, "updating"),
    ({"algorithm": "ppo", "settings": {"critic": "shared", "unit": "token"}}, "saving"),
]


@pytest.fixture(scope="module")
def whole(tiny_model, tmp_path_factory):
    """Runs that nothing interrupted, each played when it is first asked for."""
    played = {}

    def run(changed):
        key = json.dumps(changed)
        if key not in played:
            folder = tmp_path_factory.mktemp("whole") / "run"
            played[key] = train(tiny_model, folder, **FOUR_STEPS, **changed).folder
        return played[key]

    return run


@pytest.mark.parametrize(("changed", "moment"), KILLS)
def test_killed_and_resumed_it_ends_with_the_same_bits(whole, tiny_model, tmp_path, changed, moment):
    """If anything were not restored, weights or metrics would differ from the run that was never stopped."""
    broken, whole = tmp_path / "broken", whole(changed)
    values = json.dumps({**SMALL, "model": str(tiny_model), **FOUR_STEPS, **changed})
    killed = subprocess.run([sys.executable, "-c", KILLED, values, str(broken), moment], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert arena(["train", "--resume", str(broken)]) == 0
    assert measured(broken) == measured(whole)
    left, right = weights(whole), weights(broken)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    for file in whole.glob("critic/**/*.safetensors"):
        left, right = load_file(file), load_file(broken / file.relative_to(whole))
        assert all(torch.equal(left[name], right[name]) for name in left)
    with open_run(whole) as one, open_run(broken) as other:
        assert {row.key for row in one.rows()} == {row.key for row in other.rows()}


def test_adapters_train_and_resume_and_leave_the_weights_alone(tiny_model, tmp_path, monkeypatch):
    """An adapter run that changed the weights below would have lost its reference policy.

    It finds them again from another working folder, also where the model was named by a relative path.
    """
    changed = {"policy": {"deterministic": True, "lora_rank": 2}, "kl": 0.1, "algorithm": "grpo", "steps": 2}
    changed |= {"env": "babble/Babble-v0", "params": {}}
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    training = train(tiny_model, whole, **changed)
    original = load_file(tiny_model / "model.safetensors")
    state = training.policy.network.state_dict()
    below = {name.replace(".base_layer", ""): value for name, value in state.items() if "lora" not in name}
    assert all(torch.equal(below[name], value) for name, value in original.items())
    monkeypatch.chdir(tiny_model.parent)
    with Training.start(config(tiny_model.name, **changed), halves) as first:
        for step in first.steps():
            first.stopping = True
            _one_step(first, step)
    monkeypatch.chdir(tmp_path)
    with Training.resume(halves) as second:
        second.run()
    assert all(torch.equal(weights(whole)[name], value) for name, value in weights(halves).items())
    assert measured(whole) == measured(halves)
    assert 0 <= measured(whole)[0]["kl"] < 1e-4
    assert any(not torch.equal(weights(whole)[name], value) for name, value in original.items())


def _one_step(training, step):
    """The body of grpo's loop."""
    episodes = training.collect(step)
    table = TurnTable.from_episodes(episodes)
    settings = grpo.Config()
    credit = table.on_tokens(grpo.advantages(table, settings))
    with training.updating(step, episodes, credit, table=table) as update:
        for batch in update.batches():
            logprob = update.logprobs(batch)
            counts = {"tokens": batch.tokens, "sequences": batch.sequences}
            total, metrics = grpo.loss(logprob, batch.old_logprob, batch.advantage, batch.mask, settings, **counts)
            update.backward(batch, logprob, total, metrics)
    training.finish(step)


@pytest.mark.parametrize("name", ["grpo", "rloo", "gspo", "opo", "loop", "ppo", "reinforce", "reinforce_pp", "bc"])
def test_every_algorithm_runs_its_own_loop(tiny_model, tmp_path, name):
    """A loop that does not fit its own advantages or loss fails here."""
    changed = {"env": "babble/Babble-v0", "params": {}} if name != "bc" else {}
    training = train(tiny_model, tmp_path / name, algorithm=name, steps=1, **changed)
    (line,) = training.metrics.steps
    assert line["optimiser_steps"] > 0
    assert np.isfinite(line["loss"])
    assert line["grad_norm"] > 0


def test_cloning_an_oracle_makes_its_actions_likely(tiny_model, tmp_path):
    """The warm start of a tiny model: after a few epochs the demonstrated tokens are no surprise."""
    changed = {"algorithm": "bc", "steps": 3, "tasks": 4, "epochs": 3, "optimiser": {"learning_rate": 5e-3}}
    lines = train(tiny_model, tmp_path / "bc", **changed).metrics.steps
    assert lines[0]["demonstrated"] < lines[-1]["demonstrated"]
    assert lines[-1]["demonstrated"] > 0.5


@pytest.mark.parametrize("aggregation", get_args(FixedAggregation))
def test_passes_add_up_to_the_gradient_of_the_whole_minibatch(tiny_model, tmp_path, aggregation):
    """A loss divided by each pass's own tokens, rows or width would weigh short passes more."""
    ends = []
    changed = {"algorithm": "grpo", "env": "babble/Babble-v0", "params": {}, "agent": "chat:max_tokens=4,stop=e"}
    changed |= {"minibatches": 1, "steps": 1, "tasks": 4, "settings": {"aggregation": aggregation}}
    if aggregation == "seq-mean-token-sum-norm":
        changed["settings"] |= {"horizon": 12}
    for number, budget in enumerate((10**6, 60)):
        ends.append(weights(train(tiny_model, tmp_path / str(number), pass_tokens=budget, **changed).folder))
    assert all(torch.allclose(ends[0][name], ends[1][name], atol=2e-5) for name in ends[0])
    before = load_file(tiny_model / "model.safetensors")
    assert any(not torch.allclose(ends[0][name], before[name], atol=2e-5) for name in before)


def test_what_earned_more_becomes_likelier_and_what_earned_less_unlikelier(tiny_model, tmp_path):
    """A sign turned round anywhere between the record and the optimiser would train the opposite."""
    with Training.start(config(tiny_model, minibatches=1), tmp_path / "run") as training:
        step = next(training.steps())
        episodes = training.collect(step)
        table = TurnTable.from_episodes(episodes)
        liked = np.where(table.episode % 2 == 0, 1.0, -1.0)
        with training.updating(step, episodes, table.on_tokens(liked)) as update:
            (batch,) = update.batches()
            before = update.logprobs(batch)
            ratio = (before - batch.old_logprob).exp()
            update.backward(batch, before, -(ratio * batch.advantage).sum() / batch.tokens, {})
            change = (update.logprobs(batch) - before).detach()
    assert change[batch.advantage > 0].mean() > 0
    assert change[batch.advantage < 0].mean() < 0


def test_weights_in_few_bits_do_not_lose_small_updates():
    """1e-4 added to 1 in bfloat16 is 1: without float32 copies nothing would ever be learned."""
    weight = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    optimiser = Optimiser({"weight": weight}, OptimiserOptions(learning_rate=1e-4))
    for _ in range(60):
        weight.grad = torch.ones_like(weight)
        optimiser.accumulate()
        optimiser.step(1e-4)
    assert torch.allclose(weight.float(), torch.full((4,), 1 - 60e-4), atol=5e-3)
    assert (weight < 1).all()


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tiny_model, tmp_path, monkeypatch):
    """A full disk must cost the steps since the last checkpoint, not the run."""
    training = Training.start(config(tiny_model), tmp_path / "run")
    with training:
        full = OSError(28, "No space left on device")
        monkeypatch.setattr(_checkpoint, "replace_folder", lambda *unused: (_ for _ in ()).throw(full))
        with pytest.raises(InfrastructureError, match=r"No space left.*Those before it stand"):
            training.run()
    monkeypatch.undo()
    assert [path.name for path in _checkpoint.checkpoints(tmp_path / "run")] == ["step-000000"]
    assert arena(["train", "--resume", str(tmp_path / "run")]) == 0


def test_a_loss_that_is_no_number_stops_with_the_batch_and_the_turn(tiny_model, tmp_path):
    """Going on would write NaN into every weight."""
    with Training.start(config(tiny_model), tmp_path / "run") as training:
        before = {name: value.clone() for name, value in training.policy.parameters().items()}
        with pytest.raises(TrainingDiverged, match=r"(?s)step 1 is not a number.*turn \d of arena/Maze"):
            _step_with_nan(training)
        assert all(torch.equal(before[name], value) for name, value in training.policy.parameters().items())
    saved = load_file(tmp_path / "run" / "failed" / "step-000001.safetensors")
    assert torch.isnan(saved["advantage"]).any()


def _step_with_nan(training):
    step = next(training.steps())
    episodes = training.collect(step)
    tokens = sum(len(call.prompt_ids.new) + len(call.token_ids) for episode in episodes for call in episode.calls)
    with training.updating(step, episodes, np.full(tokens, np.nan)) as update:
        for batch in update.batches():
            logprob = update.logprobs(batch)
            update.backward(batch, logprob, (logprob * batch.advantage).sum(), {})


def test_trouble_is_said_in_words_once():
    """A run that cannot learn should not take a night to say so."""
    fine = {"success": 0.5, "entropy": 1.0, "tokens_per_turn": 4.0, "advantage_zero": 0.1}
    assert warnings([fine] * 6) == []
    assert "demonstrations" in warnings([{**fine, "success": 0.0}] * 5)[0]
    assert warnings([{**fine, "success": 0.0}] * 6) == []
    collapsed = {**fine, "entropy": 0.01}
    assert "hardly explores" in warnings([fine, fine, collapsed])[0]
    assert warnings([fine, collapsed, collapsed]) == []
    without = {name: value for name, value in fine.items() if name != "entropy"}
    assert warnings([fine, without]) == []
    assert "Answers grew" in warnings([fine, {**fine, "tokens_per_turn": 40.0}])[0]


WRONG = {
    "a group of one": ({"group_size": 1}, r"group_size=1 teaches nothing"),
    "no steps": ({"steps": 0}, r"steps: input should be greater than or equal to 1, not 0"),
    "an unknown setting": ({"settings": {"gama": 1}}, r"no setting 'gama'. Did you mean 'gamma'"),
    "a setting of the wrong kind": ({"settings": {"gamma": "much"}}, r"gamma: input should be a valid number"),
    "an unknown option": ({"stepz": 1}, r"did you mean 'steps'"),
    "an unknown algorithm": ({"algorithm": "gigppo"}, r"Did you mean 'gigpo'"),
    "a prompt that does not fit": ({"policy": {"context": 40}}, r"first prompt of arena/Maze-v0 has \d+ tokens"),
    "an agent without a model": ({"agent": "random"}, r"asks no model"),
    "a cut-off distribution": ({"agent": "chat:top_p=0.9"}, r"top_p=0.9 .* cuts off"),
    "greedy sampling": ({"agent": "chat:temperature=0"}, r"temperature 0"),
    "more tasks than there are": ({"train_tasks": 1}, r"A step has tasks=2 different tasks; train_tasks=1"),
    "a choice there is not": ({"settings": {"singleton": "none"}}, r"singleton"),
    "a similarity that is none": ({"settings": {"similarity": 2.0}}, r"similarity must be in \(0, 1\], not 2.0"),
    "a share that is none": ({"algorithm": "bc", "settings": {"keep": 0}}, r"keep must be in \(0, 1\], not 0"),
    "a discount that grows": ({"settings": {"gamma": 1.5}}, r"gamma must be in \[0, 1\], not 1.5"),
    "a clip below nothing": ({"settings": {"clip_high": -0.1}}, r"clip_high must be in \[0, inf\], not -0.1"),
    "no round of sampling": (
        {"algorithm": "grpo", "settings": {"sampling_rounds": 0}},
        r"sampling_rounds must be whole, 1 or more, not 0",
    ),
    "a number that is none": ({"algorithm": "ppo", "settings": {"lam": float("nan")}}, r"lam must be in \[0, 1\]"),
    "a negative rate": ({"optimiser": {"learning_rate": -1e-4}}, r"optimiser.learning_rate: input should be greater"),
    "a fixed length that is not told": (
        {"algorithm": "grpo", "settings": {"aggregation": "seq-mean-token-sum-norm"}},
        r"give settings.horizon=N",
    ),
    "a fixed length where there is none": (
        {"settings": {"aggregation": "seq-mean-token-sum-norm"}},
        r"aggregation: input should be 'token-mean'",
    ),
    "an estimator of nothing": ({"kl_estimator": "k1"}, r"kl_estimator says how, and kl is not asked for"),
    "two ways of a KL term": ({"kl": 0.1, "kl_in": "reward", "kl_estimator": "k2"}, r"kl_estimator would do nothing"),
    "a KL term in rewards that nobody reads": (
        {"algorithm": "bc", "kl": 0.1, "kl_in": "reward"},
        r"imitates and assigns no credit, so kl_in",
    ),
    "a corridor without a weight": ({"smoothing": {"high": 2.0}}, r"smoothing.high .* give smoothing.weight too"),
    "recorded episodes that nothing learns from": ({"data": {"runs": ("runs/played",)}}, r"data.runs would do nothing"),
}


@pytest.mark.parametrize(("changed", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_work_is_said_before_anything_is_written(tiny_model, tmp_path, changed, said):
    """A mistake found after an hour of sampling costs the hour."""
    with pytest.raises(UsageError, match=said):
        Training.start(config(tiny_model, **changed), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_without_a_chat_template_or_pad_token(tiny_model, tmp_path):
    """Base models have neither; the first is refused, the second has an obvious answer."""
    bare = shutil.copytree(tiny_model, tmp_path / "bare")
    settings = json.loads((bare / "tokenizer_config.json").read_text())
    settings.pop("pad_token")
    (bare / "tokenizer_config.json").write_text(json.dumps(settings))
    assert Policy.load(bare).tokenizer.pad_token_id is not None
    told = []
    with Training.start(config(bare, steps=1), tmp_path / "unpadded") as training:
        training.on_notice = told.append
        training.run()
    assert any("no pad token" in notice and "tokenizer_config.json" in notice for notice in told)
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(UsageError, match="no chat template"):
        Training.start(config(bare), tmp_path / "run")


def test_resuming_what_is_no_training(tiny_model, tmp_path, capsys):
    """The message must say which command completes it instead."""
    out = str(tmp_path / "eval")
    assert arena(["eval", "arena/Maze-v0", "-a", "random", "-n", "1", "-o", out]) == 0
    assert arena(["train", "--resume", out]) == 2
    assert "is no training run" in capsys.readouterr().err


def test_gradient_checkpointing_changes_no_number(tiny_model):
    """Only memory and time may differ."""
    found = []
    for checkpointing in (False, True):
        policy = Policy.load(tiny_model, PolicyOptions(gradient_checkpointing=checkpointing))
        ids = torch.arange(40).reshape(2, 20)
        mask = torch.zeros(2, 20)
        mask[:, 5:] = 1
        with policy.updating("step-1"):
            values, _ = policy.logprobs(ids, torch.ones_like(ids), mask)
            values.sum().backward()
        found.append((values.detach(), next(iter(policy.parameters().values())).grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.allclose(found[0][1], found[1][1], atol=1e-5)
