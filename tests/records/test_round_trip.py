"""Any episode comes back from its JSON exactly as it was."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from record_examples import HOSTILE, examples

from arena.core.episode import (
    Call,
    Conclusion,
    Episode,
    Failure,
    Ids,
    ImagePart,
    Key,
    Parent,
    TaskRecord,
    TextPart,
    Timing,
    Tool,
    Turn,
    Usage,
)
from arena.core.messages import Message, ReasoningPart, Sampling, ToolCallPart, ToolResultPart
from arena.core.outcome import Outcome
from arena.records import create_run, open_run

text = st.text(st.characters(), max_size=12) | st.just(HOSTILE)
maybe_text = st.none() | text
number = st.floats()
count = st.integers(0, 2**40)
data = st.dictionaries(
    text,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | text,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text | st.just("$float"), inner, max_size=2),
        max_leaves=4,
    ),
    max_size=2,
)


def some(strategy, most=2):
    return st.lists(strategy, max_size=most).map(tuple)


text_part = st.builds(TextPart, text=text)
image_part = st.builds(ImagePart, sha256=st.just("ab" * 32), width=count, height=count)
part = st.one_of(
    text_part,
    image_part,
    st.builds(ReasoningPart, text=text, opaque=st.none() | data),
    st.builds(ToolCallPart, id=text, name=text, arguments=text),
    st.builds(ToolResultPart, id=text, text=text),
)
message = st.builds(Message, role=st.sampled_from(["system", "user", "assistant", "tool"]), parts=some(part))
usage = st.builds(Usage, input=count, cached=count, output=count, reasoning=count)
ids = st.builds(Ids, call=st.none() | count, n=count, new=some(st.integers(0, 2**31), 4))
key = st.builds(Key, task=text, repeat=count, step=count, attempt=count)
sampling = st.builds(
    Sampling, temperature=st.none() | st.floats(0, allow_nan=False), stop=some(text), seed=st.none() | st.integers()
)
call = st.builds(
    Call,
    role=text.filter(lambda t: t.isascii()),
    model=st.just("m"),
    extends=st.none() | count,
    prompt=some(st.tuples(count, count)),
    message=st.none() | count,
    sampling=sampling,
    usage=usage,
    prompt_ids=st.none() | ids,
    token_ids=st.none() | some(count),
    logprobs=st.none() | some(number),
    policy_version=maybe_text,
    seconds=number,
    cost=st.none() | number,
    error=maybe_text,
)
turn = st.builds(
    Turn,
    index=count,
    player=text,
    observation=some(text_part | image_part),
    results=some(text),
    state_key=maybe_text,
    action=text,
    executed=maybe_text,
    valid=st.none() | st.booleans(),
    error=maybe_text,
    reward=number,
    rewards=st.none() | st.dictionaries(text, number, max_size=2),
    info=data,
    calls=some(call),
    notes=some(text),
    timing=st.builds(Timing, agent=number, environment=number),
)
episode = st.builds(
    Episode,
    key=key,
    task=st.builds(TaskRecord, env=st.just("arena/E-v0"), seed=st.integers(), params=data, name=maybe_text),
    seed=st.integers(),
    agents=st.dictionaries(text, text, max_size=2),
    models=st.dictionaries(text, text, max_size=2),
    briefs=st.dictionaries(text, data, max_size=2),
    instance=maybe_text,
    tools=some(st.builds(Tool, name=text, description=text, parameters=data, template=maybe_text)),
    messages=some(message, 3),
    turns=some(turn),
    final_observation=some(text_part | image_part),
    final_results=some(text),
    state_key=maybe_text,
    conclusion=st.none() | st.builds(Conclusion, reason=st.just("turns"), reward=number, info=data),
    outcome=st.sampled_from(Outcome),
    failure=st.none() | st.builds(Failure, boundary=st.just("agent"), type=text, message=text, trace=text, turn=count),
    score=st.none() | number,
    scores=st.none() | st.dictionaries(text, number, max_size=2),
    success=st.none() | st.booleans(),
    usage=usage,
    cost=st.none() | number,
    seconds=number,
    parent=st.none() | st.builds(Parent, run=st.just("r"), key=key, turn=count, by=st.just("replay")),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(episode)
def test_any_episode_comes_back(original):
    """Compared as text, because NaN equals nothing; lone surrogates have become U+FFFD before."""
    line = original.model_dump_json()
    again = Episode.model_validate_json(line)
    assert repr(again) == repr(original)
    assert again.model_dump_json() == line
    assert "\ud800" not in repr(original)


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(episode, min_size=1, max_size=3, unique_by=lambda e: e.key.slot))
def test_any_episode_comes_back_from_a_run(tmp_path_factory, originals):
    """Through the shard, with and without the index, and its row is the same either way."""
    folder = tmp_path_factory.mktemp("run")
    with create_run(folder, {}) as writer:
        for original in originals:
            writer.append(original)
    lines = [original.model_dump_json() for original in originals]
    with open_run(folder) as run:
        rows = run.rows()
        assert [e.model_dump_json() for e in run.episodes()] == lines
        assert [run.row(original.key).key for original in originals] == [original.key for original in originals]
    (folder / "index.sqlite").unlink()
    with open_run(folder) as run:
        assert repr(run.rows()) == repr(rows)


@pytest.mark.parametrize("place", range(len(examples())))
def test_examples_come_back_equal(place):
    """The examples hold no bare NaN outside infos, so they equal themselves; images too, bytes at hand or not."""
    original = examples()[place]
    again = Episode.model_validate_json(original.model_dump_json())
    assert repr(again) == repr(original)
    assert again.messages == original.messages
