"""Options act in the loop, with every algorithm: each is seen in what a step trains on, and survives a resume."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import babble  # noqa: F401 - registers the environment
import flaky
import torch
from safetensors.torch import load_file

from arena.core.errors import ArenaError
from arena.trainers import _checkpoint
from arena.trainers._config import TrainConfig
from arena.trainers._metrics import TIMED
from arena.trainers._training import Training

SMALL = {
    "algorithm": "grpo",
    "env": "babble/Babble-v0",
    "agent": "chat:window=0,max_tokens=3",
    "steps": 1,
    "tasks": 2,
    "group_size": 2,
    "minibatches": 1,
    "eval_every": 0,
    "checkpoint_every": 1,
    "optimiser": {"learning_rate": 1e-3},
    "policy": {"deterministic": True},
}


@pytest.fixture(autouse=True)
def _nothing_played():
    flaky.PLAYED.clear()
    flaky.BROKEN.clear()


def config(model, **changed):
    return TrainConfig.read({**SMALL, "model": str(model), **changed})


def trained(model, out, **changed):
    """A run; returns the metrics of its steps and the weights it ended with."""
    with Training.start(config(model, **changed), out) as training:
        training.run()
    return training.metrics.steps, load_file(out / "model" / "model.safetensors")


def differ(one, other):
    return any(not torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def weights_without(tiny_model, tmp_path_factory):
    """The weights after a run without the options at hand; each such run is played once."""
    found = {}

    def weights(**changed):
        key = json.dumps(changed, sort_keys=True)
        if key not in found:
            flaky.PLAYED.clear()
            found[key] = trained(tiny_model, tmp_path_factory.mktemp("without") / "run", **changed)[1]
        return found[key]

    return weights


UNEVEN = {"agent": "chat:window=0,max_tokens=6,stop=e"}
FLAKY = {"env": "flaky/Flaky-v0", "concurrency": 1}
ACTING = {
    "clip-higher": {"epochs": 3, "settings": {"clip_low": 1e-4, "clip_high": 2e-4}},
    "the overlong penalty": {**UNEVEN, "settings": {"overlong_limit": 4, "overlong_buffer": 3}},
    "the loss per sequence": {**UNEVEN, "settings": {"aggregation": "seq-mean-token-mean"}},
    "an invalid-action penalty": {**FLAKY, "shaping": {"invalid_penalty": 0.3}},
    "a format penalty": {"agent": "react:window=0,max_tokens=3", "shaping": {"format_penalty": 0.3}},
    "a gate": {**FLAKY, "shaping": {"gate": 0.5}},
    "normalised rewards": {"settings": {"scale": "none"}, "shaping": {"normalise": "mean_std"}},
    "an entropy bonus": {"entropy_bonus": 0.1},
    "a KL term": {"epochs": 2, "kl": 10.0},
}
WITHOUT = {"shaping": {}, "settings": {}, "entropy_bonus": 0.0, "kl": 0.0}


@pytest.mark.parametrize("changed", ACTING.values(), ids=ACTING)
def test_an_option_changes_what_is_learned(tiny_model, tmp_path, weights_without, changed):
    """Validated and then forgotten, an option would leave the weights as they were without it."""
    scale = {"scale": "none"} if "scale" in changed.get("settings", {}) else {}
    penalised = {name: value for name, value in changed.items() if name not in WITHOUT}
    if "invalid_penalty" in changed.get("shaping", {}) or "format_penalty" in changed.get("shaping", {}):
        # The same penalty on all of a group would leave with the group's mean, so turns are compared.
        changed, penalised = ({**one, "algorithm": "reinforce"} for one in (changed, penalised))
    _, with_it = trained(tiny_model, tmp_path / "with", **changed)
    assert differ(with_it, weights_without(**penalised, **({"settings": scale} if scale else {})))


@pytest.mark.parametrize("name", ["gigpo", "rloo", "gspo", "opo", "loop", "reinforce", "reinforce_pp"])
def test_shaping_reaches_every_algorithm(tiny_model, tmp_path, name):
    """A loop that builds its table past `training.table` would ignore all of it."""
    shaping = {"gate": 0.1, "keep_groups": 0.5}
    changed = {**FLAKY, "algorithm": name, "shaping": shaping}
    with Training.start(config(tiny_model, **changed), tmp_path / "run") as training:
        seen = []
        original = training.table
        training.table = lambda episodes: seen.append(original(episodes)) or seen[-1]
        training.run()
    (table,) = seen
    assert table.scored.sum() == len(table) / 2
    gated = table.trajectory_return[table.trajectory_scored]
    assert sorted(set(gated.tolist())) == [0.0, 1.5]
    assert training.metrics.steps[0]["rows"] == len(table) / 2


def test_penalties_fall_on_the_turns_that_earned_them(tiny_model, tmp_path):
    changed = {**FLAKY, "agent": "react:window=0,max_tokens=3,retries=0"}
    changed |= {"shaping": {"invalid_penalty": 0.5, "format_penalty": 1.0}}
    with Training.start(config(tiny_model, **changed), tmp_path / "run") as training:
        table = training.table(training.collect(next(training.steps())))
    first = table.trajectories.starts
    assert table.reward[first].tolist() == [0.25 - 1.0] * 4
    assert table.reward[first + 1].tolist() == [0.25 - 0.5 - 1.0] * 4


def test_dynamic_sampling_in_the_loop(tiny_model, tmp_path):
    """Tasks whose episodes earn alike are replaced within the step, and each step says how many."""
    changed = {**FLAKY, "params": {"levels": [1]}, "settings": {"dynamic_sampling": True, "sampling_rounds": 2}}
    (line,), _ = trained(tiny_model, tmp_path / "alike", **changed)
    assert (line["sampling_rounds"], line["episodes"], line["groups"]) == (2, 8, 4)
    changed["params"] = {}
    flaky.PLAYED.clear()
    (line,), _ = trained(tiny_model, tmp_path / "different", **changed)
    assert (line["sampling_rounds"], line["episodes"], line["groups_dropped"]) == (1, 4, 0)


@pytest.mark.parametrize("form", ["hinge", "constant"])
def test_entropy_smoothing(tiny_model, tmp_path, weights_without, form):
    """The hinge trains; the reference's constant has no gradient, so weights are those of the bonus alone."""
    common = {"entropy_bonus": 0.5, "steps": 2, "optimiser": {"learning_rate": 1e-2}}
    narrow = {"weight": 5.0, "low": 1.1, "high": 1.2, "form": form}
    lines, smoothed = trained(tiny_model, tmp_path / "smoothed", **common, smoothing=narrow)
    assert lines[0]["entropy_penalty"] == 0
    assert lines[1]["entropy_penalty"] > 0
    assert differ(smoothed, weights_without(**common)) == (form == "hinge")
    state = _checkpoint.read_state(_checkpoint.newest(tmp_path / "smoothed")).loop["entropy"]
    assert [(turn, count) for turn, _, count in state["turns"]] == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3", "k3+"])
def test_the_kl_estimator_is_the_one_asked_for(tiny_model, tmp_path, weights_without, estimator):
    """The gradient of k1 at equal policies is a score, those of k2 and k3 are 0: the first step tells them apart."""
    lines, weights = trained(tiny_model, tmp_path / "run", kl=1.0, kl_estimator=estimator)
    assert abs(lines[0]["kl"]) < 1e-4
    plain = weights_without()
    moved = max(float((weights[name] - plain[name]).abs().max()) for name in weights)
    assert (moved > 1e-4) == (estimator == "k1")


@pytest.mark.parametrize("adapters", [0, 4])
def test_kl_in_the_reward(tiny_model, tmp_path, adapters):
    """Where the policy left the reference, credit must feel it; at the beginning there is nothing to feel."""
    common = {"algorithm": "reinforce", "steps": 2, "policy": {"deterministic": True, "lora_rank": adapters}}
    lines, weights = trained(tiny_model, tmp_path / "with", **common, kl=10.0, kl_in="reward")
    plain, without = trained(tiny_model, tmp_path / "without", **common)
    assert abs(lines[0]["kl"]) < 1e-5
    assert abs(lines[1]["kl"]) > 1e-4
    assert lines[0]["advantage_std"] == pytest.approx(plain[0]["advantage_std"], rel=1e-3)
    assert lines[1]["advantage_std"] != pytest.approx(plain[1]["advantage_std"], rel=1e-3)
    assert differ(weights, without)


RESUMED = {
    "steps": 3,
    "params": {},
    "entropy_bonus": 0.01,
    "smoothing": {"weight": 0.5, "low": 0.99, "high": 1.01},
    "curriculum": {"name": "ucb", "by": "task", "horizon": [[0, 2], [1, 3]]},
    "train_tasks": 5,
    "shaping": {"keep_groups": 0.5},
}


def test_curriculum_and_entropies_go_on_after_a_checkpoint(tiny_model, tmp_path):
    """Forgotten, they would choose other tasks and penalise other tokens than the run that was not stopped."""
    whole = trained(tiny_model, tmp_path / "whole", **RESUMED)
    with Training.start(config(tiny_model, **RESUMED), tmp_path / "halves") as training:

        def stop(text):
            training.stopping |= text.startswith("step 2/") and "updating" in text

        training.on_progress = stop
        training.run()
    assert training.done == 2
    with Training.resume(tmp_path / "halves") as again:
        again.run()
    lines = [{name: value for name, value in line.items() if name not in TIMED} for line in again.metrics.steps]
    assert lines == [{name: value for name, value in line.items() if name not in TIMED} for line in whole[0]]
    assert not differ(whole[1], load_file(tmp_path / "halves" / "model" / "model.safetensors"))
    states = [_checkpoint.read_state(_checkpoint.newest(tmp_path / name)).loop for name in ("whole", "halves")]
    assert states[0] == states[1]
    assert [line["turns"] for line in lines] == [2, 3, 3]


def test_a_curriculum_learns_from_dropped_groups_too(tiny_model, tmp_path):
    """A kind whose groups are all alike must become rarer, not be left out of the statistics."""
    changed = {**FLAKY, "steps": 2, "tasks": 2, "train_tasks": 20, "settings": {"dynamic_sampling": True}}
    variants = [{"levels": [1]}, {"levels": []}]
    changed |= {"curriculum": {"name": "bandit", "variants": variants, "temperature": 0.1, "rate": 1.0}}
    lines, _ = trained(tiny_model, tmp_path / "run", **changed)
    dull, teaching = (f"flaky/Flaky-v0[levels={json.dumps(one['levels'])}]" for one in variants)
    assert lines[-1]["kinds"][teaching] > 0.9
    assert lines[-1]["kinds"][dull] < 0.1


def test_a_step_that_cannot_be_played_keeps_those_before_it(tiny_model, tmp_path):
    """With a checkpoint every ten steps, a server that dies at step nine must not cost eight."""
    changed = {**FLAKY, "steps": 3, "checkpoint_every": 10, "train_tasks": 2}
    with Training.start(config(tiny_model, **changed), tmp_path / "run") as training:

        def breaking(text):
            if text.startswith("step 3/") and "done" not in text:
                flaky.BROKEN.update({task.seed: [0] * 99 for task in _pool(training)})

        training.on_progress = breaking
        with pytest.raises(ArenaError, match="could not be scored"):
            training.run()
    flaky.BROKEN.clear()
    assert [path.name for path in _checkpoint.checkpoints(tmp_path / "run")] == ["step-000000", "step-000002"]
    with Training.resume(tmp_path / "run") as again:
        again.run()
    assert again.done == 3


def _pool(training):
    from arena.trainers._tasks import training_tasks

    return training_tasks(training.config)
