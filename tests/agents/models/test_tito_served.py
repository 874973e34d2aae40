"""Token in, token out through a server: ids, log-probabilities, versions, and weights that are pushed to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

pytest.importorskip("torch")
pytest.importorskip("uvicorn")

import torch
from transformers import GenerationConfig

from arena.agents.models import _weights, build, sampling_identity
from arena.agents.models._draw import Drawer, Settings
from arena.agents.models._tokens_wire import read_tokens
from arena.agents.models.tiny import build_tiny_model
from arena.agents.models.tokens import TokensModel
from arena.core.errors import ContextOverflow, ModelUnavailable, UsageError
from arena.core.messages import Message, Sampling, Tool
from arena.core.specs import Spec

SERVERS = Path(__file__).parents[2] / "servers"
NORTH = Tool(name="move", description="Go somewhere.")


@contextlib.contextmanager
def served(folder, *options, script="vllm_training.py"):
    """The root of a server in a process of its own."""
    command = [sys.executable, str(SERVERS / script), str(folder), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())["url"].removesuffix("/v1")
        finally:
            process.kill()


@pytest.fixture(scope="module")
def processed(tiny_model):
    """A server whose log-probabilities are of the distribution it samples from; its answers name their version."""
    with served(tiny_model, "--logprobs-mode", "processed_logprobs", "--says-version") as url:
        yield url


@pytest.fixture(scope="module")
def raw(tiny_model):
    """As vLLM is by default; it takes no weights."""
    with served(tiny_model, script="vllm_like.py") as url:
        yield url


@pytest.fixture
def make(tiny_model):
    """`make(url, option=…)`: a model behind it, closed at the end."""
    made = []

    def make(url, **options):
        given = {"tokenizer": str(tiny_model), "max_retries": 0, **options}
        made.append(build(Spec("tokens", "tiny", url, given)))
        return made[-1]

    yield make
    for model in made:
        asyncio.run(model.aclose())


def converse(model, turns, sampling):
    """The completions of a conversation, one for each thing said."""

    async def run():
        done = []
        for said in turns:
            done.append(await model.complete([Message.of("user", said)], sampling, (), done[-1] if done else None))
        return done

    return asyncio.run(run())


def fresh(folder, answer, settings):
    """Log-probabilities of an answer's tokens by a full forward pass under the same processing."""
    network = _weights.load_network(Path(folder), "cpu", torch.float32)
    with torch.no_grad():
        logits = network(input_ids=torch.tensor([answer.prompt_ids + answer.token_ids])).logits[0]
    logits = logits[len(answer.prompt_ids) - 1 : -1]
    scores = Drawer([settings] * len(logits), torch.device("cpu")).log_probabilities(logits)
    return scores[torch.arange(len(logits)), list(answer.token_ids)]


SAMPLED = [
    Sampling(temperature=0.6, max_tokens=7, seed=1),
    Sampling(temperature=1.4, top_p=0.7, max_tokens=7, seed=2),
    Sampling(temperature=0.9, top_k=5, max_tokens=7, seed=3),
    Sampling(max_tokens=7, seed=4),
]


@pytest.mark.parametrize("route", ["completions", "generate"])
@pytest.mark.parametrize("sampling", SAMPLED, ids=["cooler", "top-p", "top-k", "plain"])
def test_log_probabilities_are_those_of_a_fresh_forward_pass(tiny_model, processed, make, route, sampling):
    """If not, every ratio of the training is wrong; and the second turn must stand on the first one's very ids."""
    model = make(processed, route=route, logprob_kind="sampled")
    first, second = converse(model, ["a door", "a wall\u202e é"], sampling)
    whole = first.prompt_ids + first.token_ids
    assert second.prompt_ids[: len(whole)] == whole
    settings = Settings.of(sampling, GenerationConfig())
    for answer in (first, second):
        assert answer.logprob_kind == "sampled"
        assert not answer.server_rendered
        assert (fresh(tiny_model, answer, settings) - torch.tensor(answer.logprobs)).abs().max() < 1e-4


def test_raw_log_probabilities_are_of_the_model_and_say_so(tiny_model, raw, make):
    """At temperature 1 with nothing cut off both kinds are one."""
    model = make(raw)
    (answer,) = converse(model, ["a door"], Sampling(temperature=0.5, max_tokens=6, seed=1))
    own = fresh(tiny_model, answer, Settings(1.0, 1.0, 0, 0, raw=True))
    assert (own - torch.tensor(answer.logprobs)).abs().max() < 1e-4
    assert answer.logprob_kind == "raw"
    assert converse(model, ["a door"], Sampling(max_tokens=2))[0].logprob_kind == "sampled"


@pytest.mark.parametrize("route", ["completions", "generate"])
def test_both_routes_say_what_local_weights_say(tiny_model, processed, make, route):
    """The same prompt ids, draws, stops, parts and usage, whoever samples."""
    local = build(f"hf:{tiny_model},threads=1")
    sampling = Sampling(max_tokens=40, temperature=1.3, seed=2**62 + 5, stop=("e",))
    for tools in ((), (NORTH,)):
        asked = [Message.of("system", "Play."), Message.of("user", "a door")]
        here = asyncio.run(local.complete(asked, sampling, tools))
        there = asyncio.run(make(processed, route=route).complete(asked, sampling, tools))
        for name in ("prompt_ids", "token_ids", "parts", "finish"):
            assert getattr(there, name) == getattr(here, name)
        assert there.usage.output == here.usage.output
        assert there.usage.total == here.usage.total
        assert there.cost == 0.0
    asyncio.run(local.aclose())


def test_pushed_weights_answer_at_once_and_are_named(tiny_model, processed, tmp_path, make):
    """Otherwise the trainer would learn from what another policy said."""
    other = build_tiny_model(tmp_path / "other", seed=9)
    sampling = Sampling(max_tokens=8, seed=1)
    model, said = make(processed), []
    for folder, version in ((tiny_model, "step-0"), (other, "step-1"), (tiny_model, "step-2")):
        asyncio.run(model.push(folder, version))
        said += converse(model, ["a door"], sampling)
    before, after, again = said
    info = httpx.get(f"{processed}/weight_info").json()
    assert [answer.policy_version for answer in said] == ["step-0", "step-1", "step-2"]
    assert before.token_ids == again.token_ids != after.token_ids
    local = build(f"hf:{other},threads=1")
    assert after.token_ids == converse(local, ["a door"], sampling)[0].token_ids
    asyncio.run(local.aclose())
    assert info["calls"][-4:] == ["pause wait", "reload_weights", "reset_prefix_cache", "resume"]
    assert model.traits.identity == "tiny+step-2"


def test_an_adapter_is_loaded_under_its_version_and_old_ones_go(tiny_model, processed, tmp_path, make):
    """The name of each version keeps answers of two of them apart, and the server from filling up."""
    from arena.trainers._policy import Policy, PolicyOptions

    policy, sampling = Policy.load(tiny_model, PolicyOptions(lora_rank=2)), Sampling(max_tokens=8, seed=1)
    model, said = make(processed), []
    for step in range(4):
        with torch.no_grad():
            for value in policy.parameters().values():
                value.add_(0.05 * step)
        policy.network.save_pretrained(tmp_path / str(step))
        asyncio.run(model.push(tmp_path / str(step), f"step-{step}", adapter=True))
        said += converse(model, ["a door"], sampling)
    assert httpx.get(f"{processed}/weight_info").json()["adapters"] == ["tiny-step-2", "tiny-step-3"]
    assert [answer.policy_version for answer in said] == ["step-0", "step-1", "step-2", "step-3"]
    here = asyncio.run(policy.model.complete([Message.of("user", "a door")], sampling))
    assert said[-1].token_ids == here.token_ids
    asyncio.run(policy.model.aclose())


def test_a_server_that_somebody_else_gives_weights_to_is_refused(tiny_model, processed, make):
    """Two runs on one server would train on each other's samples."""
    ours, theirs = make(processed), make(processed)
    asyncio.run(ours.push(tiny_model, "step-7"))
    converse(ours, ["a door"], Sampling(max_tokens=1))
    asyncio.run(theirs.push(tiny_model, "another-3"))
    with pytest.raises(UsageError, match=r"weights 'another-3'; it was given 'step-7'.*another run"):
        converse(ours, ["a door"], Sampling(max_tokens=1))


def test_a_server_that_takes_no_weights_is_named_with_what_it_lacks(tiny_model, raw, make):
    with pytest.raises(UsageError, match="VLLM_SERVER_DEV_MODE=1"):
        asyncio.run(make(raw).push(tiny_model, "step-1"))
    with pytest.raises(UsageError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 and --enable-lora"):
        asyncio.run(make(raw).push(tiny_model, "step-1", adapter=True))
    with pytest.raises(UsageError, match=r"generate.*404"):
        converse(make(raw, route="generate"), ["a door"], Sampling(max_tokens=1))


def test_a_push_that_fails_lets_the_server_go_on(processed, make):
    """A server left paused would hang every episode."""
    model = make(processed)
    with pytest.raises(ModelUnavailable, match="does not exist"):
        asyncio.run(model.push("/nowhere", "step-8"))
    assert httpx.post(f"{processed}/v1/completions", json={"prompt": [1, 2], "max_tokens": 1}).status_code == 200


def test_a_server_that_is_gone_is_a_failure_of_the_infrastructure(make):
    model = make("http://127.0.0.1:9", timeout=5)
    with pytest.raises(ModelUnavailable, match="no connection"):
        converse(model, ["a door"], Sampling())
    with pytest.raises(ModelUnavailable, match="no connection"):
        asyncio.run(model.push("anywhere", "step-1"))


def test_what_does_not_fit_is_an_overflow_without_asking(make):
    """The context is known here, so no request is spent on it."""
    with pytest.raises(ContextOverflow, match="this model takes 30"):
        converse(make("http://127.0.0.1:9", context=30), ["word " * 30], Sampling())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", r"name the model folder whose tokenizer"),
        (",tokenizer=/nowhere/at/all", r"no model folder /nowhere/at/all"),
        (",tokenizer={folder},route=chat", r"expected completions or generate"),
        (",tokenizer={folder},cache=true", r"answers are not cached"),
        (",tokenizer={folder},push=rsync", r"expected reload or adapter"),
        (",tokenizer={folder},tokeniser=x", r"Did you mean tokenizer"),
    ],
)
def test_an_option_that_does_not_fit_is_explained(tiny_model, options, said):
    with pytest.raises(UsageError, match=said):
        build("tokens:tiny@http://localhost:1" + options.format(folder=tiny_model))


def test_a_spec_rebuilds_it_and_names_what_matters(tiny_model):
    """A run may be resumed at another address, and with another way to push, but not with another tokenizer."""
    spec = f"tokens:tiny@http://h:8000/v1,tokenizer={tiny_model},route=generate"
    model = build(spec)
    assert build(model.spec).spec == spec
    assert (model.traits.identity, model.traits.seeded, model.traits.token_ids) == ("tiny", True, True)
    assert isinstance(model, TokensModel)
    elsewhere = f"tokens:tiny@http://other:9,tokenizer={tiny_model},route=generate,push=reload,timeout=3"
    assert sampling_identity(elsewhere) == sampling_identity(spec)
    assert sampling_identity(spec.replace("generate", "completions")) != sampling_identity(spec)


GOOD = {"finish_reason": "stop", "token_ids": [3, 4], "logprobs": {"token_logprobs": [-1.0, 0.0]}}
BROKEN = {
    "no choices": ({}, ValueError, "no choices"),
    "an error": ({"error": {"message": "x"}}, ValueError, "an error in its place"),
    "broken off": ({"choices": [{**GOOD, "finish_reason": "abort"}]}, ValueError, "broken off"),
    "no ids": ({"choices": [{**GOOD, "token_ids": None}]}, UsageError, "no token ids"),
    "no tokens": ({"choices": [{**GOOD, "token_ids": []}]}, ValueError, "no tokens"),
    "another prompt": ({"choices": [{**GOOD, "prompt_token_ids": [0, 1, 2]}]}, UsageError, "after other ids"),
    "no log-probabilities": ({"choices": [{**GOOD, "logprobs": None}]}, UsageError, "gave none"),
    "too few": ({"choices": [{**GOOD, "token_ids": [3, 4, 5]}]}, ValueError, "3 token ids and 2"),
    "no number": (
        {"choices": [{**GOOD, "logprobs": {"token_logprobs": [-1.0, float("nan")]}}]},
        ValueError,
        "not numbers",
    ),
}


@pytest.mark.parametrize(("reply", "error", "said"), BROKEN.values(), ids=BROKEN)
def test_an_answer_that_cannot_be_trained_on_is_never_taken(reply, error, said):
    """A missing or shifted token would be trained on without any sign of it."""
    with pytest.raises(error, match=said):
        read_tokens(reply, [1, 2], "tokens:m")


def test_answers_of_chat_completions_are_marked_in_the_record(raw):
    """Their prompts hold earlier answers as the server tokenised them anew: no training may take them for samples."""
    from arena.agents import build as build_agent
    from arena.core import registry
    from arena.core.task import Task
    from arena.rollout import Engine, Job, RecordedModel
    from arena.trainers._rows import rows_of

    model = build(f"openai:tiny@{raw}/v1,ids=true")
    agent = build_agent("chat:max_tokens=3", RecordedModel(model))
    episodes = []
    (task,) = registry.tasks("arena/Maze-v0", "train", 1, 0, {"size": 3})
    task = Task(task.env, task.seed, task.params, None, 2)

    async def run():
        await Engine({"agent": agent}, on_episode=episodes.append).run([Job(task)])
        await model.aclose()

    asyncio.run(run())
    calls = [call for turn in episodes[0].turns for call in turn.calls]
    assert calls
    assert all(call.server_rendered and call.token_ids for call in calls)
    with pytest.raises(UsageError, match="through chat completions"):
        rows_of(episodes)
