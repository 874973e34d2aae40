"""Anthropic's messages API: its own shape of a conversation, thinking that returns untouched, cache points."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import pytest
from scripted_server import chat, claude, serving

from arena.agents.models import build
from arena.core.errors import UsageError
from arena.core.messages import (
    ImagePart,
    Message,
    ReasoningPart,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
    Usage,
)

HELLO = [Message.of("system", "play"), Message.of("user", "hello")]
MOVE = Tool(name="move", description="Go one step.")
POINT = {"cache_control": {"type": "ephemeral"}}


def text(words, **more):
    return {"type": "text", "text": words, **more}


def talk(server, *turns, options="cache_points=false", sampling=None, tools=()):
    """Say the turns one after the other in one conversation; the answers."""

    async def run():
        model = build(f"anthropic:m@{server.url},{options}")
        answers = []
        for messages in turns:
            answer = await model.complete(messages, sampling or Sampling(), tools, answers[-1] if answers else None)
            answers.append(answer)
        await model.aclose()
        return answers

    return asyncio.run(run())


def test_a_request_holds_what_was_asked_for_and_the_limit_the_api_wants():
    with serving(claude()) as server:
        talk(server, HELLO)
        talk(server, HELLO, sampling=Sampling(max_tokens=7, temperature=1.0, top_p=0.5, top_k=3, stop=("x",), seed=9))
    assert server.requests[0].path == "/v1/messages"
    assert server.requests[0].headers["anthropic-version"] == "2023-06-01"
    messages = [{"role": "user", "content": [text("hello")]}]
    common = {"model": "m", "messages": messages, "system": [text("play")]}
    assert server.bodies[0] == {**common, "max_tokens": 16384}
    assert server.bodies[1] == {
        **common,
        "max_tokens": 7,
        "temperature": 1.0,
        "top_p": 0.5,
        "top_k": 3,
        "stop_sequences": ["x"],
    }


def test_a_url_may_end_in_v1():
    async def run(url):
        model = build(f"anthropic:m@{url}")
        await model.complete(HELLO, Sampling())
        await model.aclose()

    with serving(claude()) as server:
        for end in ("", "/", "/v1", "/v1/messages"):
            asyncio.run(run(server.url + end))
    assert {request.path for request in server.requests} == {"/v1/messages"}


def test_thinking_and_calls_go_back_exactly_as_they_came():
    """A thinking block with another signature, or out of its place, is refused by the API."""
    blocks = [
        {"type": "thinking", "thinking": "Where am I?", "signature": "EqQBCgIYAhIM"},
        {"type": "redacted_thinking", "data": "EmwKAhgB"},
        text("I go."),
        {"type": "tool_use", "id": "toolu_1", "name": "move", "input": {"direction": "é", "steps": 1.0}},
        {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}},
        {"type": "tool_use", "id": "toolu_2", "name": "move", "input": {}},
    ]
    results = Message(
        role="tool", parts=(ToolResultPart(id="toolu_1", text="ok"), ToolResultPart(id="toolu_2", text=""))
    )
    with serving(claude(*blocks, stop="tool_use"), claude()) as server:
        first, second = talk(server, HELLO, [results, Message.of("user", "go on")], tools=[MOVE])
    assert first.finish == "tool_calls"
    assert first.text == "I go."
    assert first.parts[0] == ReasoningPart(text="Where am I?", opaque={"type": "thinking", "signature": "EqQBCgIYAhIM"})
    assert [call.arguments for call in first.tool_calls] == ['{"direction": "é", "steps": 1.0}', "{}"]
    assert server.bodies[1]["messages"][1:] == [
        {"role": "assistant", "content": blocks},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": ""},
                text("go on"),
            ],
        },
    ]
    schema = {"type": "object", "properties": {}}
    assert server.bodies[1]["tools"] == [{"name": "move", "description": "Go one step.", "input_schema": schema}]
    assert second.history[2].parts == first.parts


def test_neighbours_of_one_role_are_merged_and_empty_texts_left_out():
    """The API refuses text without a visible character."""
    said = [
        Message.of("system", "play"),
        Message.of("user", "a"),
        Message.of("user", "b"),
        Message.of("assistant", ""),
        Message.of("user", "c"),
        Message.of("system", "hurry"),
        Message.of("assistant", "d"),
        Message.of("user", " \n"),
    ]
    with serving(claude()) as server:
        talk(server, said)
    assert server.bodies[0]["messages"] == [
        {"role": "user", "content": [text("a"), text("b"), text("c"), text("hurry")]},
        {"role": "assistant", "content": [text("d")]},
        {"role": "user", "content": [text("(nothing)")]},
    ]


def test_results_stand_before_whatever_else_the_user_says():
    call = Message(role="assistant", parts=(ToolCallPart(id="a.b", name="move", arguments="{}"),))
    mixed = [Message.of("user", "first"), Message(role="tool", parts=(ToolResultPart(id="a.b", text="ok"),))]
    with serving(claude()) as server:
        talk(server, [*HELLO, call, *mixed])
    assert server.bodies[0]["messages"][1]["content"][0]["id"] == "a_b"
    assert server.bodies[0]["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a_b", "content": "ok"},
        text("first"),
    ]


def test_an_episode_of_another_model_can_be_continued():
    """Forks bring reasoning that is not Anthropic's, and arguments that are no JSON."""
    foreign = Message(
        role="assistant",
        parts=(
            ReasoningPart(text="hm", opaque={"field": "reasoning_content"}),
            ReasoningPart(text="hm"),
            ToolCallPart(id="c", name="move", arguments="{torn"),
        ),
    )
    with serving(claude()) as server:
        talk(server, [*HELLO, foreign, Message(role="tool", parts=(ToolResultPart(id="c", text="no"),))])
    call = {"type": "tool_use", "id": "c", "name": "move", "input": {"arguments": "{torn"}}
    assert server.bodies[0]["messages"][1]["content"] == [call]


def test_images_are_sent_with_their_bytes():
    data = b"\x89PNG not really"
    part = ImagePart(sha256=hashlib.sha256(data).hexdigest(), width=2, height=1).with_data(data)
    with serving(claude()) as server:
        talk(server, [Message(role="user", parts=(TextPart(text="look"), part))])
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(data).decode()}
    assert server.bodies[0]["messages"][0]["content"] == [text("look"), {"type": "image", "source": source}]


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
    ],
)
def test_every_end_of_an_answer_is_told_apart(stop, finish):
    with serving(claude(stop=stop)) as server:
        assert talk(server, HELLO)[0].finish == finish


def test_an_answer_without_blocks_can_go_back():
    empty = claude()
    empty.body["content"] = []
    with serving(empty, claude()) as server:
        first, _ = talk(server, HELLO, [Message.of("user", "well?")])
    assert first.parts == ()
    assert server.bodies[1]["messages"] == [{"role": "user", "content": [text("hello"), text("well?")]}]


def test_tokens_written_to_the_cache_are_fresh_and_those_read_from_it_are_not():
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 300, "output_tokens": 7}
    with serving(claude(usage=usage)) as server:
        assert talk(server, HELLO)[0].usage == Usage(input=25, cached=300, output=7)


def test_a_growing_conversation_is_marked_where_the_next_request_will_continue():
    turns = [HELLO, [Message.of("user", "b")], [Message.of("user", "c")]]
    with serving(claude(text("1")), claude(text("2")), claude(text("3"))) as server:
        talk(server, *turns, options="timeout=60", tools=[MOVE, MOVE])
    first, second, third = server.bodies
    for body in server.bodies:
        assert [("cache_control" in tool) for tool in body["tools"]] == [False, True]
        assert body["system"] == [text("play", **POINT)]
    assert first["messages"] == [{"role": "user", "content": [text("hello")]}]
    assert [message["content"][-1] for message in second["messages"]] == [
        text("hello", **POINT),
        text("1"),
        text("b", **POINT),
    ]
    marked = [
        message["content"][-1]["text"] for message in third["messages"] if "cache_control" in message["content"][-1]
    ]
    assert marked == ["b", "c"]
    assert str(third).count("cache_control") == 4


def test_a_prompt_that_starts_afresh_is_not_written_to_the_cache():
    """Writing costs a quarter more than reading plainly: a sliding window would pay it for nothing."""

    async def run(server):
        model = build(f"anthropic:m@{server.url}")
        for said in ("a", "b"):
            await model.complete([Message.of("system", "play"), Message.of("user", said)], Sampling())
        await model.aclose()

    with serving(claude()) as server:
        asyncio.run(run(server))
    assert all("cache_control" not in str(body["messages"]) for body in server.bodies)


def test_what_the_api_has_not_is_refused_in_words():
    with serving(claude()) as server, pytest.raises(UsageError, match="no log-probabilities"):
        talk(server, HELLO, sampling=Sampling(logprobs=True))
    assert server.requests == []


def test_other_fields_of_the_request_come_from_the_spec():
    options = "body_thinking__type=enabled,body_thinking__budget_tokens=2000,body_service_tier=auto"
    with serving(claude()) as server:
        talk(server, HELLO, options=options)
    assert server.bodies[0]["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert server.bodies[0]["service_tier"] == "auto"


def test_another_apis_answer_is_not_taken_for_one():
    with serving(chat(), claude()) as server:
        assert talk(server, HELLO, options="wait=0.01")[0].text == "fine"
    assert len(server.requests) == 2
