"""The light view of an episode: what lists, tables and summaries need, without opening the record."""

from __future__ import annotations

import math
from typing import NamedTuple

from pydantic import BaseModel

from arena.core.episode import Episode, Key, Usage
from arena.core.outcome import Outcome


class Row(NamedTuple):
    """One episode in a run's index.

    `agent` and `model` are the evaluated player's specs; `reward` is the sum of its rewards. Tokens
    are `input` (fresh), `cached` and `output`; `cost` is in US dollars, None if not known.
    """

    shard: str
    offset: int
    length: int
    task: str
    repeat: int
    step: int
    attempt: int
    env: str
    agent: str
    model: str
    outcome: Outcome
    limit: str | None
    score: float | None
    success: bool | None
    reward: float
    turns: int
    input: int
    cached: int
    output: int
    cost: float | None
    seconds: float
    started: str

    @property
    def key(self) -> Key:
        """The episode's key."""
        return Key(task=self.task, repeat=self.repeat, step=self.step, attempt=self.attempt)

    @property
    def slot(self) -> tuple[str, int, int]:
        """The key without the attempt."""
        return (self.task, self.repeat, self.step)

    @property
    def name(self) -> str:
        """The key as text, to be typed: see `key_name`."""
        return key_name(self.task, self.repeat, self.step, self.attempt)

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.input + self.cached + self.output


def key_name(task: str, repeat: int = 0, step: int = 0, attempt: int = 0) -> str:
    """A key as text: `arena/Maze-v0@3`, then `:repeat`, `/step` and `~attempt` where they are not 0."""
    text = f"{task}:{repeat}" if repeat else task
    text = f"{text}/{step}" if step else text
    return f"{text}~{attempt}" if attempt else text


def row_of(episode: Episode, shard: str, offset: int, length: int) -> Row:
    """The row of a record that stands in its shard at `offset`."""
    reward = episode.conclusion.reward if episode.conclusion else 0.0
    return _row(episode, reward, shard, offset, length)


def row_from_json(line: bytes, shard: str, offset: int, length: int) -> Row:
    """The row of a record as it is written, without reading the rest of it.

    Raises:
        ValueError: the line is no episode.
    """
    head = _Head.model_validate_json(line)
    return _row(head, head.conclusion.reward if head.conclusion else 0.0, shard, offset, length)


class _Rewarded(BaseModel):
    reward: float = 0.0


class _Task(BaseModel):
    env: str


class _Head(BaseModel):
    """The fields of `Episode` that a row needs; all others are skipped while parsing."""

    key: Key
    task: _Task
    agents: dict[str, str]
    models: dict[str, str] = {}
    turns: list[_Rewarded] = []
    conclusion: _Rewarded | None = None
    outcome: Outcome
    limit: str | None = None
    score: float | None = None
    success: bool | None = None
    usage: Usage = Usage()
    cost: float | None = None
    seconds: float = 0.0
    started: str = ""


def _row(episode: Episode | _Head, concluded: float, shard: str, offset: int, length: int) -> Row:
    key, usage = episode.key, episode.usage
    return Row(
        shard=shard,
        offset=offset,
        length=length,
        task=key.task,
        repeat=key.repeat,
        step=key.step,
        attempt=key.attempt,
        env=episode.task.env,
        agent=_evaluated(episode.agents),
        model=_evaluated(episode.models),
        outcome=episode.outcome,
        limit=episode.limit,
        score=episode.score,
        success=episode.success,
        reward=_total([turn.reward for turn in episode.turns], concluded),
        turns=len(episode.turns),
        input=usage.input,
        cached=usage.cached,
        output=usage.output,
        cost=episode.cost,
        seconds=episode.seconds,
        started=episode.started,
    )


def _evaluated(specs: dict[str, str]) -> str:
    """The evaluated player's; it is the first."""
    return next(iter(specs.values()), "")


def _total(rewards: list[float], concluded: float) -> float:
    try:
        return math.fsum([*rewards, concluded])
    except (ValueError, OverflowError):
        return math.nan
