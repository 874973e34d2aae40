"""The scripted model: the same answers whatever the order, the process or the number of episodes at once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from arena.agents.models import build
from arena.agents.models.scripted import ScriptedModel
from arena.core.errors import BadSpec
from arena.core.messages import Completion, Message, Sampling, TextPart, ToolCallPart, Usage

HELLO = [Message.of("system", "play"), Message.of("user", "hello")]


def shout(messages):
    """A function that a spec can name."""
    return messages[-1].text.upper()


def talk(model, turns=3):
    async def run():
        answers = []
        for turn in range(turns):
            said = HELLO if turn == 0 else [Message.of("user", f"turn {turn}")]
            answers.append(await model.complete(said, Sampling(), (), answers[-1] if answers else None))
        return answers

    return asyncio.run(run())


def texts(answers):
    return [answer.text for answer in answers]


def test_replies_follow_the_conversation_and_begin_again():
    answers = talk(ScriptedModel(["a", "b"]), turns=3)
    assert texts(answers) == ["a", "b", "a"]
    assert [message.text for message in answers[-1].history] == ["play", "hello", "a", "turn 1", "b", "turn 2", "a"]
    assert all(answer.cost == 0.0 for answer in answers)


def test_episodes_at_once_do_not_disturb_each_other():
    """A model that counted its own calls would answer by scheduling."""
    model = ScriptedModel(["a", "b", "c"], latency=0.001)

    async def episode():
        first = await model.complete(HELLO, Sampling())
        second = await model.complete([Message.of("user", "x")], Sampling(), (), first)
        fork = await model.complete([Message.of("user", "y")], Sampling(), (), first)
        return texts([first, second, fork])

    async def run():
        return await asyncio.gather(*(episode() for _ in range(20)))

    assert asyncio.run(run()) == [["a", "b", "b"]] * 20


def test_a_completion_is_given_whole_and_never_shared():
    call = Completion(
        parts=(TextPart(text="go"), ToolCallPart(id="c", name="move", arguments="{}")),
        finish="tool_calls",
        usage=Usage(input=3, output=2),
    )
    model = ScriptedModel([call])
    first, second = talk(model, turns=2)
    assert first.parts == second.parts == call.parts
    assert (first.finish, first.usage) == ("tool_calls", Usage(input=3, output=2))
    assert (len(call.history), len(first.history), len(second.history)) == (0, 3, 5)
    assert texts(talk(build(model.spec), 1)) == ["go"]
    assert talk(build(model.spec), 1)[0] == first


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("scripted:echo", ["hello", "turn 1", "turn 2"]),
        ("scripted:replies=look", ["look", "look", "look"]),
        ('scripted:replies=["north, then east", "south"]', ["north, then east", "south", "north, then east"]),
        (f"scripted:call={__name__}:shout", ["HELLO", "TURN 1", "TURN 2"]),
        ("scripted:replies=look,latency=0.001", ["look", "look", "look"]),
    ],
)
def test_a_spec_rebuilds_the_model(spec, expected):
    model = build(spec)
    assert texts(talk(model)) == expected
    assert texts(talk(build(model.spec))) == expected
    assert build(model.spec).traits == model.traits


def test_a_file_of_replies(tmp_path):
    path = tmp_path / "replies.json"
    path.write_text(json.dumps(["a", {"parts": [{"type": "text", "text": "b"}], "finish": "length"}]))
    answers = talk(build(f"scripted:{path}"), turns=2)
    assert [(answer.text, answer.finish) for answer in answers] == [("a", "stop"), ("b", "length")]
    identity = build(f"scripted:{path}").traits.identity
    path.write_text('["other"]')
    assert build(f"scripted:{path}").traits.identity != identity  # a resumed run must notice


def test_a_model_made_from_objects_has_a_spec_that_another_process_can_use():
    spec = ScriptedModel(["crane", 'quote " and, comma'], latency=0.0).spec
    code = "import asyncio, sys; from arena.agents.models import build; "
    code += "from arena.core.messages import Message, Sampling; "
    code += "print(asyncio.run(build(sys.argv[1]).complete([Message.of('assistant', 'x')], Sampling())).text)"
    result = subprocess.run([sys.executable, "-c", code, spec], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == 'quote " and, comma'


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("scripted", "in one way"),
        ("scripted:echo,replies=look", "in one way"),
        ("scripted:echo@http://localhost/", "in one way"),
        ("scripted:no-such-file.json", "cannot be read"),
        ("scripted:replies=[1]", "no JSON list of texts"),
        ("scripted:replies=[]", "at least one reply"),
        ("scripted:call=arena.nowhere:f", "cannot be imported"),
        ("scripted:call=arena.core.specs:nothing", "cannot be imported"),
        ("scripted:call=arena:__version__", "is no function"),
        ("scripted:replies=a,latenci=1", "Did you mean latency"),
    ],
)
def test_a_spec_that_cannot_be_read_is_explained(spec, said):
    with pytest.raises(BadSpec, match=said):
        build(spec)


def test_an_answer_takes_as_long_as_the_spec_says():
    async def run():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(build("scripted:echo,latency=60").complete(HELLO, Sampling()), 0.05)

    asyncio.run(run())
