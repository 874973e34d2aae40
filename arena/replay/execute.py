"""Run recorded actions again in a fresh environment and report the first turn that differs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio

from arena.core.episode import Episode, Key, TextPart, Turn
from arena.core.errors import ArenaError, EnvironmentFailure
from arena.core.observation import Observation
from arena.core.outcome import Outcome
from arena.core.registry import Registration, registration
from arena.replay.answers import RecordedAnswers
from arena.rollout.hosts import Host, open_host
from arena.rollout.workers import WorkerPool


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first thing that came out differently.

    Attributes:
        turn: index of the turn whose step (or, at -1, whose reset) gave it; the number of turns for the conclusion.
        field: text, reward, terminated, truncated, valid, state_key, success, score, or error.
        expected: what the record says.
        found: what came now.
    """

    turn: int
    field: str
    expected: Any
    found: Any

    @property
    def place(self) -> str:
        """Where, in words."""
        return "at reset" if self.turn < 0 else f"at turn {self.turn}"

    def __str__(self) -> str:
        return f"{self.place}: {self.field} was {_short(self.expected)} and is now {_short(self.found)}"


@dataclass(frozen=True, slots=True)
class Execution:
    """One episode executed again.

    Attributes:
        key: the episode's.
        turns: how many turns were compared.
        divergence: the first difference, None if there is none.
        skipped: why the episode cannot be compared, None if it was.
    """

    key: Key
    turns: int
    divergence: Divergence | None = None
    skipped: str | None = None


class _Diverged(Exception):
    def __init__(self, divergence: Divergence) -> None:
        self.divergence = divergence


async def execute(episode: Episode, pool: WorkerPool) -> Execution:
    """Execute one episode again and compare text, reward, flags, success, score, `state_key` and `valid`.

    What the environment declares `volatile` is left out of texts; an environment declared
    `replay="none: …"` is skipped with that reason.
    """
    known = registration(episode.task.env)
    if known.replay != "exact":
        return Execution(episode.key, 0, skipped=known.replay.partition(":")[2].strip() or "declared not replayable")
    if not episode.turns and episode.outcome in (Outcome.ENVIRONMENT_ERROR, Outcome.INFRASTRUCTURE_ERROR):
        return Execution(episode.key, 0, skipped="the environment never came up")
    check = _Check(episode, known)
    try:
        async with _open(known, episode, pool) as host:
            await check.run(host)
    except _Diverged as found:
        return Execution(episode.key, check.done, found.divergence)
    except EnvironmentFailure as error:
        return Execution(episode.key, check.done, Divergence(check.done, "error", None, str(error)))
    return Execution(episode.key, check.done)


async def execute_all(
    episodes: Iterable[Episode], *, concurrency: int = 8, on_execution: Callable[[Execution], None] | None = None
) -> list[Execution]:
    """Execute many episodes again; the result is in their order.

    Raises:
        UnknownName, MissingPrerequisite: an environment is not there.
        InfrastructureError: what an environment runs on failed, so nothing can be said about the episode.
    """
    pool = WorkerPool()
    queue = enumerate(episodes)
    done: dict[int, Execution] = {}

    async def work() -> None:
        for number, episode in queue:
            done[number] = await execute(episode, pool)
            if on_execution is not None:
                on_execution(done[number])
            await anyio.sleep(0)

    try:
        async with anyio.create_task_group() as group:
            for _ in range(concurrency):
                group.start_soon(work)
    except ExceptionGroup as failures:
        # One is enough to say what is missing or broken; the others say the same.
        raise failures.exceptions[0] from None
    finally:
        pool.close()
    return [done[number] for number in sorted(done)]


class _Check:
    """Walks one episode; `done` counts the turns that came out the same."""

    def __init__(self, episode: Episode, known: Registration) -> None:
        self._episode = episode
        self._known = known
        self.done = 0

    async def run(self, host: Host) -> None:
        episode = self._episode
        task = episode.task
        raw, info = await host.reset(task.seed, {} if task.name is None else {"task": task.name})
        self._compare(-1, "instance", episode.instance, info.get("instance"))
        self._compare_shown(-1, raw, info)
        for turn in episode.turns:
            raw, reward, terminated, truncated, info = await host.step(turn.action)
            self._compare_step(turn, reward, terminated, truncated, info)
            self._compare_shown(turn.index, raw, info)
            self.done += 1
        if episode.turns and (episode.turns[-1].terminated or episode.turns[-1].truncated):
            self._compare_grade(len(episode.turns) - 1, info)
        elif episode.conclusion is not None and episode.conclusion.graded:
            reward, info = await host.conclude(episode.conclusion.reason)
            self._compare(len(episode.turns), "reward", episode.conclusion.reward, reward)
            self._compare_grade(len(episode.turns), info)

    def _compare_step(
        self, turn: Turn, reward: float, terminated: bool, truncated: bool, info: Mapping[str, Any]
    ) -> None:
        if turn.rewards is not None:
            self._compare(turn.index, "rewards", turn.rewards, info.get("rewards"))
        else:
            self._compare(turn.index, "reward", turn.reward, reward)
        self._compare(turn.index, "terminated", turn.terminated, terminated)
        self._compare(turn.index, "truncated", turn.truncated, truncated)
        self._compare(turn.index, "valid", turn.valid, info.get("valid"))

    def _compare_shown(self, turn: int, raw: Any, info: Mapping[str, Any]) -> None:
        """The observation after a turn: what the next turn acted on, or the last one."""
        episode, following = self._episode, turn + 1
        if following < len(episode.turns):
            text, state_key = episode.turns[following].text, episode.turns[following].state_key
        else:
            parts = episode.final_observation
            text = "".join(part.text for part in parts if isinstance(part, TextPart))
            state_key = episode.state_key
        self._compare(turn, "text", self._known.stable(text), self._known.stable(Observation.of(raw, info).text))
        self._compare(turn, "state_key", state_key, info.get("state_key"))

    def _compare_grade(self, turn: int, info: Mapping[str, Any]) -> None:
        if self._episode.outcome.scored:
            self._compare(turn, "success", self._episode.success, bool(info.get("success")))
            self._compare(turn, "score", self._episode.score, info.get("score"))

    def _compare(self, turn: int, field: str, expected: Any, found: Any) -> None:
        if expected != found:
            raise _Diverged(Divergence(turn, field, expected, found))


@asynccontextmanager
async def _open(known: Registration, episode: Episode, pool: WorkerPool) -> AsyncIterator[Host]:
    answers = {role: RecordedAnswers(episode, role) for role in known.roles}
    host = await open_host(known, episode.task.task, pool, answers)
    try:
        yield host
    finally:
        try:
            await host.close()
        except ArenaError as error:
            raise EnvironmentFailure(f"close() failed: {error}") from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:120]} … {text[-60:]}"
