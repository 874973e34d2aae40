"""Chat completions: exactly which fields are sent, and that what came back goes back unchanged."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import pytest
from scripted_server import Answer, chat, serving

from arena.agents.models import build
from arena.core.errors import ModelUnavailable, UsageError
from arena.core.messages import (
    ImagePart,
    Message,
    ReasoningPart,
    Sampling,
    TextPart,
    Tool,
    ToolResultPart,
    Usage,
)

HELLO = [Message.of("system", "play"), Message.of("user", "hello")]
MOVE = Tool(
    name="move",
    description="Go one step.",
    parameters={"type": "object", "properties": {"direction": {"type": "string"}}, "required": ["direction"]},
    template="move {direction}",
)
FAST = "wait=0.01,max_retries=1"


def talk(server, *turns, options=FAST, sampling=None, tools=()):
    """Say the turns one after the other in one conversation; the answers."""

    async def run():
        model = build(f"openai:m@{server.url}/v1,{options}")
        answers = []
        for messages in turns:
            answer = await model.complete(messages, sampling or Sampling(), tools, answers[-1] if answers else None)
            answers.append(answer)
        await model.aclose()
        return answers

    return asyncio.run(run())


def test_what_was_not_asked_for_is_not_sent():
    """Servers refuse fields they do not know, and a default of ours would replace the server's own."""
    with serving(chat()) as server:
        talk(server, HELLO)
    assert server.bodies == [
        {"model": "m", "messages": [{"role": "system", "content": "play"}, {"role": "user", "content": "hello"}]}
    ]
    assert server.requests[0].path == "/v1/chat/completions"
    assert "authorization" not in server.requests[0].headers


def test_every_sampling_field_is_sent_under_its_name():
    sampling = Sampling(
        temperature=0.0, top_p=0.9, top_k=5, max_tokens=7, stop=("a", "b"), seed=2**40 + 3, logprobs=True
    )
    reply = chat("hi", top={})
    reply.body["choices"][0]["logprobs"] = {"content": [{"token": "hi", "logprob": -0.5}]}
    with serving(reply) as server:
        (answer,) = talk(server, HELLO, sampling=sampling)
    body = {key: value for key, value in server.bodies[0].items() if key not in {"messages", "model"}}
    assert body == {
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 5,
        "max_tokens": 7,
        "stop": ["a", "b"],
        "seed": 3,
        "logprobs": True,
    }
    assert answer.logprobs == (-0.5,)
    assert answer.logprob_kind == "raw"


def test_other_fields_of_the_request_come_from_the_spec():
    options = (
        "limit_field=max_completion_tokens,seeded=false,body_min_p=0.1,body_chat_template_kwargs__enable_thinking=false"
    )
    with serving(chat()) as server:
        talk(server, HELLO, options=options, sampling=Sampling(max_tokens=3, seed=1))
    body = server.bodies[0]
    assert body["max_completion_tokens"] == 3
    assert body["min_p"] == 0.1
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert not {"max_tokens", "seed"} & set(body)


def test_token_ids_are_asked_for_and_kept_as_vllm_gives_them():
    reply = chat("hi", top={"prompt_token_ids": [1, 2, 3]})
    reply.body["choices"][0] |= {
        "token_ids": [4, 5],
        "logprobs": {"content": [{"token": "h", "logprob": -1.0}, {"token": "i", "logprob": -2.0}]},
    }
    options = "ids=true,logprob_kind=sampled"
    with serving(reply) as server:
        (answer,) = talk(server, HELLO, options=options, sampling=Sampling(logprobs=True))
    assert server.bodies[0]["return_token_ids"] is True
    assert (answer.prompt_ids, answer.token_ids) == ((1, 2, 3), (4, 5))
    assert (answer.logprobs, answer.logprob_kind) == ((-1.0, -2.0), "sampled")
    assert build(f"openai:m@http://127.0.0.1/v1,{options}").traits.token_ids


def test_ids_and_log_probabilities_that_do_not_come_are_missed():
    """Silently going on without them would fill a run with turns that no trainer can use."""
    with serving(chat()) as server:
        with pytest.raises(UsageError, match="token ids and gave none"):
            talk(server, HELLO, options="ids=true")
        with pytest.raises(UsageError, match="log-probabilities and gave none"):
            talk(server, HELLO, sampling=Sampling(logprobs=True))
    reply = chat("hi")
    reply.body["choices"][0] |= {"token_ids": [4, 5], "logprobs": {"content": [{"logprob": -1.0}]}}
    with serving(reply) as server, pytest.raises(ModelUnavailable, match="2 token ids and 1 log-prob"):
        talk(server, HELLO, options="ids=true", sampling=Sampling(logprobs=True))


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_an_answer_of_many_parts_goes_back_as_it_came(field):
    calls = [
        {"id": "call_b", "type": "function", "function": {"name": "move", "arguments": '{ "direction":"é" }'}},
        {
            "id": "call_a",
            "type": "function",
            "function": {"name": "move", "arguments": "{not json"},
            "extra_content": {"google": {"thought_signature": "c2ln"}},
        },
    ]
    details = [{"type": "reasoning.encrypted", "data": "xyz"}]
    said = {field: "Let me see.", "reasoning_details": details, "tool_calls": calls}
    results = Message(
        role="tool", parts=(ToolResultPart(id="call_b", text="ok"), ToolResultPart(id="call_a", text="no"))
    )
    with serving(chat("On my way.", finish="tool_calls", **said), chat("done")) as server:
        first, second = talk(server, HELLO, [results], tools=[MOVE])
    assert [part.type for part in first.parts] == ["reasoning", "text", "tool_call", "tool_call"]
    assert first.parts[0].text == "Let me see."
    assert [(call.id, call.arguments) for call in first.tool_calls] == [
        ("call_b", '{ "direction":"é" }'),
        ("call_a", "{not json"),
    ]
    assert first.finish == "tool_calls"
    assert server.bodies[1]["messages"][2:] == [
        {"role": "assistant", "content": "On my way.", **said},
        {"role": "tool", "tool_call_id": "call_b", "content": "ok"},
        {"role": "tool", "tool_call_id": "call_a", "content": "no"},
    ]
    assert server.bodies[1]["tools"] == [
        {
            "type": "function",
            "function": {"name": "move", "description": "Go one step.", "parameters": MOVE.parameters},
        }
    ]
    assert [message.role for message in second.history] == ["system", "user", "assistant", "tool", "assistant"]


def test_calls_without_text_go_back_without_text():
    call = {"id": "c", "type": "function", "function": {"name": "move", "arguments": "{}"}}
    result = Message(role="tool", parts=(ToolResultPart(id="c", text="ok"),))
    with serving(chat(None, finish="tool_calls", tool_calls=[call]), chat()) as server:
        talk(server, HELLO, [result], tools=[MOVE])
    assert server.bodies[1]["messages"][2] == {"role": "assistant", "content": None, "tool_calls": [call]}


def test_a_content_list_goes_back_as_a_list():
    """Some servers answer with thinking and text as items of the content."""
    content = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "yes"}]
    with serving(chat(content), chat()) as server:
        first, _ = talk(server, HELLO, [Message.of("user", "and?")])
    assert first.text == "yes"
    assert server.bodies[1]["messages"][2]["content"] == content


def test_reasoning_stays_home_where_the_spec_says_so_and_where_it_is_another_models():
    foreign = Message(
        role="assistant",
        parts=(
            ReasoningPart(text="hm", opaque={"type": "thinking", "signature": "s"}),
            ReasoningPart(text="ha"),
            TextPart(text="a"),
        ),
    )
    with serving(chat("b", reasoning_content="hmm"), chat()) as server:
        talk(server, [*HELLO, foreign, Message.of("user", "c")], [Message.of("user", "d")], options="reasoning=false")
    assert server.bodies[1]["messages"][2:] == [
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "d"},
    ]


def test_calls_without_an_id_get_one_of_their_own():
    call = {"type": "function", "function": {"name": "move", "arguments": {"direction": "n"}}}
    with serving(chat("", tool_calls=[call, call])) as server:
        first, second = talk(server, HELLO, [Message.of("user", "again")], tools=[MOVE])
    ids = [call.id for answer in (first, second) for call in answer.tool_calls]
    assert len(set(ids)) == 4
    assert first.tool_calls[0].arguments == '{"direction": "n"}'
    assert first.finish == "tool_calls"  # though the server said "stop"


@pytest.mark.parametrize(
    ("reply", "finish", "text"),
    [
        (chat("a", finish="stop"), "stop", "a"),
        (chat("a", finish="length"), "length", "a"),
        (chat("a", finish="content_filter"), "refusal", "a"),
        (chat(None, refusal="I will not."), "refusal", "I will not."),
        (chat("a", finish="eos_token"), "stop", "a"),
        (chat(None), "stop", ""),
    ],
)
def test_every_end_of_an_answer_is_told_apart(reply, finish, text):
    with serving(reply) as server:
        (answer,) = talk(server, HELLO)
    assert (answer.finish, answer.text) == (finish, text)


def test_an_empty_answer_can_go_back():
    with serving(chat(""), chat()) as server:
        talk(server, HELLO, [Message.of("user", "well?")])
    assert server.bodies[1]["messages"][2] == {"role": "assistant", "content": ""}


def test_cached_tokens_are_not_counted_as_fresh_ones():
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 15},
    }
    plain = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": None}
    other = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 8}
    with serving(chat(usage=usage), chat(usage=plain), chat(usage=other)) as server:
        answers = talk(server, HELLO, HELLO, HELLO)
    assert [answer.usage for answer in answers] == [
        Usage(input=40, cached=60, output=20, reasoning=15),
        Usage(input=9, output=1),
        Usage(input=1, cached=8, output=1),
    ]


def test_images_are_sent_with_their_bytes():
    data = b"\x89PNG not really"
    part = ImagePart(sha256=hashlib.sha256(data).hexdigest(), width=2, height=1).with_data(data)
    message = Message(role="user", parts=(TextPart(text="look"), part))
    after_a_tool = Message(role="tool", parts=(ToolResultPart(id="c", text="ok"), part))
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    image = {"type": "image_url", "image_url": {"url": url}}
    with serving(chat()) as server:
        talk(server, [message, after_a_tool])
        with pytest.raises(UsageError, match="has no bytes"):
            talk(server, [Message(role="user", parts=(ImagePart(**part.model_dump()),))])
    assert server.bodies[0]["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "look"}, image]},
        {"role": "tool", "tool_call_id": "c", "content": "ok"},
        {"role": "user", "content": [image]},
    ]
    assert build("openai:m@http://127.0.0.1/v1,images=true").traits.images
    assert not build("openai:m@http://127.0.0.1/v1").traits.images


def test_hostile_text_arrives_and_comes_back():
    text = 'NUL \x00, right to left \u202e, \ufffd, quotes " \\ and \u2028'
    with serving(chat(text), chat("\ud800 alone")) as server:
        first, second = talk(server, [Message.of("user", text)], [Message.of("user", "\ud83d")])
    assert server.bodies[0]["messages"][0]["content"] == text
    assert first.text == text
    assert second.text == "\ufffd alone"
    second.model_dump_json()


def test_a_served_name_that_differs_is_kept():
    with serving(chat(top={"model": "m-2026-01-01"}), chat()) as server:
        first, second = talk(server, HELLO, HELLO)
    assert (first.policy_version, second.policy_version) == ("m-2026-01-01", None)


def test_a_fork_and_a_fresh_start_send_the_conversation_they_stand_for():
    async def run(server):
        model = build(f"openai:m@{server.url}/v1")
        first = await model.complete(HELLO, Sampling())
        second = await model.complete([Message.of("user", "b")], Sampling(), (), first)
        await model.complete([Message.of("user", "c")], Sampling(), (), first)
        await model.complete([Message.of("user", "d")], Sampling())
        await model.aclose()
        return second

    with serving(chat("1"), chat("2"), chat("3"), chat("4")) as server:
        second = asyncio.run(run(server))
    said = [[message["content"] for message in body["messages"]] for body in server.bodies]
    assert said == [["play", "hello"], ["play", "hello", "1", "b"], ["play", "hello", "1", "c"], ["d"]]
    assert [message.text for message in second.history] == ["play", "hello", "1", "b", "2"]


def test_thirty_two_at_once_share_the_connections():
    """Requests must overlap, and a second round must reuse what the first one opened."""

    async def run(server):
        model = build(f"openai:m@{server.url}/v1")
        for _ in range(2):
            answers = await asyncio.gather(
                *(model.complete([Message.of("user", str(n))], Sampling()) for n in range(32))
            )
        await model.aclose()
        return answers

    with serving(Answer(chat().data, pause=0.2)) as server:
        answers = asyncio.run(run(server))
    assert [answer.history[0].text for answer in answers] == [str(n) for n in range(32)]
    assert server.most_at_once == 32
    assert len(server.requests) == 64
    assert server.connections == 32


def test_one_model_serves_one_event_loop_after_another():
    """In a notebook every call may bring a loop of its own; connections of a closed loop must not be used again."""
    with serving(chat()) as server:
        model = build(f"openai:m@{server.url}/v1,{FAST}")
        for _ in range(3):
            assert asyncio.run(model.complete(HELLO, Sampling())).text == "fine"

        async def close_and_go_on():
            await model.complete(HELLO, Sampling())
            await model.aclose()
            await model.aclose()
            return await model.complete(HELLO, Sampling())

        assert asyncio.run(close_and_go_on()).text == "fine"
    assert len(server.requests) == 5


def test_tools_and_parts_of_a_model_are_what_its_traits_say():
    traits = build("openai:qwen3@http://localhost:8000/v1").traits
    assert (traits.identity, traits.tools, traits.seeded, traits.priced) == ("qwen3", True, True, False)
    assert not build("openai:qwen3@http://localhost:8000/v1,tools=false").traits.tools
    assert build("openai:qwen3@http://10.0.0.5:8000/v1").traits.priced
