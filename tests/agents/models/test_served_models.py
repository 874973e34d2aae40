"""What every served model has: its spec, its key, its price, its cache."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback

import pytest
from scripted_server import Answer, chat, claude, serving

from arena.agents.models import build
from arena.agents.models._prices import cost
from arena.core.errors import ArenaError, BadSpec, UnknownName, UsageError
from arena.core.messages import Message, Sampling, Usage
from arena.core.model import Model
from arena.core.specs import Spec

HELLO = [Message.of("user", "hello")]
SECRET = "sk-arena-0123456789abcdefghij"
MILLION = Usage(input=1_000_000, cached=2_000_000, output=3_000_000)


def ask(spec, *turns, seeds=(None,)):
    """Ask once per seed; the completions."""

    async def run():
        model = build(spec)
        answers = [await model.complete(HELLO, Sampling(seed=seed)) for seed in seeds]
        await model.aclose()
        return answers

    return asyncio.run(run())


# specs


@pytest.mark.parametrize(
    "spec",
    [
        "openai:qwen3@http://localhost:8000/v1",
        "openai:org/name:free@http://127.0.0.1:1/v1,timeout=30,max_retries=0,rpm=60,tpm=1000,ids=true,images=true",
        "openai:m@https://example.com/v1,body_reasoning_effort=high,free=true",
        "anthropic:claude@http://[::1]:9/,wait=0.1,cache_points=false",
    ],
)
def test_a_spec_rebuilds_the_model(spec):
    assert build(build(spec).spec).spec == build(Spec.parse(spec)).spec == spec
    assert spec in repr(build(spec))
    assert isinstance(build(spec), Model)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("openai", "names no model"),
        ("openai:@http://localhost/v1", "names no model"),
        ("openai:m@http://localhost/v1,timout=3", "Did you mean timeout"),
        ("openai:m@http://localhost/v1,xyz=3", "There is: body_"),
        ("openai:m@http://localhost/v1,timeout=soon", "expected a number"),
        ("openai:m@http://localhost/v1,timeout=-1", r"at least 0\.001"),
        ("openai:m@http://localhost/v1,max_retries=1.5", "expected a whole number"),
        ("openai:m@http://localhost/v1,ids=yes", "expected true or false"),
        ("openai:m@http://localhost/v1,logprob_kind=cooked", "expected raw or sampled"),
        ("openai:m@http://localhost/v1,body_a=1,body_a__b=2", "also given a value"),
        ("openai:m@http://localhost:port/v1", "cannot be read"),
        ("openai:m@http:///v1", "names no host"),
        (f"openai:m@http://me:{SECRET}@localhost/v1", "keys stay out"),
        (f"openai:m@http://localhost/v1?key={SECRET}", "keys stay out"),
        ("anthropic:m@http://localhost,ids=true", "no option 'ids'"),
    ],
)
def test_a_spec_that_cannot_be_read_is_explained(spec, said):
    with pytest.raises(BadSpec, match=said) as caught:
        build(spec)
    assert SECRET not in str(caught.value)


def test_an_unknown_kind_is_explained_and_a_class_of_ones_own_is_found():
    with pytest.raises(UnknownName, match="Did you mean 'openai'"):
        build("opnai:gpt")
    with pytest.raises(UnknownName, match="Did you mean 'ScriptedModel'"):
        build("arena.agents.models.scripted:ScriptdModel")
    assert build("arena.agents.models.openai:OpenAIModel@http://localhost/v1").traits.identity == "OpenAIModel"


# keys


@pytest.fixture
def keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "MY_KEY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(("kind", "variable"), [("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")])
def test_a_missing_key_is_named_before_anything_is_asked(keys, kind, variable):
    with pytest.raises(UsageError, match=f"export {variable}="):
        build(f"{kind}:m")
    with pytest.raises(UsageError, match="export MY_KEY="):
        build(f"{kind}:m@http://localhost:1/v1,key_env=MY_KEY")
    keys.setenv(variable, SECRET)
    assert build(f"{kind}:m").traits.priced


def test_a_key_goes_only_where_it_belongs(keys):
    """A server that is named in a spec must not be handed the key of another company."""
    keys.setenv("OPENAI_API_KEY", SECRET)
    keys.setenv("MY_KEY", f" {SECRET}-mine\n")
    with serving(chat()) as server:
        ask(f"openai:m@{server.url}/v1")
        ask(f"openai:m@{server.url}/v1,key_env=MY_KEY")
    assert "authorization" not in server.requests[0].headers
    assert server.requests[1].headers["authorization"] == f"Bearer {SECRET}-mine"
    with serving(claude()) as server:
        ask(f"anthropic:m@{server.url},key_env=MY_KEY")
    assert server.requests[0].headers["x-api-key"] == f"{SECRET}-mine"


@pytest.mark.parametrize("value", [f"{SECRET}\nx", f"{SECRET}é"])
def test_a_key_that_no_header_can_carry_is_not_repeated(keys, value):
    """The HTTP library would print it in its own error."""
    keys.setenv("MY_KEY", value)
    with pytest.raises(UsageError, match="MY_KEY holds characters") as caught:
        build("openai:m@http://localhost:1/v1,key_env=MY_KEY")
    assert SECRET not in str(caught.value)


def everything(error):
    """All that an error shows: its words, its causes, and every object reachable from them."""
    shown, seen, left = [], set(), [error]
    while left:
        item = left.pop()
        if item is None or id(item) in seen:
            continue
        seen.add(id(item))
        shown += ["".join(traceback.format_exception(item)), repr(item), repr(vars(item)), repr(item.args)]
        left += [item.__cause__, item.__context__]
        for value in vars(item).values():
            shown.append(repr(getattr(value, "headers", "")) + repr(vars(value) if hasattr(value, "__dict__") else ""))
    return "\n".join(shown)


@pytest.mark.parametrize(
    "answer",
    [
        Answer({"error": {"message": f"Incorrect API key provided: {SECRET}"}}, 401),
        Answer(f"bad key {SECRET}".encode(), 403),
        Answer({"error": f"{SECRET} is out of money"}, 429),
        Answer(f"<html>{SECRET}</html>".encode()),
        Answer({"error": {"message": SECRET}}),
        Answer(b"x" * 100, cut_after=50),
        Answer(b"x" * 100, cut_after=0),
        Answer(b"not gzip", headers={"content-encoding": "gzip"}),
        Answer({"error": {"message": f"context length of {SECRET}"}}, 400),
    ],
)
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_the_key_never_shows(keys, caplog, capfd, kind, answer):
    """Not in an error or its chain, not in the logs at the lowest level, not in the model's own attributes."""
    keys.setenv("MY_KEY", SECRET)
    caplog.set_level(logging.DEBUG)
    with serving(answer) as server:
        spec = f"{kind}:m@{server.url},key_env=MY_KEY,max_retries=1,wait=0.01"
        with pytest.raises(ArenaError) as caught:
            ask(spec)
        assert any(SECRET in value for value in server.requests[0].headers.values())
    model = build(spec)
    output = "".join(capfd.readouterr())
    shown = [
        everything(caught.value),
        caplog.text,
        output,
        repr(model),
        repr(vars(model)),
        model.spec,
        repr(model.traits),
    ]
    shown += [repr(vars(model._remote)), repr(model._remote._endpoint), repr(pickle.dumps(caught.value))]
    shown += [str(vars(record)) for record in caplog.records]
    assert all(SECRET not in text for text in shown)


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_the_key_is_not_in_what_is_recorded(keys, tmp_path, kind):
    keys.setenv("MY_KEY", SECRET)
    with serving(chat() if kind == "openai" else claude()) as server:
        (answer,) = ask(f"{kind}:m@{server.url},key_env=MY_KEY,cache={tmp_path / 'cache.sqlite'}")
    assert SECRET not in answer.model_dump_json() + repr(answer)
    assert all(SECRET.encode() not in path.read_bytes() for path in tmp_path.iterdir())


# prices


def test_known_prices_are_applied_to_each_kind_of_token():
    assert cost("api.openai.com", "gpt-5-mini", MILLION) == pytest.approx(0.25 + 2 * 0.025 + 3 * 2.0)
    assert cost("api.openai.com", "gpt-5-mini-2025-08-07", MILLION) == cost("api.openai.com", "gpt-5-mini", MILLION)
    written = cost("api.anthropic.com", "claude-haiku-4-5-20251001", MILLION, written=400_000)
    assert written == pytest.approx(0.6 * 1.0 + 0.4 * 1.25 + 2 * 0.1 + 3 * 5.0)


def test_a_long_prompt_has_the_price_of_long_prompts_or_none():
    short, long = Usage(input=60_000, cached=40_000), Usage(input=60_001, cached=40_000)
    assert cost("api.anthropic.com", "claude-haiku-5-5", short) == pytest.approx(0.06 * 0.1 + 0.04 * 0.01)
    assert cost("api.anthropic.com", "claude-haiku-5-5", long) == pytest.approx(0.060001 * 0.5 + 0.04 * 0.05)
    assert cost("api.openai.com", "gpt-6-sol", Usage(input=272_001)) is None


def test_what_is_not_in_the_file_is_unknown_and_never_free():
    assert cost("api.openai.com", "gpt-99", MILLION) is None
    assert cost("api.openai.com", "gpt-5-mini-tuned", MILLION) is None
    assert cost("example.com", "gpt-5-mini", MILLION) is None


def test_every_shipped_price_has_a_date_and_makes_sense():
    import tomllib
    from importlib import resources

    text = resources.files("arena.agents.models").joinpath("prices.toml").read_text("utf-8")
    entries = [
        (name, entry) for models in tomllib.loads(text).values() for name, both in models.items() for entry in both
    ]
    assert len(entries) > 10
    for name, entry in entries:
        assert entry["as_of"].year >= 2026, name
        assert 0 < entry["cached"] <= entry["input"] < entry["output"], name


def test_a_users_price_file_comes_first(monkeypatch, tmp_path):
    path = tmp_path / "prices.toml"
    path.write_text(
        '[["10.0.0.5".qwen]]\ninput = 1\noutput = 2\nas_of = 2026-11-01\n'
        '[["api.openai.com".gpt-5]]\ninput = 9\noutput = 9\n'
    )
    monkeypatch.setenv("ARENA_PRICES", str(path))
    assert cost("10.0.0.5", "qwen", MILLION) == pytest.approx(1 + 2 + 6)
    assert cost("api.openai.com", "gpt-5", Usage(input=1_000_000)) == 9
    assert cost("api.openai.com", "gpt-5-mini", Usage(input=1_000_000)) == 0.25


@pytest.mark.parametrize(
    "text",
    ["[", "a = 1", '[[h.m]]\ninput = "x"\noutput = 1', "[[h.m]]\ninput = 1", "[[h.m]]\ninput=1\noutput=1\ncahced=1"],
)
def test_a_price_file_that_cannot_be_read_is_named(monkeypatch, tmp_path, text):
    """Read as empty it would turn every cost into an unknown one."""
    path = tmp_path / "prices.toml"
    path.write_text(text)
    monkeypatch.setenv("ARENA_PRICES", str(path))
    with pytest.raises(UsageError, match=r"prices\.toml \(variable ARENA_PRICES\)"):
        cost("h", "m", MILLION)


def test_a_server_on_this_machine_is_free_and_an_unknown_one_is_not(monkeypatch, tmp_path):
    with serving(chat()) as server:
        (answer,) = ask(f"openai:m@{server.url}/v1")
    assert answer.cost == 0.0
    assert not build("openai:m@http://0.0.0.0:8000/v1").traits.priced
    assert not build("openai:m@https://gpu.example.com/v1,free=true").traits.priced
    assert build("openai:m@https://gpu.example.com/v1").traits.priced


@pytest.mark.parametrize(("usage", "expected"), [(None, 4e-6), ({}, None)])
def test_what_was_charged_for_is_unknown_where_the_server_does_not_say(monkeypatch, tmp_path, usage, expected):
    """Cost must not read zero because a field was missing."""
    path = tmp_path / "prices.toml"
    path.write_text('[["127.0.0.1".m]]\ninput = 0.1\ncached = 0.1\noutput = 0.9333333333\n')
    monkeypatch.setenv("ARENA_PRICES", str(path))
    with serving(chat(usage=usage)) as server:

        async def run():
            model = build(f"openai:m@{server.url}/v1")
            model._remote.priced = True
            answer = await model.complete(HELLO, Sampling())
            await model.aclose()
            return answer

        answer = asyncio.run(run())
    assert answer.cost == (None if expected is None else pytest.approx(expected))


# the cache of answers


def test_an_answer_is_asked_for_once_and_then_read(tmp_path):
    with serving(chat("one"), chat("two")) as server:
        spec = f"openai:m@{server.url}/v1,cache={tmp_path / 'deep' / 'cache.sqlite'}"
        (fresh,) = ask(spec, seeds=[1])
        (again,) = ask(spec, seeds=[1])
    assert len(server.requests) == 1
    assert (fresh.text, fresh.cached_response) == ("one", False)
    assert (again.text, again.cached_response, again.cost) == ("one", True, 0.0)
    assert again.history[-1].text == "one"


def test_seeds_and_repeats_stay_different_samples(tmp_path):
    """One answer for all repeats would make every pass@k the same coin tossed once."""
    with serving(*(chat(str(n)) for n in range(9))) as server:
        spec = f"openai:m@{server.url}/v1,seeded=false,cache={tmp_path / 'cache.sqlite'}"
        seeded = [answer.text for answer in ask(spec, seeds=[1, 2, 1])]
        unseeded = [answer.text for answer in ask(spec, seeds=[None, None])]
        assert [answer.text for answer in ask(spec, seeds=[2, 1])] == ["1", "0"]
        assert [answer.text for answer in ask(spec, seeds=[None, None, None])] == ["2", "3", "4"]
    assert (seeded, unseeded) == (["0", "1", "0"], ["2", "3"])
    assert all("seed" not in body for body in server.bodies)


def test_everything_that_matters_is_in_the_key(tmp_path):
    async def run(server, **changes):
        options = "".join(f",{key}={value}" for key, value in changes.get("options", {}).items())
        model = build(f"openai:{changes.get('name', 'm')}@{server.url}/v1,cache={tmp_path / 'c'}{options}")
        said = [Message.of("user", changes.get("said", "hello"))]
        await model.complete(said, Sampling(seed=1, **changes.get("sampling", {})))
        await model.aclose()

    variants = [
        {},
        {"name": "n"},
        {"said": "bye"},
        {"sampling": {"temperature": 0.5}},
        {"sampling": {"max_tokens": 5}},
        {"options": {"body_min_p": 0.1}},
    ]
    with serving(chat()) as server:
        for variant in variants + variants:
            asyncio.run(run(server, **variant))
        assert len(server.requests) == len(variants)
    with serving(chat()) as another:
        asyncio.run(run(another))
        assert len(another.requests) == 1


def test_failures_are_not_kept(tmp_path):
    with serving(Answer(b"", 500), Answer({"choices": []}), chat("good")) as server:
        spec = f"openai:m@{server.url}/v1,wait=0.01,cache={tmp_path / 'c'}"
        assert [answer.text for answer in ask(spec, seeds=[1, 1])] == ["good", "good"]
    assert len(server.requests) == 3


def test_many_writers_share_one_cache(tmp_path):
    async def run(server):
        models = [build(f"openai:m@{server.url}/v1,cache={tmp_path / 'c'}") for _ in range(4)]
        answers = await asyncio.gather(
            *(model.complete([Message.of("user", str(n))], Sampling(seed=n)) for model in models for n in range(8))
        )
        for model in models:
            await model.aclose()
        return answers

    with serving(chat()) as server:
        asyncio.run(run(server))
        before = len(server.requests)
        answers = asyncio.run(run(server))
    assert len(server.requests) == before
    assert all(answer.cached_response for answer in answers)


def test_the_cache_of_the_user_is_used_where_no_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("ARENA_CACHE", str(tmp_path / "arena"))
    with serving(chat()) as server:
        ask(f"openai:m@{server.url}/v1,cache=true", seeds=[1, 1])
        assert len(server.requests) == 1
        ask(f"openai:m@{server.url}/v1", seeds=[1, 1])
        assert len(server.requests) == 3
    assert (tmp_path / "arena" / "responses.sqlite").exists()
