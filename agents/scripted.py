"""The scripted agent: plays what it was told beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arena.agents._actions import read_actions
from arena.agents._build import spec_of
from arena.core.agent import Action, Brief
from arena.core.errors import UsageError
from arena.core.observation import Observation
from arena.core.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class ScriptedAgent:
    """Plays a list of actions and is idle after it, or plays one action every turn.

    Attributes:
        actions: a list of actions, a JSON list of them as text, or the path of a file that holds one.
        text: one action, played every turn.

    Raises:
        UsageError: neither or both of them are given, or the file cannot be read.
        BadSpec: the file or text is no JSON list of strings.
    """

    actions: str | Sequence[str] | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        if (self.actions is None) == (self.text is None):
            raise UsageError("The agent scripted takes either actions=FILE or text=ACTION.")
        if self.actions is not None:
            object.__setattr__(self, "actions", read_actions(self.actions))

    @property
    def spec(self) -> str:
        """Rebuilds this agent without the file."""
        return spec_of("scripted", self)

    def start(self, brief: Brief, seed: int) -> ScriptedSession:
        """Begin an episode."""
        if self.text is not None:
            return ScriptedSession((), self.text)
        return ScriptedSession(self.actions or (), brief.idle)


class ScriptedSession:
    """One episode of a script; turns played by others count as played."""

    def __init__(self, actions: Sequence[str], then: str) -> None:
        self._actions = actions
        self._then = then
        self._turn = 0

    async def act(self, observation: Observation) -> Action:
        """The script's action for this turn."""
        turn, self._turn = self._turn, self._turn + 1
        return Action(self._actions[turn] if turn < len(self._actions) else self._then)

    def take(self, observation: Observation, action: str) -> None:
        """This turn of the script was played by someone else."""
        self._turn += 1

    def end(self, observation: Observation, outcome: Outcome) -> None:
        """Nothing to do."""
