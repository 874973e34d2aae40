"""`transformers serve`, as a user would start it, with a small model built on the spot."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from arena.agents.models import build
from arena.core.errors import UsageError
from arena.core.messages import Message, Sampling, Tool, ToolCallPart, ToolResultPart

HELLO = [Message.of("system", "You play a maze."), Message.of("user", "You are at 1, 1. What do you do?")]
MOVE = Tool(
    name="move", description="Go one step.", parameters={"type": "object", "properties": {"to": {"type": "string"}}}
)


def answers(url):
    """Whether something speaks HTTP there, whatever it says."""
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def served(tiny_model, tmp_path_factory):
    """The folder of a tiny model and the address of the server that serves it."""
    place, folder = tmp_path_factory.mktemp("serve"), tiny_model
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    program = Path(sys.executable).with_name("transformers")
    command = [program, "serve", folder, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    settings = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(place / "hub")}
    with (place / "log").open("wb") as log:
        server = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 180
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None, (place / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, (place / "log").read_text()[-3000:]
            time.sleep(0.2)
        yield folder, f"http://127.0.0.1:{port}/v1"
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def with_model(served, use, options=""):
    """Run `use(model)` with a model at the server."""
    folder, url = served

    async def run():
        model = build(f"openai:{folder}@{url},max_retries=1,wait=0.1{options}")
        try:
            return await use(model)
        finally:
            await model.aclose()

    return asyncio.run(run())


def test_a_conversation_of_three_turns(served):
    async def use(model):
        first = await model.complete(HELLO, Sampling(max_tokens=8, temperature=0.0))
        second = await model.complete([Message.of("user", "A wall.")], Sampling(max_tokens=5), (), first)
        third = await model.complete([Message.of("user", "A door.")], Sampling(max_tokens=5), (), second)
        return first, second, third

    first, second, third = with_model(served, use)
    assert first.usage.output == 8
    assert first.finish == "length"
    assert first.usage.input < second.usage.input < third.usage.input
    assert third.cost == 0.0
    assert [message.role for message in third.history] == ["system"] + ["user", "assistant"] * 3


def test_the_same_seed_gives_the_same_answer(served):
    async def use(model):
        sampling = Sampling(max_tokens=12, temperature=1.0, seed=2**62 + 11)
        other = sampling.model_copy(update={"seed": 12})
        return [(await model.complete(HELLO, chosen)).text for chosen in (sampling, sampling, other)]

    # This server samples only where its own field says so; that such a field can be sent is half of the test.
    one, again, other = with_model(served, use, ',body_generation_config={"do_sample":true}')
    assert one == again != other


def test_tools_and_their_results_are_accepted(served):
    call = Message(role="assistant", parts=(ToolCallPart(id="c0", name="move", arguments='{"to": "north"}'),))
    result = Message(role="tool", parts=(ToolResultPart(id="c0", text="You hit a wall."),))

    async def use(model):
        return await model.complete([*HELLO, call, result], Sampling(max_tokens=4), [MOVE])

    assert with_model(served, use).usage.output > 0


def test_eight_at_once(served):
    async def use(model):
        asked = [[Message.of("user", f"You are at {n}, 1.")] for n in range(8)]
        return await asyncio.gather(*(model.complete(said, Sampling(max_tokens=3)) for said in asked))

    assert [answer.history[0].text for answer in with_model(served, use)] == [f"You are at {n}, 1." for n in range(8)]


def test_fields_it_does_not_know_are_refused_and_the_error_says_which(served):
    """It is why optional fields are sent only when asked for."""
    for sampling, options, said in (
        (Sampling(max_tokens=3, top_k=5), "", "top_k"),
        (Sampling(max_tokens=3), ",ids=true", "return_token_ids"),
        (Sampling(max_tokens=3, logprobs=True), "", "log-probabilities and gave none"),
    ):

        async def use(model, sampling=sampling):
            await model.complete(HELLO, sampling)

        with pytest.raises(UsageError, match=said):
            with_model(served, use, options)


def test_another_models_name_is_refused_in_words(served):
    folder, url = served

    async def use(model):
        await model.complete(HELLO, Sampling(max_tokens=3))

    with pytest.raises(UsageError, match="400 Bad Request: Server is pinned to"):
        with_model((f"{folder}-other", url), use)
