"""How old the weights are that sampled, and playing ahead: episodes of the steps to come while one is trained on.

The policy's version is the number of updates behind it. A token that version v sampled and that is trained on at
version V is V - v steps stale; an episode is as stale as its oldest token. Playing `max_staleness` steps ahead
keeps to that bound of itself; an episode beyond it (from a server that missed its weights) is dropped and counted.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from arena.core.errors import ArenaError

if TYPE_CHECKING:
    from arena.core.episode import Call, Episode, ImagePart, Key, Message, Turn
    from arena.rollout.engine import Writer

T = TypeVar("T")
R = TypeVar("R")

_PREFIX = "step-"


def version_number(version: str | None) -> int | None:
    """The updates behind a version that a training gave out (`step-12`), None for any other."""
    number = (version or "").removeprefix(_PREFIX)
    return int(number) if number.isdigit() and version != number else None


def _sampled(episode: Episode) -> list[Call]:
    chosen = (call for turn in episode.turns if not turn.forced for call in turn.calls if call.role == "chosen")
    return [call for call in chosen if call.token_ids]


def staleness(episode: Episode, version: int) -> int:
    """How many updates the oldest sampled token of an episode is behind; 0 where it has none.

    Tokens of no known version count as of the current one.
    """
    known = [version_number(call.policy_version) for call in _sampled(episode)]
    return max((version - number for number in known if number is not None), default=0)


def fresh(episodes: Sequence[Episode], version: int, most: int) -> tuple[list[Episode], dict[str, Any]]:
    """The episodes that are at most so many updates behind, and what was dropped, as metrics.

    The metrics: `staleness` is the mean over the tokens of what is kept, `staleness_max` that of its stalest
    episode, `dropped_stale` how many episodes were dropped.

    Raises:
        ArenaError: none is left.
    """
    kept = [episode for episode in episodes if staleness(episode, version) <= most]
    if episodes and not kept:
        oldest = min(staleness(episode, version) for episode in episodes)
        raise ArenaError(
            f"All {len(episodes)} episodes of this step were sampled by weights at least {oldest} updates old, and "
            f"max_staleness={most}. Does the server load the weights that it is given?"
        )
    tokens = behind = 0
    for episode in kept:
        for call in _sampled(episode):
            number = version_number(call.policy_version)
            tokens += len(call.token_ids or ())
            behind += len(call.token_ids or ()) * (0 if number is None else version - number)
    return kept, {
        "staleness": behind / max(tokens, 1),
        "staleness_max": max((staleness(episode, version) for episode in kept), default=0),
        "dropped_stale": len(episodes) - len(kept),
    }


class HeldBack:
    """A writer that keeps episodes until their step takes them, so that the record has them in the order of steps.

    Images are stored at once.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._episodes: list[Episode] = []

    def release(self) -> None:
        """Write what was kept."""
        for episode in self._episodes:
            self._writer.append(episode)
        self._episodes.clear()

    def append(self, episode: Episode) -> None:
        """Keep a finished episode."""
        self._episodes.append(episode)

    def journal_start(self, key: Key, header: Mapping[str, Any]) -> None:
        """Nothing: a step that is not taken leaves no trace."""

    def journal(self, key: Key, turn: Turn, messages: Sequence[Message] = ()) -> None:
        """Nothing."""

    def blob(self, part: ImagePart) -> None:
        """Store an image."""
        self._writer.blob(part)

    def blob_bytes(self, data: bytes) -> str:
        """Store some bytes."""
        return self._writer.blob_bytes(data)


class Ahead(Generic[T]):
    """Plays steps one after the other on a thread of its own, some steps ahead of the one that is asked for.

    Args:
        steps: how many steps ahead.
        last: the last step of the run.
        state: what a checkpoint must hold for the next step to be played again; read before each step.
    """

    def __init__(self, steps: int, last: int, state: Callable[[], Any]) -> None:
        self._steps, self._last, self._state = steps, last, state
        self._thread = ThreadPoolExecutor(1, "arena-ahead")
        self._playing: dict[int, Future[T]] = {}
        self._before: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._cancel: Callable[[], Any] | None = None

    def take(self, step: int, play: Callable[[int], T]) -> T:
        """The result of a step, which may have begun long ago; the next ones begin at once.

        Raises:
            Exception: whatever playing it raised.
        """
        for number in range(step, min(step + self._steps, self._last) + 1):
            if number not in self._playing:
                self._playing[number] = self._thread.submit(self._play, number, play)
        return self._playing.pop(step).result()

    def state(self, step: int) -> Any:
        """The state as it was before a step began, or as it is where it has not."""
        with self._lock:
            self._before = {number: state for number, state in self._before.items() if number >= step}
            return self._before[step] if step in self._before else self._state()

    async def cancellable(self, work: Coroutine[Any, Any, R]) -> R:
        """Do some work of a step; `close` ends it before its time."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        with self._lock:
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            if self._closed:
                self._cancel()
        try:
            return await work
        finally:
            with self._lock:
                self._cancel = None

    def close(self) -> None:
        """Stop what is being played. A second call does nothing."""
        with self._lock:
            self._closed = True
            if self._cancel is not None:
                self._cancel()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _play(self, number: int, play: Callable[[int], T]) -> T:
        with self._lock:
            self._before[number] = self._state()
        return play(number)


__all__ = ["Ahead", "HeldBack", "fresh", "staleness", "version_number"]
