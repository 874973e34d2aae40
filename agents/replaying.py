"""The replaying agent: plays the actions of a recorded episode again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arena.agents._actions import read_actions
from arena.agents._build import spec_of
from arena.core.agent import Action, Brief
from arena.core.errors import EpisodeStopped
from arena.core.observation import Observation
from arena.core.outcome import Outcome

if TYPE_CHECKING:
    from arena.core.episode import Episode


@dataclass(frozen=True, kw_only=True)
class ReplayingAgent:
    """Plays recorded actions in order, and stops the episode where the recording ends.

    A scripted agent goes on after its list; this one does not, because nothing was recorded there: an
    episode that is not over by then was cut off, or no longer comes out as it did.

    Attributes:
        actions: a list of actions, a JSON list of them as text, or the path of a file that holds one.

    Raises:
        UsageError: the file cannot be read.
        BadSpec: the file or text is no JSON list of strings.
    """

    actions: str | Sequence[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", read_actions(self.actions))

    @classmethod
    def of(cls, episode: Episode, player: str = "agent") -> ReplayingAgent:
        """Plays one player's part in an episode."""
        return cls(actions=tuple(turn.action for turn in episode.turns if turn.player == player))

    @property
    def spec(self) -> str:
        """Rebuilds this agent; all its actions are part of it."""
        return spec_of("replaying", self)

    def start(self, brief: Brief, seed: int) -> ReplayingSession:
        """Begin an episode."""
        return ReplayingSession(self.actions)


class ReplayingSession:
    """One episode played again; turns played by others count as played."""

    def __init__(self, actions: Sequence[str]) -> None:
        self._actions = actions
        self._turn = 0

    async def act(self, observation: Observation) -> Action:
        """The recorded action for this turn.

        Raises:
            EpisodeStopped: none was recorded.
        """
        turn, self._turn = self._turn, self._turn + 1
        if turn >= len(self._actions):
            raise EpisodeStopped(f"The recording ends after {len(self._actions)} actions and the episode goes on.")
        return Action(self._actions[turn])

    def take(self, observation: Observation, action: str) -> None:
        """This turn of the recording was played by someone else."""
        self._turn += 1

    def end(self, observation: Observation, outcome: Outcome) -> None:
        """Nothing to do."""
