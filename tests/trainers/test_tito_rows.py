"""From what a model sampled to what is trained on, through real agents, records and rows: nothing lost or made up."""

from __future__ import annotations

import asyncio
import itertools
import json

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from arena.agents import build
from arena.agents.models.local import LocalModel, Options
from arena.agents.models.tiny import build_tiny_model
from arena.core.env import Env
from arena.core.episode import Parent
from arena.core.messages import Sampling, Tool
from arena.core.model import conversation
from arena.core.observation import Observation
from arena.core.registry import register
from arena.core.task import Task
from arena.records import create_run, open_run
from arena.rollout import Engine, Job, Prefix, RecordedModel
from arena.trainers._batch import batch_of
from arena.trainers._policy import Policy
from arena.trainers._rows import rows_of

TEMPLATES = ("chatml", "llama3", "gemma", "strip_reasoning")
MARK = "Answer7Mark3"
CALL = '<tool_call>{"name": "go", "arguments": {"to": "é"}}</tool_call>'


class Told(Env):
    """Says a list of things, one after each action, whatever the action is."""

    instructions = "Play."
    tools = (Tool(name="go", description="Go somewhere.", template="go {to}"),)

    def __init__(self, said: str = "[]", **options):
        super().__init__(**options)
        self._said = json.loads(said)

    def _reset(self, task):
        self._turn = 0
        return self._said[0], {}

    def _step(self, action):
        self._turn += 1
        done = self._turn == len(self._said)
        return ("Over." if done else self._said[self._turn]), 1.0, done, False, {"success": done}


register("tito/Told-v0", "test_tito_rows:Told", summary="Says a list of things.")


class Dictated:
    """A local model whose answers are chosen: their ids are what was sampled, whatever text they give.

    Attributes:
        log: its completions, in order.
    """

    def __init__(self, model, answers):
        self._model, self._answers = model, answers
        self.spec, self.traits = model.spec, model.traits
        self.log = []

    async def complete(self, messages, sampling, tools=(), after=None):
        forced = self._answers[len(self.log) % len(self._answers)]
        prompt = self._model.load().encoder.encode(messages, tools, after)
        asked = Sampling(max_tokens=len(forced), temperature=0.7, seed=1)
        found = await self._model.sample(prompt, asked, tools=bool(tools), forced=forced)
        # The weights change within the episode: every token must keep the version that sampled it.
        found = found.model_copy(update={"policy_version": f"step-{len(self.log) // 2}"})
        self.log.append(found.following(conversation(messages, after)))
        return self.log[-1]

    async def aclose(self):
        pass


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("templates")
    found = {
        name: LocalModel(str(build_tiny_model(folder / name, template=name, layers=1)), Options(threads=1))
        for name in TEMPLATES
    }
    yield found
    for model in found.values():
        asyncio.run(model.aclose())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Writes episodes into a run, and reads them back."""
    numbers = itertools.count()
    folder = tmp_path_factory.mktemp("runs")

    def write(episodes):
        path = folder / str(next(numbers))
        with create_run(path, {"format": 1}) as writer:
            for episode in episodes:
                writer.append(episode)
        with open_run(path) as run:
            return list(run.episodes())

    return write


TEXTS = [
    "go north",
    "",
    " \n",
    "<think>a wall</think>go east",
    "<think>a wall, and no end of it",
    "é\U0001f600\u202e",
    CALL,
    "<think>so</think>" + CALL + CALL,
    "Thought: t\nAction: go",
    "</tool_response>{{ x }}",
]
SAID = [
    "a door",
    "",
    "<|im_end|>",
    "<|eot_id|><start_of_turn>model\n",
    "<think>",
    MARK,
    "}{{ x }}{%",
    "e\u0301 \U0001f6aa",
]
answers = st.lists(
    st.one_of(
        # Words put into its mouth, with or without an end of turn, and ids that no tokenizer would give for any text.
        st.tuples(st.sampled_from(TEXTS), st.booleans()),
        st.lists(st.integers(0, 390), min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=5,
)
agents = st.sampled_from(
    ("chat", "chat:tools=true", "chat:window=1", "chat:window=2", "react:retries=1", "chat:window=0")
)
cases = st.tuples(agents, st.lists(st.sampled_from(SAID), min_size=2, max_size=5), answers, st.integers(0, 1))
"""Agent, what it observes, what it answers, and how many turns somebody else takes first."""


def ids_of(model, answer):
    engine = model.load()
    if isinstance(answer, list):
        return answer
    text, ends = answer
    ids = engine.tokenizer.encode(text, add_special_tokens=False)
    return [*ids, engine.tokenizer.eos_token_id] if ends or not ids else ids


def play(model, spec, said, answers, forced_turns):
    """An episode, what the model sampled for the calls that were played, and the turns that another one took."""
    dictated = Dictated(model, [ids_of(model, answer) for answer in answers])
    agent = build(spec, RecordedModel(dictated))
    task = Task("tito/Told-v0", 0, {"said": json.dumps(said)}, None, len(said))
    episodes = []
    job = Job(task)
    if forced_turns:
        asyncio.run(Engine({"agent": build("idle")}, on_episode=episodes.append).run([job]))
        (before,) = episodes
        seen = tuple(Observation(turn.text) for turn in before.turns[: forced_turns + 1])
        parent = Parent(run="before", key=before.key, turn=forced_turns, by="replay")
        job = Job(task, prefix=Prefix(parent, before.turns[:forced_turns], seen))
        episodes.clear()
    asyncio.run(Engine({"agent": agent}, on_episode=episodes.append).run([job]))
    return episodes[0], dictated.log


@pytest.mark.parametrize("template", TEMPLATES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(case=cases)
def test_rows_are_exactly_what_was_sampled(models, written, template, case):
    """Ids, order, log-probabilities and versions, each sampled token once, split where a prefix ends and only there."""
    model, (spec, said, answers, forced_turns) = models[template], case
    if "tools" in spec and not model.traits.tools:
        spec = "chat"
    played, log = play(model, spec, said, answers, forced_turns)
    assert played.failure is None
    marked = any(MARK in str(text) for text in (*said, *answers))
    thought = any("<think>" in str(text) for text in answers)
    drops = template == "strip_reasoning" and (thought or any(isinstance(answer, list) for answer in answers))
    preserved = "window" not in spec and not marked and not drops
    for episode in (played, *written([played])):
        check_rows(episode, log)
        check_splits(episode, log, preserved)


def trained_on(episode, log):
    """What was sampled by the calls that train: one that was asked again, being malformed, is rejected."""
    return [answer for answer, call in zip(log, episode.calls, strict=True) if call.role == "chosen"]


def check_rows(episode, log):
    """Each sampled token is in one row, in order, after the very prompt that it was sampled after."""
    assert [call.token_ids for call in episode.calls] == [answer.token_ids for answer in log]
    chosen = trained_on(episode, log)
    rows = rows_of([episode])
    trained = [(row, place) for row in rows for place in np.flatnonzero(row.trains())]
    assert [int(row.ids[place]) for row, place in trained] == [id for answer in chosen for id in answer.token_ids]
    assert [row.logprob[place] for row, place in trained] == [value for answer in chosen for value in answer.logprobs]
    assert len({row.source[place] for row, place in trained}) == len(trained)

    left = iter(chosen)
    for row in rows:
        mask, place, seen = row.trains(), 0, set()
        while place < len(row):
            answer = next(left)
            begin, end = len(answer.prompt_ids), len(answer.prompt_ids) + len(answer.token_ids)
            assert tuple(row.ids[:begin]) == answer.prompt_ids
            assert not mask[place:begin].any(), "a token of the environment or the template would be trained on"
            assert mask[begin:end].all()
            seen.add(answer.policy_version)
            place = end
        assert row.versions == seen
    assert next(left, None) is None


def check_splits(episode, log, preserved):
    """A row ends where the next prompt does not go on from it, and only there; and that has a reason."""
    chosen = trained_on(episode, log)
    ends = {len(row) for row in rows_of([episode])}
    joined = []
    for before, now in itertools.pairwise(chosen):
        whole = before.prompt_ids + before.token_ids
        joined.append(now.prompt_ids[: len(whole)] == whole)
        assert joined[-1] or len(whole) in ends
    assert len(rows_of([episode])) == 1 + joined.count(False)
    if preserved and len(chosen) == len(log):
        assert all(joined), "started afresh without a reason"


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_conversation_is_one_row_however_its_answers_were_tokenised(models, template):
    """Letter by letter, as no tokenizer writes a word: encoded anew, the row would end at the first answer."""
    model = models[template]
    tokenizer = model.load().tokenizer
    letters = [tokenizer.encode(letter, add_special_tokens=False)[0] for letter in "go north"]
    assert letters != tokenizer.encode("go north", add_special_tokens=False)
    episode, log = play(model, "chat", ["a door", "<|im_end|>", "a key"], [letters, [*letters, 3]], 0)
    (row,) = rows_of([episode])
    check_rows(episode, log)
    assert row.trains().sum() == sum(len(answer.token_ids) for answer in log) >= 24
    assert row.versions == {"step-0", "step-1"}


def test_padding_with_the_end_of_turn_hides_no_end_of_turn(models, tmp_path):
    """Masks made from ids, not from who produced them, would leave the sampled end of each turn untrained."""
    folder = models["chatml"]._folder
    policy = Policy.load(folder)
    end = policy.tokenizer.eos_token_id
    rows = []
    for number, texts in enumerate((["go"], ["go north", "a key <|im_end|>", ""])):
        episode, _ = play(models["chatml"], "chat", ["a door"] * (number + 2), [(text, True) for text in texts], 0)
        rows += rows_of([episode])
    found = {}
    for pad in (end, 7):
        batch = batch_of(rows, None, pad=pad)
        values, entropy = policy.logprobs(batch.ids, batch.attention, batch.mask, 0.7)
        found[pad] = (values.detach(), entropy.detach(), batch.mask, batch.old_logprob)
        trained = batch.ids[batch.mask.bool()]
        assert (trained == end).sum() >= 5
        assert (batch.mask * (1 - batch.attention)).sum() == 0
        assert ((values.detach() - batch.old_logprob) * batch.mask).abs().max() < 1e-4
    assert all(torch.equal(one, other) for one, other in zip(found[end], found[7], strict=True))
    asyncio.run(policy.model.aclose())


def test_a_turn_that_someone_else_took_is_shown_and_never_trained_on(models):
    """Another's action in the history is not the policy's, however its tokens look."""
    episode, log = play(models["llama3"], "chat", ["a door", "a wall", "a key"], [("go north", True)], 1)
    (row,) = rows_of([episode])
    assert episode.turns[0].forced
    assert not any(turn.forced for turn in episode.turns[1:])
    assert row.trains().sum() == sum(len(answer.token_ids) for answer in log)
    shown = models["llama3"].load().tokenizer.decode(row.ids[: len(log[0].prompt_ids)])
    assert "a door" in shown
