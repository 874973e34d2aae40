"""The exact conversations that agents with a model send, turn by turn."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from deterministic_model import SEEING, FixedModel, calls

from arena.agents import build
from arena.core.agent import Brief
from arena.core.errors import ContextOverflow, UsageError
from arena.core.messages import Completion, ReasoningPart, Sampling, TextPart, Tool
from arena.core.observation import Observation
from arena.core.outcome import Outcome
from arena.core.tools import canonical

MOVE = Tool(
    name="move",
    description="Move one step.",
    parameters={"type": "object", "properties": {"direction": {"type": "string"}}, "required": ["direction"]},
    template="move {direction}",
)
LOOK = Tool(name="look", description="Look around.")
BRIEF = Brief("Find the coin.", limits={"turns": 9, "tokens": None})
TOOLS = Brief("Find the coin.", tools=(MOVE, LOOK))

CHAT = ("system", "Find the coin.\n\nLimits: 9 turns.\n\nReply with your next action and nothing else.")
REACT = (
    "system",
    "Find the coin.\n\nLimits: 9 turns.\n\nThink before you act. Each of your replies has exactly this form:\n\n"
    "Thought: what you know, and what to do next\nAction: one action",
)
CALLING = ("system", "Find the coin.\n\nAct by calling the tools: each of your replies calls at least one.")
NORTH = '{"direction": "north"}'


def play(spec: str, answers: list[str | Completion], observations: list, brief: Brief = BRIEF, **model):
    """One episode; an observation that is a pair is a turn that someone else played."""
    asked = FixedModel(list(answers), **model)
    agent = build(spec, asked)

    async def episode():
        session = agent.start(brief, 0)
        actions = []
        for given in observations:
            if isinstance(given, tuple):
                session.take(see(given[0]), given[1])
            else:
                actions.append(await session.act(see(given)))
        session.end(Observation("over"), Outcome.SUCCESS)
        return actions

    return asyncio.run(episode()), asked.requests


def see(given: str | Observation) -> Observation:
    return given if isinstance(given, Observation) else Observation(given)


def test_chat_sends_the_whole_conversation_and_nothing_twice():
    """A model would lose its history, or sampled text would be tokenised again."""
    actions, requests = play("chat", ["a", "b", "c"], ["one", "two", "three"])
    assert [action.text for action in actions] == ["a", "b", "c"]
    assert requests[2].conversation == [
        CHAT,
        ("user", "one"),
        ("assistant", "a"),
        ("user", "two"),
        ("assistant", "b"),
        ("user", "three"),
    ]
    assert [request.new for request in requests] == [[CHAT, ("user", "one")], [("user", "two")], [("user", "three")]]
    assert requests[0].after is None
    assert [request.after.text for request in requests[1:]] == ["a", "b"]
    assert all(request.tools == () for request in requests)


def test_react_asks_again_and_records_what_it_rejected():
    """A malformed reply would cost a turn, or be trained on as if it had been played."""
    actions, requests = play("react", ["hm", "Thought: t\nAction: a", "Action: b"], ["one", "two"])
    assert [action.text for action in actions] == ["a", "b"]
    assert [[c.text for c in action.rejected] for action in actions] == [["hm"], []]
    assert actions[0].rejected[0] is requests[1].after
    again = (
        "No line of your reply begins with `Action:`. Nothing was done. "
        "Reply again: one line that begins with `Thought:`, then one that begins with `Action:`."
    )
    assert requests[2].conversation == [
        REACT,
        ("user", "one"),
        ("assistant", "hm"),
        ("user", again),
        ("assistant", "Thought: t\nAction: a"),
        ("user", "two"),
    ]


def test_a_reply_that_stays_malformed_is_passed_on():
    """The episode would end in an exception, or be asked for ever."""
    actions, requests = play("react:retries=1", ["hm", "hm hm"], ["one"])
    assert len(requests) == 2
    assert actions[0].text == "hm hm"
    assert [c.text for c in actions[0].rejected] == ["hm"]
    assert actions[0].notes == ("malformed reply passed on: No line of your reply begins with `Action:`.",)
    actions, requests = play("react:retries=0", ["hm"], ["one"])
    assert (actions[0].text, actions[0].rejected, len(requests)) == ("hm", (), 1)


@pytest.mark.parametrize("finish", ["length", "refusal"])
def test_an_empty_answer_is_an_action(finish):
    """A refusal would end the episode with an error."""
    actions, _ = play("chat", [Completion(parts=(), finish=finish), "b"], ["one", "two"])
    assert [action.text for action in actions] == ["", "b"]


def test_a_window_is_a_fresh_prompt_of_constant_size():
    """The prompt would grow, or show other turns than the last ones."""
    answers = [f"Thought: secret\nAction: a{n}" for n in range(4)]
    _, requests = play("react:window=2", answers, ["o0", "o1", "o2", "o3"])
    assert [request.after for request in requests] == [None] * 4
    assert [request.new[0] for request in requests] == [REACT] * 4
    assert [request.new[1] for request in requests] == [
        ("user", "o0"),
        ("user", "1 turn has passed. The last one:\n\nObservation: o0\nAction: a0\n\nObservation: o1"),
        (
            "user",
            "2 turns have passed. The last 2:\n\n"
            "Observation: o0\nAction: a0\n\nObservation: o1\nAction: a1\n\nObservation: o2",
        ),
        (
            "user",
            "3 turns have passed. The last 2:\n\n"
            "Observation: o1\nAction: a1\n\nObservation: o2\nAction: a2\n\nObservation: o3",
        ),
    ]


def test_a_window_of_none_shows_the_observation_only():
    """A policy that needs no memory would pay for one."""
    _, requests = play("chat:window=0", ["a", "b"], ["o0", " o1\n"])
    assert requests[1].conversation == [CHAT, ("user", "1 turn has passed.\n\nObservation:  o1\n")]


def test_the_message_of_a_window_can_be_ones_own(tmp_path):
    """A policy would pay in tokens for words that tell it nothing."""
    _, requests = play("chat:window=0,user=observation.j2", ["a", "b"], ["o0", "o1"])
    assert requests[1].conversation == [CHAT, ("user", "o1")]
    file = tmp_path / "mine.j2"
    file.write_text("{% for seen, done in pairs %}{{ done }} -> {% endfor %}{{ observation }} ({{ turns }})")
    _, requests = play(f"chat:window=1,user={file}", ["a", "b"], ["o0", "o1"])
    assert requests[1].conversation == [CHAT, ("user", "a -> o1 (1)")]


@pytest.mark.parametrize("spec", ["chat:system=nothing.j2", "chat:window=0,user=observation.j2,system=nothing.j2"])
def test_a_system_message_without_words_is_left_out(spec):
    """An empty message would cost tokens, and some servers refuse one."""
    _, requests = play(spec, ["a"], ["o0"])
    assert requests[0].conversation == [("user", "o0")]


def test_a_window_asks_again_in_the_same_turn_only():
    """The retry would lack the reply it is about, or stay in the prompts of later turns."""
    _, requests = play("react:window=1", ["hm", "Action: a", "Action: b"], ["o0", "o1"])
    assert [role for role, _ in requests[1].conversation] == ["system", "user", "assistant", "user"]
    assert requests[1].after is not None
    assert requests[2].conversation == [
        REACT,
        ("user", "1 turn has passed. The last one:\n\nObservation: o0\nAction: a\n\nObservation: o1"),
    ]


def test_tool_calls_are_actions_and_each_gets_its_result():
    """A provider refuses a conversation in which a call has no result; parallel calls would be lost."""
    both = calls(("move", NORTH), ("look", ""), text="Let me see.")
    actions, requests = play(
        "chat:tools=true",
        [both, calls(("look", "{}"))],
        ["start", Observation("You move.\nA room.", results=("You move.", "A room."))],
        TOOLS,
    )
    assert [action.text for action in actions] == [
        canonical([("move", {"direction": "north"}), ("look", {})]),
        canonical([("look", {})]),
    ]
    assert requests[1].conversation == [
        CALLING,
        ("user", "start"),
        ("assistant", "Let me see. <c0 move " + NORTH + "> <c1 look >"),
        ("tool", "<c0: You move.>"),
        ("tool", "<c1: A room.>"),
    ]
    assert [request.tools for request in requests] == [(MOVE, LOOK)] * 2


@pytest.mark.parametrize(
    ("results", "shown"),
    [
        ((), ["<c0: A room.>", "<c1: The result above is that of all calls.>"]),
        (("You fall.",), ["<c0: You fall.>", "<c1: This call was not run.>"]),
        (("1", "2", "3"), ["<c0: A room.>", "<c1: The result above is that of all calls.>"]),
    ],
)
def test_calls_without_results_get_the_observation(results, shown):
    """What happened would not reach the model, or a call would stay unanswered."""
    answers = [calls(("move", NORTH), ("look", "{}")), calls(("look", "{}"))]
    _, requests = play("chat:tools=true", answers, ["start", Observation("A room.", results=results)], TOOLS)
    assert requests[1].new == [("tool", text) for text in shown]


def test_a_reply_without_calls_is_asked_again_then_passed_on():
    """Talk would be played at once, or never."""
    answers = ["I move.", calls(("look", "{}")), "look", "just look"]
    actions, requests = play("chat:tools=true", answers, ["one", "two"], TOOLS)
    assert [action.text for action in actions] == [canonical([("look", {})]), "just look"]
    assert [[c.text for c in action.rejected] for action in actions] == [["I move."], ["look"]]
    assert requests[1].new == [
        ("user", "Your reply calls no tool. Nothing was done. Reply again, and call a tool."),
    ]


def test_unreadable_arguments_are_told_as_the_result_of_each_call():
    """A provider refuses a conversation that goes on without the results."""
    answers = [calls(("move", "{"), ("look", "{}")), calls(("move", "{")), calls(("look", "{}"))]
    actions, requests = play("chat:tools=true", answers, ["one", "Not understood."], TOOLS)
    problem = "The arguments of move are not a JSON object. Nothing was done. Reply again, and call a tool."
    assert requests[1].new == [("tool", f"<c0: {problem}>"), ("tool", f"<c1: {problem}>")]
    assert actions[0].text == '[{"tool": "move", "arguments": "{"}]'
    assert requests[2].new == [("tool", "<c0: Not understood.>")]


def test_tools_are_described_in_words_where_they_are_not_called():
    """A model that writes text would not know what it can do."""
    _, requests = play("chat", ["look"], ["one"], TOOLS)
    assert requests[0].new[0][1] == (
        "Find the coin.\n\nAn action is a call of one of these tools, written in the form shown:\n"
        "- move {direction}\n  Move one step.\n  direction: string\n"
        '- [{"tool": "look", "arguments": {}}]\n  Look around.\n\nReply with your next action and nothing else.'
    )


def test_tools_are_left_alone_where_there_are_none():
    """A suite that mixes environments with and without tools could not be run."""
    actions, requests = play("chat:tools=true", ["look"], ["one"])
    assert (actions[0].text, requests[0].tools, requests[0].new[0]) == ("look", (), CHAT)


def test_answers_go_back_unchanged():
    """A provider refuses reasoning that was altered."""
    parts = (ReasoningPart(text="hm", opaque={"signature": "x"}), TextPart(text="a"))
    _, requests = play("chat", [Completion(parts=parts), "b"], ["one", "two"])
    assert requests[1].after.history[-1].parts == parts


def test_chat_continues_turns_that_others_played():
    """After a fork the model would see a history it did not write, or none."""
    _, requests = play("chat", ["a", "b"], [("o0", "x"), "o1", ("o2", "y"), "o3"])
    taken = [CHAT, ("user", "o0"), ("assistant", "x"), ("user", "o1")]
    assert requests[0].new == taken
    assert requests[1].new == [("user", "o2"), ("assistant", "y"), ("user", "o3")]
    assert requests[1].conversation == [*taken, ("assistant", "a"), *requests[1].new]
    assert requests[1].after.text == "a"


def test_react_and_windows_continue_turns_that_others_played():
    """The turns played by others would be missing, or in a form the model never writes."""
    _, requests = play("react", ["Action: a"], [("o0", "x"), "o1"])
    assert requests[0].new == [REACT, ("user", "o0"), ("assistant", "Action: x"), ("user", "o1")]
    _, requests = play("react:window=1", ["Action: a"], [("o0", "x"), ("o1", "y"), "o2"])
    assert (
        requests[0].new[1][1] == "2 turns have passed. The last one:\n\nObservation: o1\nAction: y\n\nObservation: o2"
    )


def test_tool_calling_continues_turns_that_others_played():
    """A taken turn would have calls without ids or results, or ids used twice."""
    taken = canonical([("move", {"direction": "north"}), ("look", {})])
    after = Observation("x", results=("You move.", "A room."))
    answers = [calls(("look", "{}")), calls(("look", "{}"))]
    _, requests = play("chat:tools=true", answers, [("o0", taken), (after, "move south"), "o2", "o3"], TOOLS)
    assert requests[0].new == [
        CALLING,
        ("user", "o0"),
        ("assistant", "<turn_0_0 move " + NORTH + "> <turn_0_1 look {}>"),
        ("tool", "<turn_0_0: You move.>"),
        ("tool", "<turn_0_1: A room.>"),
        ("assistant", "move south"),
        ("user", "o2"),
    ]
    assert requests[1].new == [("tool", "<c0: o3>")]


IMAGE = np.zeros((2, 3, 3), np.uint8)


@pytest.mark.parametrize("spec", ["chat", "chat:window=1"])
def test_a_model_that_sees_gets_the_image(spec):
    """An image would be lost, or its bytes would not reach the model."""
    seen = [Observation("one", IMAGE), Observation("two", IMAGE)]
    actions, requests = play(spec, ["a", "b"], seen, traits=SEEING)
    for request in requests:
        role, text = request.new[-1]
        assert role == "user"
        assert text.endswith(" <image 3x2>")
        assert request.messages[-1].parts[-1].data.startswith(b"\x89PNG")
    assert actions[0].notes == ()


def test_an_image_beside_tool_results_follows_them():
    """Tool messages take text only, so the image needs a message of its own."""
    seen = ["one", Observation("two", IMAGE, results=("two",))]
    _, requests = play("chat:tools=true", [calls(("look", "{}"))] * 2, seen, TOOLS, traits=SEEING)
    assert requests[1].new == [("tool", "<c0: two>"), ("user", "<image 3x2>")]


def test_a_model_that_does_not_see_is_told_so_once():
    """The drop would be silent, or said over and over."""
    seen = [Observation("one", IMAGE), Observation("two", IMAGE), "three"]
    actions, requests = play("chat", ["a", "b", "c"], seen)
    unseen = "(There is an image here. You cannot see images; go by the text.)"
    assert requests[2].conversation == [
        CHAT,
        ("user", f"one\n\n{unseen}"),
        ("assistant", "a"),
        ("user", "two"),
        ("assistant", "b"),
        ("user", "three"),
    ]
    dropped = ("image dropped: fixed takes text only",)
    assert [action.notes for action in actions] == [dropped, dropped, ()]
    _, requests = play("chat:window=1", ["a", "b"], seen[:2])
    assert [request.new[1][1].count(unseen) for request in requests] == [1, 1]
    results = [Observation("", IMAGE, results=("r",))]
    _, requests = play("chat:tools=true", [calls(("look", "{}"))] * 2, ["one", *results], TOOLS)
    assert requests[1].new == [("tool", "<c0: r>"), ("user", unseen)]


def test_only_the_sampling_options_that_were_set_are_sent():
    """A server's own defaults would be overridden without anyone asking."""
    _, requests = play("chat", ["a"], ["one"])
    assert requests[0].sampling == Sampling()
    spec = 'react:temperature=0.5,top_p=0.9,top_k=7,max_tokens=64,stop=["Observation:", "\\n\\n"],logprobs=true'
    _, requests = play(spec, ["Action: a"], ["one"])
    assert requests[0].sampling == Sampling(
        temperature=0.5, top_p=0.9, top_k=7, max_tokens=64, stop=("Observation:", "\n\n"), logprobs=True
    )


def test_an_overflow_passes_through():
    """The engine could not tell a conversation that is too long from a bug."""

    class Full(FixedModel):
        async def complete(self, messages, sampling, tools=(), after=None):
            raise ContextOverflow("too long")

    with pytest.raises(ContextOverflow):
        asyncio.run(build("chat", Full([])).start(BRIEF, 0).act(Observation("one")))


def test_a_failed_request_leaves_the_history_as_it_was():
    """A turn tried again would be in the conversation twice."""
    model = FixedModel(["a", "b"])
    session = build("chat", model).start(BRIEF, 0)
    asyncio.run(session.act(Observation("one")))
    answers, model.answers = model.answers, []
    with pytest.raises(IndexError):
        asyncio.run(session.act(Observation("two")))
    model.answers = answers
    asyncio.run(session.act(Observation("two")))
    assert model.requests[1].conversation == [CHAT, ("user", "one"), ("assistant", "a"), ("user", "two")]


def test_a_players_name_is_in_the_prompt():
    """A player of several would not know which one it is."""
    _, requests = play("chat", ["a"], ["one"], Brief("Play.", player="crosses"))
    assert requests[0].new[0][1].startswith("Play.\n\nYou are crosses.\n\nReply")


def test_a_prompt_of_ones_own(tmp_path):
    """`system=FILE` would not be used, or could not build on what there is."""
    file = tmp_path / "mine.j2"
    file.write_text("{% include 'task.j2' %}\n\nBe brief.")
    _, requests = play(f"chat:system={file}", ["a"], ["one"])
    assert requests[0].new[0] == ("system", "Find the coin.\n\nLimits: 9 turns.\n\nBe brief.")


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ instruction }}", "uses 'instruction', which is not one of its variables. Its variables are instructions"),
        ("{% if false %}{{ nowhere }}{% endif %}", "uses 'nowhere'"),
        ("{{ instructions.", "is no template: line 1"),
        ("{% include 'no.j2' %}", "includes 'no.j2'; it can include those of Arena only"),
        ("{{ limits.seconds }}", "no attribute 'seconds'"),
        ("{% for tool in tools %}{{ tool.nme }}{% endfor %}", "no attribute 'nme'"),
    ],
)
def test_a_prompt_with_a_mistake_names_it(tmp_path, template, says):
    """A misspelt variable would be an empty place in the prompt."""
    file = tmp_path / "wrong.j2"
    file.write_text(template)
    with pytest.raises(UsageError) as caught:
        build(f"chat:system={file}", FixedModel([])).start(TOOLS, 0)
    assert says in str(caught.value)
    assert "wrong.j2" in str(caught.value)


def test_a_prompt_that_is_not_there_is_named():
    """A wrong path would end in a traceback."""
    with pytest.raises(UsageError, match=r"The prompt no/such\.j2 cannot be read"):
        build("chat:system=no/such.j2", FixedModel([]))


def test_equal_briefs_share_one_system_message():
    """The prompt would be rendered, and kept in memory, once per episode."""
    model = FixedModel(["a"] * 3)
    agent = build("chat", model)
    for brief in (TOOLS, Brief("Find the coin.", tools=(MOVE, LOOK)), Brief("Find the coins.", tools=(MOVE, LOOK))):
        asyncio.run(agent.start(brief, 0).act(Observation("one")))
    first, same, other = (request.messages[0] for request in model.requests)
    assert first is same
    assert other.text.startswith("Find the coins.")
