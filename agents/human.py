"""A person at a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from arena.core.agent import Action, Brief
from arena.core.errors import EpisodeStopped
from arena.core.observation import Observation
from arena.core.outcome import Outcome

HELP = "Type an action. ? lists the legal ones, hint asks for one, Ctrl-D ends the episode (\\? sends a ? as it is)."
_MOST_LISTED = 50


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@dataclass(frozen=True, eq=False)
class HumanAgent:
    """Shows each observation and reads a line, the action.

    `?` shows the legal actions and `hint` the oracle's, where the environment has them; a backslash in front
    sends them (or anything) as an action. The end of the input (Ctrl-D) ends the episode as cancelled.

    Attributes:
        read: returns a line for a prompt, and raises EOFError at the end; runs in a thread of its own.
        write: shows some lines.
    """

    read: Callable[[str], str] = field(default=input)
    write: Callable[[str], None] = field(default=_write)

    @property
    def spec(self) -> str:
        """Rebuilds this agent at a terminal."""
        return "human"

    def start(self, brief: Brief, seed: int) -> HumanSession:
        """Show the rules."""
        self.write(brief.instructions)
        for tool in brief.tools:
            self.write(f"  {tool.template or tool.name}: {tool.description}")
        self.write(HELP)
        return HumanSession(brief, self.read, self.write)


class HumanSession:
    """One episode at a terminal."""

    def __init__(self, brief: Brief, read: Callable[[str], str], write: Callable[[str], None]) -> None:
        self._brief = brief
        self._read = read
        self._write = write
        self._shown: Observation | None = None

    async def act(self, observation: Observation) -> Action:
        """Show the observation, answer questions, and return the line that is an action.

        Raises:
            EpisodeStopped: the input ended.
        """
        self._show(observation)
        while True:
            try:
                line = (await _in_thread(self._read, "> ")).strip()
            except EOFError:
                raise EpisodeStopped("The person playing left.") from None
            if line == "?":
                self._write(await self._legal())
            elif line == "hint":
                self._write(await self._hint())
            else:
                return Action(line.removeprefix("\\"))

    async def _legal(self) -> str:
        if self._brief.legal_actions is None:
            return "This environment does not list its legal actions."
        legal = await self._brief.legal_actions()
        more = f" and {len(legal) - _MOST_LISTED} more" if len(legal) > _MOST_LISTED else ""
        return "Legal actions: " + ", ".join(legal[:_MOST_LISTED]) + more

    async def _hint(self) -> str:
        if self._brief.oracle is None:
            return "This environment has no oracle to ask."
        return "The oracle would play: " + await self._brief.oracle()

    def _show(self, observation: Observation) -> None:
        if observation is self._shown:
            return
        self._shown = observation
        self._write(observation.text)
        if observation.image is not None:
            height, width = observation.image.shape[:2]
            self._write(f"(and an image of {width} x {height} pixels)")

    def take(self, observation: Observation, action: str) -> None:
        """Show a turn that someone else played."""
        self._show(observation)
        self._write(f"> {action}   (played for you)")

    def end(self, observation: Observation, outcome: Outcome) -> None:
        """Show how it ended."""
        self._show(observation)
        self._write(f"The episode is over: {outcome.value}.")


def _in_thread(read: Callable[[str], str], prompt: str) -> Awaitable[str]:
    """Read a line while the event loop goes on.

    The thread is a daemon, unlike those of thread pools: after Ctrl-C the program ends without waiting for a line.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def settle(line: str, error: BaseException | None) -> None:
        if answer.cancelled():
            return
        if error is None:
            answer.set_result(line)
        else:
            answer.set_exception(error)

    def ask() -> None:
        line, error = "", None
        try:
            line = read(prompt)
        except BaseException as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(settle, line, error)

    threading.Thread(target=ask, name="human", daemon=True).start()
    return answer
