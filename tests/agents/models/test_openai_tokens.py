"""Exact tokens over HTTP: a real tiny model, served the way vLLM serves ids, log-probabilities and tool calls."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from arena.agents.models import build
from arena.agents.models.tiny import build_tiny_model
from arena.core.errors import ContextOverflow, UsageError
from arena.core.messages import Message, Sampling, Tool, ToolResultPart

SERVER = Path(__file__).parents[2] / "servers" / "vllm_like.py"
HELLO = [Message.of("system", "You play a maze."), Message.of("user", "What do you do?")]
MOVE = Tool(
    name="move", description="Go one step.", parameters={"type": "object", "properties": {"to": {"type": "string"}}}
)


@pytest.fixture(scope="module")
def url(require, tmp_path_factory):
    require("transformers")
    folder = build_tiny_model(tmp_path_factory.mktemp("served") / "tiny", context=512)
    command = [sys.executable, SERVER, folder, "--port", "0"]
    settings = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=settings) as server:
        line = server.stdout.readline()
        assert line, "the server ended before it listened"
        yield json.loads(line)["url"]
        server.terminate()
        server.wait(30)


def with_model(url, use, options=""):
    """Run `use(model)` with a model at the server."""

    async def run():
        model = build(f"openai:tiny@{url},max_retries=0,ids=true{options}")
        try:
            return await use(model)
        finally:
            await model.aclose()

    return asyncio.run(run())


def test_every_sampled_token_has_its_id_and_its_log_probability(url):
    async def use(model):
        sampling = Sampling(max_tokens=9, temperature=1.0, seed=5, logprobs=True)
        first = await model.complete(HELLO, sampling)
        return first, await model.complete(HELLO, sampling), await model.complete(HELLO, Sampling(max_tokens=9))

    first, again, bare = with_model(url, use)
    assert len(first.token_ids) == len(first.logprobs) == first.usage.output == 9
    assert len(first.prompt_ids) == first.usage.input + first.usage.cached
    assert all(logprob <= 0 for logprob in first.logprobs)
    assert first.logprob_kind == "raw"
    assert (again.token_ids, again.logprobs) == (first.token_ids, pytest.approx(first.logprobs, abs=1e-4))
    assert bare.logprobs is None
    assert bare.logprob_kind is None


def test_parallel_calls_go_back_and_are_rendered_as_they_were_sampled(url):
    """The served prompt of the second turn must hold the first turn's ids: an answer that came back
    changed would be tokenised into something the policy never said."""
    call = '<tool_call>\n{"name": "move", "arguments": {"to": "%s"}}\n</tool_call>'
    said = "\n".join(call % where for where in ("north", "east"))

    async def use(model):
        sampling = Sampling(logprobs=True)
        first = await model.complete(HELLO, sampling, [MOVE])
        results = tuple(ToolResultPart(id=call.id, text="A wall.") for call in first.tool_calls)
        second = await model.complete([Message(role="tool", parts=results)], sampling, [MOVE], first)
        return first, second

    first, second = with_model(url, use, f",body_force_text={json.dumps(said)}")
    assert [json.loads(call.arguments) for call in first.tool_calls] == [{"to": "north"}, {"to": "east"}]
    assert first.finish == "tool_calls"
    seen = first.prompt_ids + first.token_ids
    assert second.prompt_ids[: len(seen)] == seen
    assert second.usage.cached > 0


def test_a_conversation_that_outgrows_the_context_is_an_overflow(url):
    async def use(model):
        await model.complete([Message.of("user", "go north " * 400)], Sampling(max_tokens=5))

    with pytest.raises(ContextOverflow):
        with_model(url, use)


def test_a_wrong_name_is_told_with_the_address(url):
    async def use(model):
        await model.complete(HELLO, Sampling())

    async def run():
        model = build(f"openai:other@{url}")
        try:
            await use(model)
        finally:
            await model.aclose()

    with pytest.raises(UsageError, match=r"404 Not Found: The model `other` does not exist\. Check the model's name"):
        asyncio.run(run())
