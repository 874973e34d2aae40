"""A person at the terminal, through lines that were typed beforehand."""

from __future__ import annotations

import asyncio
import io
import threading

import numpy as np
import pytest

from arena.agents import build
from arena.agents.human import HELP, HumanAgent
from arena.core.agent import Brief
from arena.core.errors import EpisodeStopped
from arena.core.messages import Tool
from arena.core.observation import Observation
from arena.core.outcome import Outcome


class Terminal:
    """Types the lines in order, then Ctrl-D, and keeps what was shown."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.shown: list[str] = []
        self.threads: set[int] = set()

    def read(self, prompt: str) -> str:
        self.threads.add(threading.get_ident())
        if not self.lines:
            raise EOFError
        return self.lines.pop(0)

    def start(self, brief: Brief):
        return HumanAgent(self.read, self.shown.append).start(brief, 0)


async def _legal():
    return ["north", "south"]


async def _hint():
    return "south"


def test_a_line_is_an_action():
    """What was typed would not be what is played."""
    terminal = Terminal("  go north ", "", "\\?", "\\hint", "\\\\x")
    session = terminal.start(Brief("Find the coin.", tools=(Tool(name="look", description="Look."),)))
    actions = [asyncio.run(session.act(Observation(f"o{n}"))).text for n in range(5)]
    assert actions == ["go north", "", "?", "hint", "\\x"]
    assert terminal.shown == ["Find the coin.", "  look: Look.", HELP, "o0", "o1", "o2", "o3", "o4"]
    assert threading.get_ident() not in terminal.threads


@pytest.mark.parametrize(
    ("brief", "answers"),
    [
        (
            Brief("Rules.", legal_actions=_legal, oracle=_hint),
            ["Legal actions: north, south", "The oracle would play: south"],
        ),
        (
            Brief("Rules."),
            ["This environment does not list its legal actions.", "This environment has no oracle to ask."],
        ),
    ],
)
def test_questions_are_answered_and_cost_no_turn(brief, answers):
    """A person could not learn what is possible, or would lose a turn by asking."""
    terminal = Terminal("?", "hint", "north")
    assert asyncio.run(terminal.start(brief).act(Observation("here"))).text == "north"
    assert terminal.shown[2:] == ["here", *answers]


def test_the_end_of_the_input_stops_the_episode():
    """Ctrl-D would be an agent's bug, or an empty action for ever."""
    terminal = Terminal()
    session, here = terminal.start(Brief("Rules.")), Observation("here")
    with pytest.raises(EpisodeStopped, match="left"):
        asyncio.run(session.act(here))
    session.end(here, Outcome.CANCELLED)
    assert terminal.shown[2:] == ["here", "The episode is over: cancelled."]


def test_a_long_list_of_legal_actions_is_cut():
    """A thousand actions would push the observation off the screen."""

    async def numbers():
        return [str(number) for number in range(1000)]

    terminal = Terminal("?", "7")
    asyncio.run(terminal.start(Brief("Rules.", legal_actions=numbers)).act(Observation("here")))
    assert terminal.shown[-1].endswith(", 48, 49 and 950 more")


def test_another_error_of_the_terminal_passes_through():
    """A broken terminal would look like a person who left."""

    def broken(prompt: str) -> str:
        raise OSError("no terminal")

    session = HumanAgent(broken, lambda text: None).start(Brief("Rules."), 0)
    with pytest.raises(OSError, match="no terminal"):
        asyncio.run(session.act(Observation("here")))


def test_the_loop_goes_on_while_a_person_thinks():
    """Other episodes would wait for the person."""
    typed = threading.Event()

    def read(prompt: str) -> str:
        typed.wait()
        return "north"

    async def both():
        session = HumanAgent(read, lambda text: None).start(Brief("Rules."), 0)
        thinking = asyncio.create_task(session.act(Observation("here")))
        await asyncio.sleep(0)
        assert not thinking.done()
        typed.set()
        return (await thinking).text

    assert asyncio.run(both()) == "north"


def test_a_cancelled_episode_does_not_wait_for_a_line():
    """Ctrl-C would hang until Enter."""
    typed = threading.Event()
    done = threading.Event()

    def read(prompt: str) -> str:
        typed.wait()
        done.set()
        return "too late"

    async def cancelled():
        session = HumanAgent(read, lambda text: None).start(Brief("Rules."), 0)
        thinking = asyncio.create_task(session.act(Observation("here")))
        await asyncio.sleep(0)
        thinking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await thinking

    asyncio.run(cancelled())
    typed.set()
    assert done.wait(10)


def test_a_person_sees_turns_of_others_images_and_the_end():
    """A fork would begin in the dark."""
    terminal = Terminal()
    session = terminal.start(Brief("Rules."))
    session.take(Observation("start", np.zeros((2, 3, 3), np.uint8)), "north")
    session.end(Observation("You win."), Outcome.SUCCESS)
    assert terminal.shown[2:] == [
        "start",
        "(and an image of 3 x 2 pixels)",
        "> north   (played for you)",
        "You win.",
        "The episode is over: success.",
    ]


def test_the_real_terminal_is_the_default(monkeypatch, capsys):
    """`-a human` would not read what is typed."""
    monkeypatch.setattr("sys.stdin", io.StringIO("north\n"))
    session = build("human").start(Brief("Rules."), 0)
    assert asyncio.run(session.act(Observation("here"))).text == "north"
    assert capsys.readouterr().out == f"Rules.\n{HELP}\nhere\n> "
    with pytest.raises(EpisodeStopped):
        asyncio.run(session.act(Observation("here")))
