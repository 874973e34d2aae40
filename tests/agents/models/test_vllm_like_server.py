"""A real tiny model behind HTTP, asked as vLLM is asked: ids, log-probabilities, parallel tool calls."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.parse
from pathlib import Path

import httpx
import pytest

pytest.importorskip("torch")
pytest.importorskip("uvicorn")

import torch

from arena.agents.models import build
from arena.agents.models.local import LocalModel
from arena.core.errors import ContextOverflow
from arena.core.messages import Message, Sampling, TextPart, Tool, ToolCallPart, ToolResultPart

SERVER = Path(__file__).parents[2] / "servers" / "vllm_like.py"
MOVE = Tool(name="move", description="Go somewhere.", parameters={"type": "object", "properties": {"to": {}}})
TWO_CALLS = (
    '<tool_call>{"name": "move", "arguments": {"to": "north"}}</tool_call>'
    '<tool_call>{"name": "move", "arguments": {"to": "up"}}</tool_call>'
)


@pytest.fixture(scope="module")
def url(tiny_model):
    command = [sys.executable, str(SERVER), str(tiny_model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()


@pytest.fixture(scope="module")
def local(tiny_model):
    model = LocalModel(str(tiny_model))
    yield model
    asyncio.run(model.aclose())


def complete(spec, messages, sampling, tools=(), after=None):
    async def run():
        model = build(spec)
        try:
            return await model.complete(messages, sampling, tools, after)
        finally:
            await model.aclose()

    return asyncio.run(run())


def test_it_is_up_and_says_what_it_serves(url):
    assert httpx.get(f"{url.removesuffix('/v1')}/health").status_code == 200
    (card,) = httpx.get(f"{url}/models").json()["data"]
    assert (card["id"], card["max_model_len"]) == ("tiny", 4096)


def test_a_served_answer_is_the_local_one(url, local):
    """Ids, text and raw log-probabilities through the OpenAI client are those of the weights."""
    messages = [Message.of("system", "Play."), Message.of("user", "You see a door.")]
    sampling = Sampling(max_tokens=9, temperature=0.8, seed=4, logprobs=True)
    served = complete(f"openai:tiny@{url},ids=true", messages, sampling)
    here = asyncio.run(local.complete(messages, sampling))
    assert (served.text, served.prompt_ids, served.token_ids) == (here.text, here.prompt_ids, here.token_ids)
    assert (served.logprob_kind, served.usage.output, served.finish) == ("raw", 9, "length")
    with torch.no_grad():
        logits = local.load().network(input_ids=torch.tensor([served.prompt_ids + served.token_ids])).logits
    scores = logits[0, len(served.prompt_ids) - 1 : -1].log_softmax(-1)
    found = scores[torch.arange(9), list(served.token_ids)]
    assert (found - torch.tensor(served.logprobs)).abs().max() < 1e-4


def test_parallel_tool_calls_go_there_and_back(url):
    """Two calls in one answer, their results in the next request, and the ids of what was really sampled."""
    spec = f"openai:tiny@{url},ids=true,body_force_text={json.dumps(TWO_CALLS)}"
    first = complete(spec, [Message.of("user", "Go up north.")], Sampling(), [MOVE])
    assert first.finish == "tool_calls"
    assert [call.arguments for call in first.tool_calls] == ['{"to": "north"}', '{"to": "up"}']
    results = [Message(role="tool", parts=(ToolResultPart(id=call.id, text="done"),)) for call in first.tool_calls]
    second = complete(f"openai:tiny@{url},ids=true", results, Sampling(max_tokens=3, seed=1), [MOVE], first)
    assert len(second.token_ids) == 3
    assert [type(part) for part in second.history[1].parts] == [ToolCallPart, ToolCallPart]


def test_completions_take_ids_and_give_ids(url, local):
    """The route that later training samples through."""
    prompts = [[2, 87, 290], [2, 84, 201, 67]]
    body = {"prompt": prompts, "max_tokens": 5, "seed": 1, "temperature": 1, "logprobs": 1, "return_token_ids": True}
    reply = httpx.post(f"{url}/completions", json=body).json()
    assert [choice["prompt_token_ids"] for choice in reply["choices"]] == prompts
    for choice in reply["choices"]:
        assert len(choice["token_ids"]) == len(choice["logprobs"]["token_logprobs"]) == 5
        assert choice["text"] == local.load().encoder.decode(choice["token_ids"])
    assert reply["usage"]["completion_tokens"] == 10


def test_a_forced_text_in_the_header_is_decoded_and_stopped(url):
    headers = {"X-Force-Text": urllib.parse.quote("go → north. Then wait")}
    body = {"messages": [{"role": "user", "content": "hi"}], "stop": [". Then"], "logprobs": True}
    reply = httpx.post(f"{url}/chat/completions", json=body, headers=headers).json()
    (choice,) = reply["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("go → north", "stop")
    assert all(token["logprob"] < 0 for token in choice["logprobs"]["content"])


def test_a_conversation_that_does_not_fit_is_an_overflow_of_the_client(url):
    with pytest.raises(ContextOverflow):
        complete(f"openai:tiny@{url}", [Message(role="user", parts=(TextPart(text="word " * 5000),))], Sampling())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "other", "messages": []}, 404),
        ({"messages": [{"role": "user", "content": "x"}], "stream": True}, 400),
        ({"messages": [{"role": "user", "content": "x"}], "temperature": -1}, 400),
    ],
)
def test_what_it_cannot_do_is_refused_in_words(url, body, status):
    reply = httpx.post(f"{url}/chat/completions", json=body)
    assert reply.status_code == status
    assert reply.json()["error"]["message"]


def test_ids_out_of_the_vocabulary_are_refused(url):
    reply = httpx.post(f"{url}/completions", json={"prompt": [[1, 99999]], "max_tokens": 1})
    assert (reply.status_code, "vocabulary" in reply.json()["error"]["message"]) == (400, True)
