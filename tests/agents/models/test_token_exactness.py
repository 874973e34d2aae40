"""Token in, token out: call k is fed what call k - 1 was fed and sampled, and then more; or it is a fresh start."""

from __future__ import annotations

import asyncio
import itertools

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

pytest.importorskip("torch")
pytest.importorskip("transformers")

from arena.agents.models.local import LocalModel, Options
from arena.agents.models.tiny import build_tiny_model
from arena.core.errors import RequestRefused, UsageError
from arena.core.messages import Completion, Message, ReasoningPart, Sampling, TextPart, Tool, ToolResultPart

TEMPLATES = ("chatml", "llama3", "gemma", "strip_reasoning")
MOVE = Tool(name="move", description="Go somewhere.")
CALL = '<tool_call>{"name": "move", "arguments": {"to": "north"}}</tool_call>'


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("templates")
    models = {name: LocalModel(str(build_tiny_model(folder / name, template=name, layers=1))) for name in TEMPLATES}
    yield models
    for model in models.values():
        asyncio.run(model.aclose())


# What an answer may be: left to chance, or words put in the model's mouth, each a trap of its own.
ANSWERS = [
    None,
    "go north",
    "  go north \n",
    "<think>a wall</think>go east",
    "<think>a wall, and no end of it",
    "Answer7Mark3",
    "é\U0001f600",
    CALL,
    "<think>call it</think>" + CALL,
]
SAID = ["a door", "", " \n", "<think>", "Answer7Mark3", "}{{ x }}{%", "\u202ee\u0301 \U0001f6aa", "<|im_end|>"]


async def converse(model, turns, tools):
    """The completions of a conversation: one per (what is said, what is answered, how many tokens)."""
    engine = model.load()
    done: list[Completion] = []
    after = None
    for said, answer, tokens in turns:
        calls = after.tool_calls if after else ()
        results = [Message(role="tool", parts=(ToolResultPart(id=call.id, text=said),)) for call in calls]
        messages = results or [Message.of("user", said)]
        if after is None:
            messages.insert(0, Message.of("system", "Play."))
        prompt = engine.encoder.encode(messages, tools, after)
        forced = engine.tokenizer.encode(answer, add_special_tokens=False) if answer else []
        if forced and tokens % 2:
            forced = [*forced, engine.tokenizer.eos_token_id]
        sampling = Sampling(max_tokens=len(forced) or tokens, seed=tokens)
        completion = await model.sample(prompt, sampling, tools=bool(tools), forced=forced)
        history = (*after.history, *messages) if after else tuple(messages)
        after = completion.following(history)
        done.append(after)
    return done


turns = st.lists(st.tuples(st.sampled_from(SAID), st.sampled_from(ANSWERS), st.integers(1, 9)), min_size=2, max_size=5)


@pytest.mark.parametrize("template", TEMPLATES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=turns, with_tools=st.booleans())
def test_what_is_trained_on_is_what_was_sampled(models, template, turns, with_tools):
    """A tokenizer does not give sampled ids back; one re-encoded answer would train on tokens nobody sampled."""
    model = models[template]
    engine = model.load()
    tools = [MOVE] if with_tools and model.traits.tools else []
    completions = asyncio.run(converse(model, turns, tools))
    for index, (before, now) in enumerate(itertools.pairwise(completions), 1):
        sampled = before.prompt_ids + before.token_ids
        if now.prompt_ids[: len(sampled)] == sampled:
            continue
        rendered = engine.tokenizer.apply_chat_template(
            engine.encoder._plain(now.history[:-1]),
            tools=[_schema(tool) for tool in tools] or None,
            add_generation_prompt=True,
            return_dict=False,
        )
        assert now.prompt_ids == tuple(rendered)
        marked = any("Answer7Mark3" in text for said, answer, _ in turns[: index + 1] for text in (said, answer or ""))
        thought = any(isinstance(part, ReasoningPart) for message in now.history[:-1] for part in message.parts)
        assert marked or (template == "strip_reasoning" and thought), "started afresh without a reason"


def _schema(tool):
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
    }


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_continuation_is_what_the_template_would_have_written(models, template):
    """Where the sampled ids happen to be the tokenizer's own, both ways must give the same ids."""
    model = models[template]
    completions = asyncio.run(
        converse(model, [("a door", "go north", 9), ("a wall", "go east", 9), ("a key", None, 1)], [])
    )
    engine = model.load()
    for completion in completions:
        fresh = engine.encoder.encode(completion.history[:-1], [], None)
        assert fresh.ids == completion.prompt_ids


@pytest.mark.parametrize("tokens", [8, 9])
def test_the_end_of_a_turn_appears_once(models, tokens):
    """Sampled by the model (9) or written by the template (8), never both and never neither."""
    model = models["chatml"]
    _, second = asyncio.run(converse(model, [("a door", "go north", tokens), ("a wall", "go", 9)], []))
    text = model.load().tokenizer.decode(second.prompt_ids)
    assert text.count("assistant\ngo north<|im_end|>\n<|im_start|>user\na wall<|im_end|>") == 1


def test_reasoning_is_kept_or_dropped_as_the_template_says(models):
    turns = [("a door", "<think>a wall</think>go east", 9), ("a key", None, 1)]
    kept = asyncio.run(converse(models["chatml"], turns, []))
    dropped = asyncio.run(converse(models["strip_reasoning"], turns, []))
    assert models["chatml"].load().tokenizer.decode(kept[1].prompt_ids).count("<think>a wall</think>") == 1
    assert "a wall" not in models["strip_reasoning"].load().tokenizer.decode(dropped[1].prompt_ids)


def test_reasoning_before_a_tool_result_is_not_dropped(models):
    """Such templates strip at the next user message only; splitting earlier would waste the sequence."""
    model = models["strip_reasoning"]
    turns = [("a door", "<think>call it</think>" + CALL, 9), ("moved", None, 1)]
    first, second = asyncio.run(converse(model, turns, [MOVE]))
    assert second.prompt_ids[: len(first.prompt_ids) + len(first.token_ids)] == first.prompt_ids + first.token_ids


def test_a_turn_taken_by_someone_else_is_encoded_and_continued(models):
    """A demonstrator's turn between two answers is new text, not a reason to start afresh."""
    model = models["llama3"]
    (first,) = asyncio.run(converse(model, [("a door", None, 5)], []))
    since = [Message.of("user", "a wall"), Message.of("assistant", "go up"), Message.of("user", "a key")]
    answer = asyncio.run(model.complete(since, Sampling(max_tokens=2), (), first))
    assert answer.prompt_ids[: len(first.prompt_ids) + len(first.token_ids)] == first.prompt_ids + first.token_ids
    assert "go up<|eot_id|>" in model.load().tokenizer.decode(answer.prompt_ids)


def test_an_answer_without_ids_is_encoded_with_the_whole(models):
    """One that a remote model gave, for example."""
    model = models["chatml"]
    remote = Completion(parts=(TextPart(text="go north"),)).following((Message.of("user", "a door"),))
    prompt = model.load().encoder.encode([Message.of("user", "a wall")], [], remote)
    assert prompt.kept == 0
    assert "a door<|im_end|>\n<|im_start|>assistant\ngo north<|im_end|>" in model.load().tokenizer.decode(prompt.ids)


def test_a_template_that_opens_the_reasoning_is_followed(tmp_path):
    """The answer then begins inside it, without a mark of its own."""
    folder = build_tiny_model(tmp_path / "model", layers=1)
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("assistant\\n' }}{%- endif %}", "assistant\\n<think>' }}{%- endif %}"))
    model = LocalModel(str(folder), Options(threads=1))
    first, second = asyncio.run(
        converse(model, [("a door", "a wall</think>go east", 9), ("a key", "so</think>go", 9)], [])
    )
    assert first.parts == (ReasoningPart(text="a wall"), TextPart(text="go east"))
    assert second.text == "go"
    assert second.prompt_ids[: len(first.prompt_ids) + len(first.token_ids)] == first.prompt_ids + first.token_ids
    asyncio.run(model.aclose())


def test_a_template_that_refuses_the_system_role_gets_it_in_the_first_message(tmp_path):
    folder = build_tiny_model(tmp_path / "model", layers=1)
    refusing = "{%- if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{%- endif %}"
    path = folder / "chat_template.jinja"
    path.write_text(refusing + path.read_text())
    model = LocalModel(str(folder), Options(threads=1))
    first, second = asyncio.run(converse(model, [("a door", None, 4), ("a wall", None, 4)], []))
    assert "user\nPlay.\n\na door<|im_end|>" in model.load().tokenizer.decode(first.prompt_ids)
    assert second.prompt_ids[: len(first.prompt_ids) + len(first.token_ids)] == first.prompt_ids + first.token_ids
    path.write_text("{{ raise_exception('Never') }}")
    broken = LocalModel(str(folder), Options(threads=1))
    with pytest.raises(UsageError, match="refuses this conversation: Never"):
        asyncio.run(broken.complete([Message.of("user", "hi")], Sampling()))
    for each in (model, broken):
        asyncio.run(each.aclose())


PICKY = "{%- for m in messages if 'poison' in m.content %}{{ raise_exception('No poison here') }}{%- endfor %}"
ALONE = "{%- if messages | length == 1 and messages[0].role == 'system' %}{{ raise_exception('No user') }}{%- endif %}"


@pytest.fixture
def picky(tmp_path):
    """A model whose template takes the system role, but not poison, and not a system message alone."""
    folder = build_tiny_model(tmp_path / "model", layers=1)
    path = folder / "chat_template.jinja"
    path.write_text(PICKY + ALONE + path.read_text())
    model = LocalModel(str(folder), Options(threads=1))
    yield model
    asyncio.run(model.aclose())


def prompt_of(model, *messages):
    """The text a model is given for a conversation."""
    encoder = model.load().encoder
    return model.load().tokenizer.decode(encoder.encode([Message.of(*message) for message in messages], (), None).ids)


@pytest.mark.parametrize(
    "other", [[("system", "Play."), ("user", "poison")], [("system", "Play.")]], ids=["refused", "merged"]
)
def test_a_prompt_does_not_depend_on_what_the_template_refused_before(picky, other):
    """One failed rendering would move the system text of every later episode into its first user message."""
    good = [("system", "Play."), ("user", "a door")]
    before = prompt_of(picky, *good)
    assert "system\nPlay.<|im_end|>" in before
    try:
        prompt_of(picky, *other)
    except RequestRefused:
        assert other[-1] == ("user", "poison")
    assert prompt_of(picky, *good) == before


def test_a_conversation_the_template_refuses_costs_its_episode_only(picky):
    """Before anything was rendered the template itself is wrong; afterwards it is this conversation."""
    with pytest.raises(UsageError, match="No poison here"):
        prompt_of(picky, ("user", "poison"))
    prompt_of(picky, ("user", "a door"))
    with pytest.raises(RequestRefused, match="No poison here"):
        prompt_of(picky, ("user", "poison"))
    assert "a door" in prompt_of(picky, ("user", "a door"))
