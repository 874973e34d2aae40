"""Training on episodes that a server samples: the same numbers, weights that follow, staleness that is bounded."""

from __future__ import annotations

import asyncio
import json
import threading

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

pytest.importorskip("torch")
pytest.importorskip("uvicorn")

import babble  # noqa: F401 - registers the environment
import torch
from safetensors.torch import load_file
from serving import served, spec

from arena.cli._app import run as arena
from arena.core.errors import ArenaError, ModelUnavailable, UsageError
from arena.records import open_run
from arena.trainers._config import TrainConfig
from arena.trainers._guards import warnings
from arena.trainers._policy import Policy
from arena.trainers._remote import open_sampler
from arena.trainers._remote_correction import corrected, importance, trainer_logprobs
from arena.trainers._rows import rows_of
from arena.trainers._staleness import Ahead, HeldBack, fresh, staleness, version_number
from arena.trainers._training import Training

SMALL = {
    "algorithm": "grpo",
    "env": "babble/Babble-v0",
    "agent": "chat:max_tokens=4,temperature=0.8",
    "steps": 3,
    "tasks": 2,
    "group_size": 2,
    "minibatches": 2,
    "eval_every": 3,
    "eval_tasks": 2,
    "checkpoint_every": 1,
    "policy": {"deterministic": True},
    "optimiser": {"learning_rate": 1e-3},
}


@pytest.fixture(scope="module")
def server(tiny_model):
    with served(tiny_model) as (url, _):
        yield url


def train(model, out, **changed):
    with Training.start(TrainConfig.read({**SMALL, "model": str(model), **changed}), out) as training:
        training.run()
        return training.metrics.steps


@pytest.fixture(scope="module")
def local(tiny_model, tmp_path_factory):
    """A run whose policy samples by itself."""
    folder = tmp_path_factory.mktemp("local") / "run"
    train(tiny_model, folder)
    return folder


@pytest.fixture(scope="module")
def remote(tiny_model, server, tmp_path_factory):
    """The same through the server, by the command line."""
    folder = tmp_path_factory.mktemp("remote") / "run"
    words = ["train", "grpo", "--env", "babble/Babble-v0", "-m", str(tiny_model), "-o", str(folder), "--steps", "3"]
    words += ["-a", SMALL["agent"], "-n", "2", "-g", "2", "--sampler", spec(server)]
    for setting in ("minibatches=2", "eval_every=3", "eval_tasks=2", "checkpoint_every=1"):
        words += ["--set", setting]
    words += ["--set", "policy.deterministic=true", "--set", "optimiser.learning_rate=1e-3"]
    assert arena(words) == 0
    return folder


def steps(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["step"]]


def versions(folder):
    """Of the chosen calls, by step."""
    found = {}
    with open_run(folder) as run:
        for episode in run.episodes():
            calls = [call for turn in episode.turns for call in turn.calls]
            found.setdefault(episode.key.step, set()).update(call.policy_version for call in calls)
    return found


def test_a_server_samples_what_the_policy_would_and_training_takes_the_same_course(local, remote):
    """The same tokens and losses, if the weights really follow each update; off by one step they would not."""
    for here, there in zip(steps(local), steps(remote), strict=True):
        assert there["reward"] == here["reward"]
        assert there["sampled_tokens"] == here["sampled_tokens"]
        for name in ("loss", "grad_norm", "entropy", "old_kl", "clip_share"):
            assert there[name] == pytest.approx(here[name], abs=1e-5, rel=1e-4), name
        assert there["sampler_gap"] < 1e-4
        assert there["importance"] == pytest.approx(1, abs=1e-4)
        assert (there["importance_capped"], there["staleness"], there["dropped_stale"]) == (0, 0, 0)
    assert steps(local)[-1]["eval"]["score"] == steps(remote)[-1]["eval"]["score"]
    left, right = (load_file(folder / "model" / "model.safetensors") for folder in (local, remote))
    assert all(torch.allclose(left[name], right[name], atol=1e-4) for name in left)


def test_versions_rise_with_each_update_and_old_weights_go(remote):
    """A record without them could not say how stale its tokens were."""
    assert versions(remote) == {1: {"step-0"}, 2: {"step-1"}, 3: {"step-2"}}
    assert sorted(path.name for path in (remote / "weights").iterdir()) == ["step-2", "step-3"]
    pushed, model = (load_file(remote / name / "model.safetensors") for name in ("weights/step-3", "model"))
    assert all(torch.equal(pushed[name], model[name]) for name in model)


def test_sampling_ahead_keeps_to_its_bound_and_is_corrected(tiny_model, server, tmp_path):
    """Staler than told, the correction would hold back more than it learns; and the record must be in order."""
    lines = train(tiny_model, tmp_path / "run", sampler=spec(server), max_staleness=1, eval_every=0)
    assert [line["staleness_max"] for line in lines] <= [0, 1, 1]
    assert lines[0]["sampler_gap"] < 1e-4
    for line in lines:
        assert line["dropped_stale"] == 0
        assert line["staleness"] <= line["staleness_max"] <= 1
        assert np.isfinite(line["loss"])
        assert line["sampler_kl"] >= 0
    seen = versions(tmp_path / "run")
    assert list(seen) == [1, 2, 3]
    assert all(step - 1 - version_number(name) <= 1 for step, names in seen.items() for name in names)


def test_a_run_that_stops_while_playing_ahead_leaves_no_half_step_and_goes_on(tiny_model, server, tmp_path):
    """Episodes of a step that was never trained on would be taken for its own after resuming."""
    values = {**SMALL, "model": str(tiny_model), "sampler": spec(server), "max_staleness": 2, "eval_every": 0}
    run = tmp_path / "run"
    with Training.start(TrainConfig.read(values), run) as training:
        training.on_progress = lambda text: setattr(training, "stopping", True)
        training.run()
        assert training.done == 1
    assert list(versions(run)) == [1]
    assert arena(["train", "--resume", str(run)]) == 0
    with open_run(run) as opened:
        keys = [row.key for row in opened.rows()]
    assert sorted({key.step for key in keys}) == [1, 2, 3]
    tasks = {step: {key.task for key in keys if key.step == step} for step in (1, 2, 3)}
    assert not tasks[1] & tasks[2]
    assert not tasks[2] & tasks[3]


def test_a_server_that_dies_is_named_and_the_run_goes_on_when_it_is_back(tiny_model, remote, tmp_path):
    """An hour's work must not hang on a server; the resumed run ends with the numbers of one that never stopped."""
    run = tmp_path / "run"
    with served(tiny_model) as (url, process):
        port = int(url.rpartition(":")[2])
        values = {**SMALL, "model": str(tiny_model), "sampler": spec(url)}
        with Training.start(TrainConfig.read(values), run) as training:

            def kill(text):
                if text.startswith("step 2/3 · playing"):
                    process.kill()

            training.on_progress = kill
            with pytest.raises(ArenaError, match=r"(?s)could not be scored.*no connection|cut.*arena train --resume"):
                training.run()
    with pytest.raises(ModelUnavailable, match="no connection"):
        Training.resume(run)
    with served(tiny_model, port):
        assert arena(["train", "--resume", str(run)]) == 0
    for here, there in zip(steps(remote), steps(run), strict=True):
        assert there["reward"] == here["reward"]
        assert there["loss"] == pytest.approx(here["loss"], abs=1e-6)


def test_a_push_that_fails_says_how_to_go_on(tiny_model, tmp_path):
    """The server may as well be gone when the weights are ready as when episodes are played."""
    config = TrainConfig.read({**SMALL, "model": str(tiny_model), "sampler": spec("http://127.0.0.1:9")})
    sampler = open_sampler(config, Policy.load(tiny_model), tmp_path, None, dict)
    with pytest.raises(ModelUnavailable) as refused:
        sampler.publish("step-0")
    assert "--resume" not in str(refused.value), "there is nothing to go on from yet"
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ModelUnavailable, match=rf"no connection.*(?s:.)*arena train --resume {tmp_path}"):
        sampler.publish("step-1")
    sampler.close()


def test_adapters_are_pushed_alone(tiny_model, server, tmp_path):
    """If the server's adapter were not the trainer's, their probabilities would part at the second step."""
    policy = {"deterministic": True, "lora_rank": 2}
    lines = train(tiny_model, tmp_path / "run", sampler=spec(server), policy=policy, eval_every=0, steps=2)
    assert all(line["sampler_gap"] < 1e-4 for line in lines)
    assert lines[0]["grad_norm"] > 0
    names = {path.name for path in (tmp_path / "run" / "weights" / "step-2").iterdir()}
    assert "adapter_model.safetensors" in names
    assert "model.safetensors" not in names


WRONG = {
    "imitation": ({"algorithm": "bc"}, r"bc samples nothing, so leave --sampler out"),
    "chat completions": ({"sampler": "openai:tiny@{url}/v1"}, r"does not take ids.*tokens:NAME@URL"),
    "raw values at another temperature": (
        {"sampler": "tokens:tiny@{url}"},
        r"\(raw\), and episodes are sampled at temperature 0.8.*processed_logprobs",
    ),
    "raw values of a cut distribution": (
        {"sampler": "tokens:tiny@{url}", "algorithm": "reinforce", "agent": "chat:temperature=1,top_p=0.9"},
        r"sampled with top_p=0.9",
    ),
    "a cut distribution": ({"agent": "chat:top_k=4"}, r"top_k=4 cuts off"),
    "an adapter where there is none": ({"sampler": "tokens:tiny@{url},push=adapter"}, r"set policy.lora_rank"),
    "nothing to be ahead of": ({"sampler": None, "max_staleness": 1}, r"give --sampler"),
    "a curriculum that learns": (
        {"max_staleness": 1, "curriculum": {"name": "ucb"}},
        r"use uniform, or max_staleness=0",
    ),
    "another name": ({"sampler": "tokens:large@{url},logprob_kind=sampled"}, r"`large` does not exist"),
}


@pytest.mark.parametrize(("changed", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_learned_from_is_refused_before_anything_is_written(tiny_model, server, tmp_path, changed, said):
    """Each would train on numbers that are not what they seem."""
    values = {**SMALL, "model": str(tiny_model), "sampler": spec(server), **changed}
    if values["sampler"]:
        values["sampler"] = values["sampler"].replace("{url}", server)
    with pytest.raises(UsageError, match=said):
        Training.start(TrainConfig.read(values), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_server_that_is_not_there_is_said_before_anything_is_written(tiny_model, tmp_path):
    values = {**SMALL, "model": str(tiny_model), "sampler": spec("http://127.0.0.1:9")}
    with pytest.raises(ModelUnavailable, match=r"no connection.*Is the server running"):
        Training.start(TrainConfig.read(values), tmp_path / "run")
    assert not (tmp_path / "run").exists()


logprobs = st.lists(st.tuples(st.floats(-30, 0), st.floats(-30, 0)), min_size=1, max_size=20)


@given(logprobs, st.floats(0.1, 10))
def test_weights_are_the_capped_ratio_of_trainer_and_sampler(pairs, cap):
    """Turned round, or capped on the wrong side, it would learn more from what the policy would not say."""
    trainer, sampler = np.array(pairs).T
    weight, found = importance(trainer, sampler, cap)
    expected = [min(float(np.exp(np.clip(t - s, -20, 20))), cap) for t, s in pairs]
    np.testing.assert_allclose(weight, expected)
    assert found["importance_capped"] == pytest.approx(
        np.mean([np.exp(np.clip(t - s, -20, 20)) > cap for t, s in pairs])
    )
    assert found["sampler_kl"] >= 0
    assert found["sampler_gap"] == pytest.approx(np.abs(trainer - sampler).max())


def test_truncated_weights_turn_the_samplers_expectation_into_the_policys():
    """The estimate from another distribution's samples equals the policy's own, but for what the cap cuts off."""
    generator = np.random.default_rng(0)
    policy, sampler, value = generator.dirichlet(np.ones(6)), generator.dirichlet(np.ones(6)), generator.normal(size=6)
    weight, _ = importance(np.log(policy), np.log(sampler), np.inf)
    assert sampler @ (weight * value) == pytest.approx(policy @ value)
    capped, _ = importance(np.log(policy), np.log(sampler), 2.0)
    assert sampler @ (capped * value) == pytest.approx(np.minimum(policy, 2 * sampler) @ value)


def test_the_correction_weighs_the_credit_of_sampled_tokens_and_nothing_else(tiny_model, local):
    """A weight on a neighbouring token, or on one that another row owns, would train the wrong action."""
    policy = Policy.load(tiny_model)
    with open_run(local) as run:
        episodes = [episode for episode in run.episodes() if episode.key.step == 1]
    rows = rows_of(episodes)
    with torch.no_grad():
        for value in policy.parameters().values():
            value.mul_(1.1)
    tokens = sum(len(call.prompt_ids.new) + len(call.token_ids) for episode in episodes for call in episode.calls)
    credit = np.arange(1.0, tokens + 1)
    own, weighted, found = corrected(rows, credit, policy, 0.8, cap=1.5, pass_tokens=64)
    again = trainer_logprobs(rows, policy, 0.8, 10**6)
    changed = np.ones(tokens)
    for row, after, values in zip(rows, own, again, strict=True):
        mask = row.trains()
        np.testing.assert_allclose(after.logprob[mask], values, atol=1e-5)
        assert np.isnan(after.logprob[~mask]).all()
        changed[row.source[mask]] = np.minimum(np.exp(values - row.logprob[mask]), 1.5)
    np.testing.assert_allclose(weighted, credit * changed, rtol=1e-4)
    assert 0 < found["importance_capped"] < 1
    assert found["sampler_kl"] > 0
    assert [row.logprob[row.trains()].tolist() for row in rows_of(episodes)] == [
        row.logprob[row.trains()].tolist() for row in rows
    ]


def test_episodes_beyond_the_bound_are_dropped_and_counted(local):
    """A server that missed its weights must not be trained on as if it had them."""
    with open_run(local) as run:
        episodes = sorted(run.episodes(), key=lambda episode: episode.key.step)
    assert [staleness(episode, 4) for episode in episodes] == [4] * 4 + [3] * 4 + [2] * 4
    kept, found = fresh(episodes, 4, 3)
    assert kept == episodes[4:]
    assert (found["dropped_stale"], found["staleness_max"]) == (4, 3)
    tokens = [sum(len(call.token_ids) for call in episode.calls) for episode in kept]
    assert found["staleness"] == pytest.approx(np.average([3] * 4 + [2] * 4, weights=tokens))
    with pytest.raises(ArenaError, match=r"All 12 episodes.*at least 2 updates old, and max_staleness=1.*load"):
        fresh(episodes, 4, 1)
    assert fresh([], 4, 1)[1]["staleness"] == 0.0


def test_versions_of_others_are_not_taken_for_ones_own():
    assert [version_number(name) for name in ("step-12", "12", "step-x", "latest", "", None)] == [12] + [None] * 5


def test_playing_ahead_begins_the_next_steps_and_no_more():
    """Beyond its bound it would sample from weights that are too old by the time they are trained on."""
    begun, allowed, state = [], threading.Semaphore(0), {"taken": 0}

    def play(step):
        begun.append(step)
        allowed.acquire()
        state["taken"] = step
        return step * 10

    ahead = Ahead(2, 5, lambda: dict(state))
    allowed.release(2)
    assert ahead.take(1, play) == 10
    allowed.release()
    assert ahead.take(2, play) == 20
    assert ahead.state(3) == {"taken": 2}
    allowed.release(9)
    assert [ahead.take(step, play) for step in (3, 4, 5)] == [30, 40, 50]
    assert begun == [1, 2, 3, 4, 5]
    assert ahead.state(6) == {"taken": 5}
    ahead.close()
    ahead.close()


def test_closing_ends_what_is_played_ahead():
    """Ctrl-C must not wait for an hour of episodes that nobody will train on."""
    started = threading.Event()

    async def forever():
        started.set()
        await asyncio.Event().wait()

    ahead = Ahead(1, 9, dict)

    def play(step):
        return asyncio.run(ahead.cancellable(forever())) if step > 1 else step

    assert ahead.take(1, play) == 1
    assert started.wait(20)
    ahead.close()


def test_what_is_held_back_is_written_when_its_step_takes_it():
    """Until then a crash leaves nothing of it; images are stored at once, since the episodes name them."""
    written = []

    class Record:
        def append(self, episode):
            written.append(episode)

        def blob(self, part):
            written.append(part)

        def blob_bytes(self, data):
            return data.decode()

    held = HeldBack(Record())
    held.append("first")
    held.append("second")
    held.journal_start(None, {})
    held.journal(None, None)
    held.blob("image")
    assert held.blob_bytes(b"hash") == "hash"
    assert written == ["image"]
    held.release()
    held.release()
    assert written == ["image", "first", "second"]


def test_a_server_with_other_probabilities_is_warned_about():
    """With the same weights they differ by rounding only; stale weights may differ."""
    fine = {"success": 0.5, "entropy": 1.0, "tokens_per_turn": 4.0, "sampler_kl": 1e-4, "staleness_max": 0}
    assert warnings([fine]) == []
    assert "KL of 0.300 nats" in warnings([fine, {**fine, "sampler_kl": 0.3}])[0]
    assert warnings([fine, {**fine, "sampler_kl": 0.3, "staleness_max": 1}]) == []
