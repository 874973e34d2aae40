"""What the engine is asked to run, and where it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from arena.core.episode import ImagePart, Key, Message, Parent, Turn
from arena.core.observation import Observation
from arena.core.task import Task


@dataclass(frozen=True, slots=True)
class Prefix:
    """The turns of a recorded episode that a branch begins with.

    They are executed again and must come out the same, unless `snapshot` holds the environment's
    state after them.

    Attributes:
        observations: what each of the turns acted on, and last what the branch acts on; the images
            among them are needed only with a snapshot.
        state_key, player: of the last observation.
    """

    parent: Parent
    turns: tuple[Turn, ...]
    observations: tuple[Observation, ...]
    snapshot: bytes | None = None
    state_key: str | None = None
    player: str = "agent"


@dataclass(frozen=True, slots=True)
class Job:
    """One episode to run."""

    task: Task
    repeat: int = 0
    step: int = 0
    attempt: int = 0
    prefix: Prefix | None = None

    @property
    def key(self) -> Key:
        """Names the episode in its run."""
        return Key(task=self.task.key, repeat=self.repeat, step=self.step, attempt=self.attempt)


class Sink(Protocol):
    """Where an episode is written while it runs (`records.RunWriter`)."""

    def journal_start(self, key: Key, header: Mapping[str, Any]) -> None:
        """An episode begins."""
        ...

    def journal(self, key: Key, turn: Turn, messages: Sequence[Message] = ()) -> None:
        """A turn is complete; `messages` are new in the episode's table."""
        ...

    def blob(self, part: ImagePart) -> None:
        """Keep an image's bytes."""
        ...

    def blob_bytes(self, data: bytes) -> str:
        """Keep some bytes; returns their SHA-256."""
        ...
