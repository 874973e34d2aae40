"""The record of an episode: what evaluation, replay, the viewer and every trainer read.

Size is linear in the turns: every message stands once in the episode's table, a call's prompt is
ranges into that table, and a call's prompt ids are "the first n ids of an earlier call, then these".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Literal

from pydantic import Field, field_validator

from arena.core.errors import RecordDamaged
from arena.core.jsondata import JsonObject
from arena.core.messages import (
    Completion,
    ImagePart,
    Message,
    Part,
    Record,
    Sampling,
    TextPart,
    Tool,
    UnicodeText,
    Usage,
)
from arena.core.outcome import Outcome
from arena.core.task import Task

FORMAT = 1
"""Version of the record's schema; a reader refuses a newer one and keeps reading older ones."""

ObservationPart = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class TaskRecord(Record):
    """The task as it was run; see `core.task.Task`."""

    env: str
    seed: int
    params: JsonObject = {}
    name: UnicodeText | None = None
    max_turns: int | None = None

    @property
    def task(self) -> Task:
        """The task itself."""
        return Task(self.env, self.seed, self.params, self.name, self.max_turns)


class Key(Record):
    """Names an episode in its run: (task, repeat, step) and the attempt; the newest attempt counts."""

    task: UnicodeText
    repeat: int = 0
    step: int = 0
    attempt: int = 0

    @property
    def slot(self) -> tuple[str, int, int]:
        """The key without the attempt."""
        return (self.task, self.repeat, self.step)


class Ids(Record):
    """Token ids in short: the first `n` ids of the sequence of call `call` (prompt and answer), then `new`."""

    call: int | None = None
    n: int = 0
    new: tuple[int, ...] = ()

    def written_out(self, calls: Sequence[tuple[Ids | None, tuple[int, ...] | None]]) -> tuple[int, ...]:
        """The ids themselves, given the prompt ids and the sampled ids of all calls."""
        pieces, call, n = [self.new], self.call, self.n
        while call is not None and n > 0:
            prompt, sampled = calls[call]
            if prompt is None or sampled is None:
                raise RecordDamaged(f"Token ids refer to call {call}, which has none.")
            length = prompt.n + len(prompt.new)
            pieces += [sampled[: max(n - length, 0)], prompt.new[: max(n - prompt.n, 0)]]
            call, n = prompt.call, min(n, prompt.n)
        return tuple(chain.from_iterable(reversed(pieces)))


class Failure(Record):
    """What went wrong, for the four outcomes that are errors."""

    boundary: Literal["agent", "environment", "infrastructure", "harness"]
    type: UnicodeText
    message: UnicodeText
    trace: UnicodeText = ""
    turn: int


class Call(Record):
    """One request to a model. Calls are numbered through the episode, in the order they returned.

    Attributes:
        role: `chosen` calls made the action; `rejected` and `auxiliary` ones do not train; other
            names are the environment's roles (a simulated user, a judge).
        extends: an earlier call that the prompt goes on with: its prompt and its answer come first.
        prompt: ranges [start, stop) into the episode's messages, after those; `Episode.prompt` joins both.
        after: the call whose completion the request named, so that its ids stand as they are.
        message: index of the answer in the episode's messages; None if the request failed.
        prompt_ids: the exact ids of the prompt, where the back end gives them.
        token_ids, logprobs: the n sampled ids and their log-probabilities (nats).
        server_rendered: the server turned the messages into ids (chat completions): for evaluation only,
            since earlier answers may stand in the prompt as other ids than were sampled.
        seconds: wall time of the request, waiting included.
        cost: US dollars; None if the price is not known.
    """

    role: str = "chosen"
    model: str
    extends: int | None = None
    prompt: tuple[tuple[int, int], ...]
    after: int | None = None
    message: int | None = None
    sampling: Sampling = Sampling()
    finish: str = "stop"
    usage: Usage = Usage()
    prompt_ids: Ids | None = None
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    logprob_kind: Literal["raw", "sampled"] | None = None
    policy_version: UnicodeText | None = None
    server_rendered: bool = False
    seconds: float = 0.0
    cost: float | None = None
    cached_response: bool = False
    error: UnicodeText | None = None


class Timing(Record):
    """Wall seconds of one turn: the agent's own and its models', the environment's."""

    agent: float = 0.0
    environment: float = 0.0


class Turn(Record):
    """One environment step: what was observed, what was done, what came back.

    Attributes:
        observation: what the player acted on; its state's key is `state_key`.
        results: texts of the tool results that came with the observation.
        forced: the action was not the agent's (a fork's prefix, a demonstration).
        reward: the evaluated player's; `rewards` has all players' where there are several.
        info: the environment's info about this action, without the keys kept as fields here.
        notes: remarks of the agent and the engine (a dropped image, replaced characters).
        snapshot: the environment's state before this turn, as the SHA-256 of a file under `blobs/`.
    """

    index: int
    player: UnicodeText = "agent"
    observation: tuple[ObservationPart, ...]
    results: tuple[UnicodeText, ...] = ()
    state_key: UnicodeText | None = None
    action: UnicodeText
    forced: bool = False
    executed: UnicodeText | None = None
    valid: bool | None = None
    error: UnicodeText | None = None
    reward: float = 0.0
    rewards: dict[UnicodeText, float] | None = None
    terminated: bool = False
    truncated: bool = False
    info: JsonObject = {}
    calls: tuple[Call, ...] = ()
    notes: tuple[UnicodeText, ...] = ()
    timing: Timing = Timing()
    snapshot: str | None = None

    @property
    def text(self) -> str:
        """The text of the observation acted on."""
        return "".join(part.text for part in self.observation if isinstance(part, TextPart))


class Conclusion(Record):
    """What `conclude` said when the harness ended the episode; not `graded` if the environment no longer answered."""

    reason: str
    graded: bool = True
    reward: float = 0.0
    info: JsonObject = {}


class Parent(Record):
    """Where a branch comes from: the first `turn` turns are the parent's."""

    run: str
    key: Key
    turn: int
    by: Literal["snapshot", "replay"]


class Episode(Record):
    """One episode, from reset to its outcome.

    Attributes:
        seed: the agent's seed (the environment's is the task's).
        agents: player -> agent spec; `models`: player -> model spec.
        briefs: player -> what it was told, as the environment gave it.
        instance: names the generated content, where the environment says so.
        messages: every message of every call, once.
        unfinished_calls: calls of a turn that never came to an action.
        state_key: the state shown by `final_observation`.
        limit: for `truncated`: which limit (turns, tokens, cost, time, turn_time, context, or the environment's own).
        score, success: None where the outcome is unscored.
        started: UTC, ISO 8601.
        replaced: characters that were not valid Unicode and became U+FFFD.
    """

    format: int = FORMAT
    key: Key
    task: TaskRecord
    seed: int
    agents: dict[UnicodeText, UnicodeText]
    models: dict[UnicodeText, UnicodeText] = {}
    env_version: str = ""
    briefs: dict[UnicodeText, JsonObject] = {}
    instance: UnicodeText | None = None
    tools: tuple[Tool, ...] = ()
    messages: tuple[Message, ...] = ()
    turns: tuple[Turn, ...] = ()
    unfinished_calls: tuple[Call, ...] = ()
    final_observation: tuple[ObservationPart, ...] = ()
    final_results: tuple[UnicodeText, ...] = ()
    state_key: UnicodeText | None = None
    conclusion: Conclusion | None = None
    outcome: Outcome
    limit: str | None = None
    failure: Failure | None = None
    score: float | None = None
    scores: dict[UnicodeText, float] | None = None
    success: bool | None = None
    usage: Usage = Usage()
    cost: float | None = 0.0
    started: str = ""
    seconds: float = 0.0
    replaced: int = 0
    parent: Parent | None = None

    @field_validator("format")
    @classmethod
    def _readable(cls, value: int) -> int:
        if value > FORMAT:
            raise ValueError(f"this record has format {value}; this version of Arena reads up to {FORMAT}: upgrade it")
        return value

    @property
    def total_reward(self) -> float:
        """Sum of the evaluated player's rewards, the conclusion's included."""
        return math.fsum(t.reward for t in self.turns) + (self.conclusion.reward if self.conclusion else 0.0)

    @property
    def calls(self) -> list[Call]:
        """All calls, in order: `Ids.call`, `Call.after` and `Call.extends` index this list."""
        return [*(call for turn in self.turns for call in turn.calls), *self.unfinished_calls]

    def prompt(self, call: Call) -> tuple[Message, ...]:
        """The messages a call was asked with, all of them."""
        calls = self.calls if call.extends is not None else []
        ranges = list(reversed(call.prompt))
        while call.extends is not None:
            call = calls[call.extends]
            if call.message is not None:
                ranges.append((call.message, call.message + 1))
            ranges += reversed(call.prompt)
        return tuple(m for start, stop in reversed(ranges) for m in self.messages[start:stop])

    def ids(self, ids: Ids) -> tuple[int, ...]:
        """Token ids written out."""
        return ids.written_out([(call.prompt_ids, call.token_ids) for call in self.calls])

    def sequence(self, call: Call) -> tuple[int, ...]:
        """The ids of a call's prompt followed by the sampled ones (empty where the back end gave none)."""
        if call.prompt_ids is None or call.token_ids is None:
            return ()
        return (*self.ids(call.prompt_ids), *call.token_ids)


__all__ = [
    "FORMAT",
    "Call",
    "Completion",
    "Conclusion",
    "Episode",
    "Failure",
    "Ids",
    "ImagePart",
    "Key",
    "Message",
    "ObservationPart",
    "Parent",
    "Part",
    "Record",
    "Sampling",
    "TaskRecord",
    "TextPart",
    "Timing",
    "Tool",
    "Turn",
    "UnicodeText",
    "Usage",
]
