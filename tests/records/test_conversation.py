"""What a model was asked must come out of the record exactly, at a size linear in the calls."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_examples import image

from arena.core.episode import Call, Episode, Key, TaskRecord, TextPart, Turn
from arena.core.messages import Completion, ImagePart, Message, ReasoningPart, Sampling
from arena.records._token_ids import TokenIdTable, common_prefix
from arena.records.conversation import ConversationTable


class Script:
    """Makes calls and remembers what each was really asked, to compare with the record."""

    def __init__(self) -> None:
        self.table = ConversationTable()
        self.calls: list[Call] = []
        self.asked: list[tuple[Message, ...]] = []
        self.ids: list[tuple[int, ...] | None] = []

    def ask(self, prompt, text, after=None, prompt_ids=None, token_ids=None) -> Completion:
        prompt = tuple(prompt)
        answer = Completion(parts=(TextPart(text=text),), prompt_ids=prompt_ids, token_ids=token_ids).following(prompt)
        self.calls.append(self.table.add_call("m", prompt, answer, after=after))
        self.asked.append(prompt)
        self.ids.append(prompt_ids)
        return answer

    def episode(self) -> Episode:
        episode = Episode(
            key=Key(task="t"),
            task=TaskRecord(env="e", seed=0),
            seed=0,
            agents={"agent": "a"},
            messages=self.table.messages,
            turns=(Turn(index=0, observation=(), action="", calls=tuple(self.calls)),),
            outcome="success",
        )
        return Episode.model_validate_json(episode.model_dump_json())

    def check(self) -> int:
        """Everything comes out as it was; returns the record's size."""
        episode = self.episode()
        for call, asked, ids in zip(episode.calls, self.asked, self.ids, strict=True):
            assert episode.prompt(call) == asked
            assert call.prompt_ids is None or episode.ids(call.prompt_ids) == ids
        assert len({message.model_dump_json() for message in episode.messages}) == len(episode.messages)
        return len(episode.model_dump_json())


def say(text: str) -> Message:
    return Message.of("user", text)


def growing(turns: int, with_after: bool) -> Script:
    script, answer = Script(), None
    history: tuple[Message, ...] = (Message.of("system", "s" * 200),)
    ids: tuple[int, ...] = tuple(range(1000, 1050))
    for turn in range(turns):
        ids = (*ids, *range(turn % 7, 20))
        history = (*history, say(f"observation {turn % 9}"))
        sampled = (turn % 13, 5, 6)
        answer = script.ask(history, f"act {turn % 5}", answer if with_after else None, ids, sampled)
        ids, history = ids + sampled, answer.history
    return script


def resent(turns: int) -> Script:
    """An agent that builds every message anew for every call."""
    script = Script()
    for turn in range(turns):
        pairs = [(say(f"o{i % 3}"), Message.of("assistant", f"a{i % 4}")) for i in range(turn)]
        script.ask(
            [Message.of("system", "s"), *(m for pair in pairs for m in pair), say(f"o{turn % 3}")], f"a{turn % 4}"
        )
    return script


def window(turns: int) -> Script:
    script = Script()
    seen: list[Message] = []
    for turn in range(turns):
        seen.append(say(f"observation {turn} " + "x" * 50))
        ids = (1, 2, 3, *range(5 * max(turn - 3, 0), 5 * turn))
        answer = script.ask([Message.of("system", "s" * 200), *seen[-7:]], f"act {turn}", None, ids, (turn, turn))
        seen.append(answer.message)
    return script


def two_speakers(turns: int, with_after: bool) -> Script:
    """A game of two players: their conversations grow in turns."""
    script = Script()
    history: dict[str, tuple[Message, ...]] = {"X": (say("you are X"),), "O": (say("you are O"),)}
    last: dict[str, Completion] = {}
    for turn in range(turns):
        player = "XO"[turn % 2]
        history[player] = (*history[player], say(f"board {turn % 11}"))
        last[player] = script.ask(history[player], f"move {turn}", last.get(player) if with_after else None)
        history[player] = last[player].history
    return script


def best_of(turns: int, n: int = 4) -> Script:
    """Each turn the model is asked n times and one answer, seldom the first, is gone on with."""
    script, chosen = Script(), None
    history: tuple[Message, ...] = (say("start"),)
    ids: tuple[int, ...] = (1, 2)
    for turn in range(turns):
        answers = [script.ask(history, f"{turn}/{k}", chosen, ids, (k, turn)) for k in range(n)]
        chosen = answers[turn * 3 % n]
        history = (*chosen.history, say(f"turn {turn}"))
        ids = (*ids, *(chosen.token_ids or ()), 50, 51)
    return script


SHAPES = {
    "growing": lambda turns: growing(turns, True),
    "growing, without after": lambda turns: growing(turns, False),
    "every message built anew": resent,
    "window": window,
    "two speakers": lambda turns: two_speakers(turns, True),
    "two speakers, without after": lambda turns: two_speakers(turns, False),
    "best of four": best_of,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_prompts_are_exact_and_size_is_linear(shape):
    """Twice the turns may not cost more than twice the bytes (and the longer numbers)."""
    half, whole = SHAPES[shape](100).check(), SHAPES[shape](200).check()
    assert whole < 2.1 * half


def test_a_growing_conversation_costs_what_is_new():
    """If calls did not build on one another, the last one would list everything before it."""
    script = growing(200, True)
    last = script.calls[-1]
    assert (last.extends, last.after) == (198, 198)
    assert len(last.prompt) == 1
    assert last.prompt_ids is not None
    assert last.prompt_ids.call == 198
    assert len(last.prompt_ids.new) <= 20


def test_a_window_is_a_few_ranges():
    """The middle of a window stands together in the table."""
    assert all(len(call.prompt) <= 2 and call.extends is None for call in window(50).calls[4:])


def test_a_failed_request_keeps_its_prompt():
    """The error would have no conversation to look at."""
    script, table = Script(), ConversationTable()
    call = table.add_call("m", [say("a"), say("b")], None, error="ModelUnavailable: gone \ud800")
    assert call.message is None
    assert call.finish == "error"
    assert call.error == "ModelUnavailable: gone \ufffd"
    script.calls, script.table, script.asked, script.ids = [call], table, [(say("a"), say("b"))], [None]
    script.check()
    after_it = script.ask([say("a"), say("b")], "now it works")
    assert after_it.text == "now it works"
    script.check()


def test_an_answer_of_another_episode_is_no_base():
    """Its number would point at an unrelated call of this one."""
    stranger = Completion(parts=(TextPart(text="hello"),)).following((say("other"),))
    script = Script()
    script.ask((*stranger.history, say("b")), "c", after=stranger)
    assert script.calls[0].after is None
    assert script.calls[0].extends is None
    script.check()


def test_a_prompt_that_rewrites_its_history_is_kept_as_it_was():
    """`after` says which ids stand; the messages may still be other ones than it remembers."""
    script = Script()
    first = script.ask([say("a")], "one")
    script.ask([say("A"), first.message, say("b")], "two", after=first)
    assert script.calls[1].after == 0
    script.check()


def test_images_and_reasoning_are_told_apart():
    """Parts that cannot be hashed, or differ only in their bytes being at hand, must neither fail nor be mixed up."""
    script = Script()
    bare = ImagePart(sha256=image(10).sha256, width=3, height=2)
    for part in (image(10), image(20), bare, ReasoningPart(opaque={"a": 1}), ReasoningPart(opaque={"a": True})):
        script.ask([Message(role="user", parts=(part,))], "ok")
    script.check()
    assert len(script.table.messages) == 4 + 1


def test_take_new_gives_each_message_once():
    """The journal would miss messages or hold them twice."""
    script = Script()
    assert script.table.take_new() == ()
    answer = script.ask([say("a")], "b")
    assert [m.text for m in script.table.take_new()] == ["a", "b"]
    script.ask([*answer.history, say("c"), say("a")], "d", after=answer)
    assert [m.text for m in script.table.take_new()] == ["c", "d"]
    assert script.table.take_new() == ()


def test_a_call_says_what_its_answer_said():
    """Fields of the completion must not be lost on the way."""
    answer = Completion(
        parts=(TextPart(text="x"),),
        finish="length",
        token_ids=(1,),
        logprobs=(float("-inf"),),
        logprob_kind="raw",
        policy_version="v",
        server_rendered=True,
        cost=0.5,
        cached_response=True,
    )
    call = ConversationTable().add_call(
        "m", [say("a")], answer, sampling=Sampling(temperature=0.0), role="judge", seconds=1.5
    )
    assert json.loads(call.model_dump_json()) == {
        "role": "judge",
        "model": "m",
        "extends": None,
        "prompt": [[0, 1]],
        "after": None,
        "message": 1,
        "sampling": json.loads(Sampling(temperature=0.0).model_dump_json()),
        "finish": "length",
        "usage": {"input": 0, "cached": 0, "output": 0, "reasoning": 0},
        "prompt_ids": None,
        "token_ids": [1],
        "logprobs": ["-Infinity"],
        "logprob_kind": "raw",
        "policy_version": "v",
        "server_rendered": True,
        "seconds": 1.5,
        "cost": 0.5,
        "cached_response": True,
        "error": None,
    }
    assert Call.model_validate_json(call.model_dump_json()) == call


@given(st.integers(0, 2**32))
def test_any_tree_of_calls_comes_out_as_it_went_in(seed):
    """Random forks, windows, fresh starts and repeated texts, with ids that follow them or do not."""
    rng = random.Random(seed)
    script, answers = Script(), []
    for _ in range(rng.randint(1, 25)):
        after = rng.choice(answers) if answers and rng.random() < 0.7 else None
        new = [say(f"m{rng.randint(0, 4)}") for _ in range(rng.randint(0, 3))]
        if after is not None:
            prompt = [*after.history, *new]
            ids = (*(after.prompt_ids or ()), *(after.token_ids or ()), rng.randint(0, 3))
        else:
            old = rng.choice(answers).history if answers else ()
            prompt = [*old[rng.randint(0, len(old)) :], *new, say("now")]
            ids = tuple(rng.randint(0, 3) for _ in range(rng.randint(0, 8)))
        named = after if rng.random() < 0.8 else None
        some_ids = ids if rng.random() < 0.9 else None
        sampled = (rng.randint(0, 3),) if rng.random() < 0.9 else None
        answers.append(script.ask(prompt, f"a{rng.randint(0, 3)}", named, some_ids, sampled))
    script.check()


@given(st.lists(st.integers(0, 2), max_size=40), st.lists(st.integers(0, 2), max_size=40), st.integers(0, 40))
def test_common_prefix_is_the_longest(a, b, shared):
    """A prefix too short wastes space, one too long is wrong."""
    b = a[:shared] + b
    n = common_prefix(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


def test_ids_are_found_in_a_call_long_ago():
    """A fork far back shares its prefix with a call that is no longer kept written out."""
    table, prompt = TokenIdTable(), tuple(range(50))
    table.add(prompt, (7,), None)
    for i in range(20):
        table.add((900 + i,), (i,), None)
    ids = table.add((*prompt, 7, 8), (9,), 0)
    assert ids is not None
    assert (ids.call, ids.n, ids.new) == (0, 51, (8,))
