"""One request a server will not take: a refusal of the model, an episode that is not scored, or the end of a run."""

from __future__ import annotations

import asyncio

import pytest
from scripted_server import Answer, chat, claude, serving

from arena.agents.models import build
from arena.core.errors import InfrastructureError, RequestRefused, UsageError
from arena.core.messages import Completion, Message, Sampling, TextPart

HELLO = [Message.of("user", "hello")]


def ask_each(server, *seeds, kind="openai", options="", sampling=None):
    """What one model object gives for each request in turn: completions and errors."""

    async def play():
        model = build(f"{kind}:m@{server.url}/v1,wait=0.01{options}")
        sampling_of = (sampling or Sampling()).model_copy
        given = []
        for seed in seeds:
            try:
                given.append(await model.complete(HELLO, sampling_of(update={"seed": seed})))
            except (InfrastructureError, UsageError) as error:
                given.append(error)
        await model.aclose()
        return given

    return asyncio.run(play())


def wrong(status=400, message="messages[3]: no such role", **fields):
    return Answer({"error": {"message": message, **fields}}, status)


AZURE = {"message": "The response was filtered: the prompt triggered the content management policy.", "type": None}
FILTERED = [
    ("openai", {"message": "no", "code": "content_filter"}),
    ("openai", {"message": "no", "type": "content_policy_violation"}),
    ("openai", {**AZURE, "code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}),
    ("openai", {"message": "no", "code": "400", "innererror": {"code": "ResponsibleAIPolicyViolation"}}),
    ("openai", {**AZURE, "code": "400"}),
    (
        "openai",
        {
            "message": "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
            "type": "invalid_request_error",
            "code": "invalid_prompt",
        },
    ),
    ("openai", {"message": "Input data may contain inappropriate content.", "code": "data_inspection_failed"}),
    ("openai", {"message": "Content Exists Risk", "type": "invalid_request_error"}),
    ("anthropic", {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}),
]


@pytest.mark.parametrize(("kind", "error"), FILTERED)
def test_a_content_filter_is_a_refusal_of_the_model(kind, error):
    """An error here would end the whole run at its first filtered prompt, and again at each resume."""
    with serving(Answer({"error": error}, 400), claude() if kind == "anthropic" else chat()) as server:
        refusal, answer = ask_each(server, None, None, kind=kind)
    assert isinstance(refusal, Completion)
    assert (refusal.finish, refusal.parts, refusal.cost) == ("refusal", (TextPart(text=""),), 0.0)
    assert refusal.history == (*HELLO, refusal.message)
    assert answer.text == "fine"
    assert len(server.requests) == 2


def test_a_refusal_goes_back_as_an_answer_without_text():
    filtered = wrong(code="content_filter")

    async def play(kind):
        model = build(f"{kind}:m@{server.url}/v1")
        refusal = await model.complete(HELLO, Sampling())
        answer = await model.complete([Message.of("user", "go on")], Sampling(), after=refusal)
        await model.aclose()
        return answer.text

    for kind, fine in (("openai", chat()), ("anthropic", claude())):
        with serving(filtered, fine) as server:
            assert asyncio.run(play(kind)) == "fine"
        assert server.bodies[1]["messages"][-1]["role"] == "user"


def test_a_refusal_without_the_tokens_asked_for_does_not_end_a_run():
    with serving(wrong(code="content_filter")) as server:
        (refusal,) = ask_each(server, None, options=",ids=true", sampling=Sampling(logprobs=True))
    assert refusal.finish == "refusal"


def test_a_filter_is_not_kept_in_the_cache(tmp_path):
    """Filters change their mind: what they said once must not be said for ever."""
    options = f",cache={tmp_path / 'answers.sqlite'}"
    with serving(wrong(code="content_filter"), chat()) as server:
        assert [each.finish for each in ask_each(server, 1, options=options)] == ["refusal"]
        assert [each.text for each in ask_each(server, 1, options=options)] == ["fine"]


@pytest.mark.parametrize("status", [400, 422])
def test_a_request_refused_after_others_were_taken_costs_its_episode_only(status):
    with serving(chat(), wrong(status), chat()) as server:
        before, refused, after = ask_each(server, 1, 2, 3)
    assert (before.text, after.text) == ("fine", "fine")
    assert isinstance(refused, RequestRefused)
    assert "messages[3]: no such role" in str(refused)
    assert f"{server.url}/v1/chat/completions" in str(refused)
    assert len(server.requests) == 3


def test_an_answer_from_the_cache_shows_that_requests_are_right(tmp_path):
    """A resumed run reads its first answers there: the request that was refused must not end it now."""
    options = f",cache={tmp_path / 'answers.sqlite'}"
    with serving(chat(), wrong()) as server:
        ask_each(server, 1, options=options)
        _, refused = ask_each(server, 1, 2, options=options)
    assert isinstance(refused, RequestRefused)


def test_a_request_refused_before_any_was_taken_ends_the_run():
    """A wrong field would otherwise leave every episode of a run unscored."""
    with serving(wrong(422), wrong(422), chat()) as server:
        first, second, third = ask_each(server, 1, 2, 3)
    assert type(first) is type(second) is UsageError
    assert third.text == "fine"


@pytest.mark.parametrize(
    "answer",
    [
        *(wrong(status) for status in (301, 401, 402, 403, 404, 405)),
        wrong(429, code="insufficient_quota"),
        wrong(400, "Your credit balance is too low to access the API.", type="invalid_request_error"),
    ],
    ids=lambda answer: str(answer.status),
)
def test_what_no_request_can_pass_ends_the_run_whatever_was_answered(answer):
    """A key that was withdrawn or an account that ran dry would leave every further episode unscored."""
    with serving(chat(), answer) as server:
        _, refused = ask_each(server, 1, 2)
    assert type(refused) is UsageError


def test_a_field_that_has_to_do_with_filters_is_no_refusal():
    """A misspelt field would look like a model that refuses everything."""
    with serving(wrong(message="Unrecognized request argument supplied: content_filter_level")) as server:
        (error,) = ask_each(server, None)
    assert type(error) is UsageError
