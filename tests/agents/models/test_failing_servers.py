"""Servers that misbehave: what is tried again, what is not, and what is said in the end."""

from __future__ import annotations

import asyncio
import email.utils
import socket
import time

import anyio
import pytest
from scripted_server import Answer, chat, claude, serving

from arena.agents.models import build
from arena.agents.models._refusals import retry_after
from arena.core.errors import ContextOverflow, ModelUnavailable, UsageError
from arena.core.messages import Message, Sampling

HELLO = [Message.of("user", "hello")]
FAST = "wait=0.01,max_wait=0.05"


def ask(server, options=FAST, kind="openai"):
    """One request to the server; what the model answered."""

    async def once():
        model = build(f"{kind}:m@{server.url}/v1,{options}")
        try:
            return await model.complete(HELLO, Sampling())
        finally:
            await model.aclose()

    return asyncio.run(once())


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 529])
def test_a_passing_failure_is_tried_again(status):
    answer = Answer({"error": {"message": "busy"}}, status)
    with serving(answer, answer, chat()) as server:
        assert ask(server).text == "fine"
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422, 301])
def test_a_wrong_request_is_not_tried_again_and_the_error_says_what_to_do(status):
    wrong = Answer({"error": {"message": "no such thing"}}, status)
    with serving(wrong, chat()) as server, pytest.raises(UsageError, match="no such thing") as caught:
        ask(server)
    assert len(server.requests) == 1
    assert f"{server.url}/v1/chat/completions" in str(caught.value)
    assert str(caught.value).endswith(".")


def test_no_credit_is_not_a_matter_of_waiting():
    """OpenAI answers 429 for an empty account: ten minutes of retries would help nobody."""
    broke = Answer({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, 429)
    with serving(broke) as server, pytest.raises(UsageError, match="quota"):
        ask(server)
    assert len(server.requests) == 1


def test_a_server_that_asks_for_time_gets_it():
    with serving(Answer(b"", 429, {"retry-after": "0.3"}), chat()) as server:
        ask(server, "wait=0.001,max_wait=5")
    first, second = server.requests
    assert second.at - first.at >= 0.3


def test_a_server_that_asks_for_an_hour_is_asked_again_after_the_longest_pause():
    with serving(Answer(b"", 429, {"retry-after": "3600"}), chat()) as server:
        assert ask(server, "max_wait=0.01").text == "fine"


def test_retry_after_is_read_as_seconds_and_as_a_date():
    in_a_while = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert retry_after({"retry-after": "7"}) == 7
    assert 90 < retry_after({"retry-after": in_a_while}) <= 100
    assert retry_after({"retry-after": email.utils.formatdate(0, usegmt=True)}) == 0
    for nonsense in ("soon", "", "inf", "nan", "-3"):
        assert retry_after({"retry-after": nonsense}) is None
    assert retry_after({}) is None


def test_after_the_retries_the_last_reason_is_given():
    last = Answer({"error": {"message": "out of memory"}}, 503)
    said = r"in 3 attempts .* 503 Service Unavailable: out of memory"
    with serving(Answer(b"", 500), last) as server, pytest.raises(ModelUnavailable, match=said):
        ask(server, FAST + ",max_retries=2")
    assert len(server.requests) == 3


def test_without_retries_one_attempt_is_made():
    with serving(Answer(b"", 500)) as server, pytest.raises(ModelUnavailable, match="in 1 attempt over"):
        ask(server, "max_retries=0")
    assert len(server.requests) == 1


def test_a_connection_cut_in_mid_body_is_tried_again():
    with serving(Answer(b"x" * 1000, cut_after=400), chat()) as server:
        assert ask(server).text == "fine"
    assert len(server.requests) == 2


def test_a_connection_cut_before_the_answer_is_tried_again():
    with serving(Answer(b"x" * 1000, cut_after=0), chat()) as server:
        assert ask(server).text == "fine"


def test_a_body_that_trickles_in_counts_against_one_total_timeout():
    """A timeout between bytes alone would let a server hold an episode for ever."""
    slow = Answer(chat().data + b" " * 100, pause=30)
    with serving(slow, chat()) as server:
        assert ask(server, FAST + ",timeout=0.3").text == "fine"
    with serving(slow) as server, pytest.raises(ModelUnavailable, match=r"no complete answer within 0\.1 s"):
        ask(server, FAST + ",timeout=0.1,max_retries=1")


@pytest.mark.parametrize(
    "body",
    [b"<html>Bad gateway</html>", b'{"choices": [', b"[1, 2]", b"", b"\xff\xfe", b"[" * 100_000],
    ids=["html", "torn", "list", "empty", "bytes", "deep"],
)
def test_a_body_that_is_no_json_object_is_tried_again(body):
    with serving(Answer(body), chat()) as server:
        assert ask(server).text == "fine"
    with serving(Answer(body)) as server, pytest.raises(ModelUnavailable, match="no JSON object"):
        ask(server, FAST + ",max_retries=1")


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"choices": []},
        {"choices": None},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
        {"choices": [7]},
        {"error": {"message": "overloaded", "code": 502}},
        {"choices": [{"message": {"content": "half"}, "finish_reason": "abort"}]},
        {"choices": [{"message": {"tool_calls": ["what"]}}]},
        {"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{}]}}]},
        {"choices": [{"message": {"content": "x"}, "token_ids": ["one"]}]},
    ],
)
def test_an_answer_without_a_usable_choice_is_tried_again(reply):
    """A malformed answer is the server's fault: it must never look like a bug in an agent."""
    with serving(Answer(reply), chat()) as server:
        assert ask(server).text == "fine"
    with serving(Answer(reply)) as server, pytest.raises(ModelUnavailable, match="cannot be used"):
        ask(server, FAST + ",max_retries=1")
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "reply", [{}, {"content": None}, {"content": [{}]}, {"type": "error", "error": {"message": "no"}}]
)
def test_the_same_holds_for_anthropic(reply):
    with serving(Answer(reply), claude()) as server:
        assert ask(server, kind="anthropic").text == "fine"


def test_ten_megabytes_are_not_read_and_not_asked_for_again():
    huge = chat("x" * 10_000_000)
    with serving(huge) as server, pytest.raises(ModelUnavailable, match=r"more than 8,388,608 bytes.*max_bytes"):
        ask(server)
    assert len(server.requests) == 1
    with serving(huge) as server:
        assert len(ask(server, "max_bytes=20000000").text) == 10_000_000


def test_a_huge_error_page_is_cut_and_its_status_counts():
    with serving(Answer(b"x" * 10_000_000, 500), chat()) as server:
        assert ask(server).text == "fine"
    with serving(Answer(b"x" * 10_000_000, 400)) as server, pytest.raises(UsageError) as caught:
        ask(server)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"message": "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens"}),
        (400, {"message": "boo", "code": "context_length_exceeded"}),
        (400, {"message": "prompt is too long: 210000 tokens > 200000 maximum", "type": "invalid_request_error"}),
        (400, {"message": "input length and `max_tokens` exceed context limit: 1 + 2 > 2"}),
        (400, {"message": "the request exceeds the available context size. try increasing it", "code": 400}),
        (500, {"message": "Context size has been exceeded."}),
        (400, {"message": "The input token count (9) exceeds the maximum number of tokens allowed (8)."}),
        (413, {"message": "Request exceeds the maximum size"}),
    ],
)
def test_a_conversation_that_does_not_fit_is_told_apart(status, error):
    """It truncates the episode; taken for a wrong request it would end the whole run."""
    with (
        serving(Answer({"error": error}, status)) as server,
        pytest.raises(ContextOverflow, match="does not fit openai:m"),
    ):
        ask(server)
    assert len(server.requests) == 1


def test_a_rate_limit_that_speaks_of_tokens_is_no_overflow():
    slow_down = Answer({"error": {"message": "Rate limit: exceeds the maximum of 9 tokens per minute"}}, 429)
    with serving(slow_down, chat()) as server:
        assert ask(server).text == "fine"


@pytest.mark.parametrize(
    "body", [{"detail": "field x"}, {"error": "field x"}, {"message": "field x"}, b"field x", ["field x"]]
)
def test_errors_are_read_in_every_usual_form(body):
    with serving(Answer(body, 400)) as server, pytest.raises(UsageError, match="field x"):
        ask(server)


def test_a_server_that_is_not_there_is_named():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    async def once():
        model = build(f"openai:m@http://127.0.0.1:{port}/v1,{FAST},max_retries=1")
        await model.complete(HELLO, Sampling())

    with pytest.raises(ModelUnavailable, match=f"127.0.0.1:{port}.*Is the server running"):
        asyncio.run(once())


@pytest.mark.parametrize("options", ["timeout=20", "wait=20,max_wait=20"], ids=["in a request", "between attempts"])
def test_a_cancelled_request_ends_at_once(options):
    """Ctrl-C and time limits must not wait for retries."""

    async def once(server):
        model = build(f"openai:m@{server.url}/v1,{options}")
        with anyio.move_on_after(0.3) as scope:
            await model.complete(HELLO, Sampling())
        await model.aclose()
        return scope.cancelled_caught

    answer = Answer(b"", 500) if "wait" in options else Answer(b"{} ", pause=5)
    with serving(answer) as server:
        started = time.monotonic()
        assert asyncio.run(once(server))
        assert time.monotonic() - started < 4
