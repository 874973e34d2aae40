"""A person plays the web environments at a terminal, and wins by following the hints."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("playwright")

PATIENCE = 120


class Terminal:
    """`arena play …` in a terminal of its own, 90 columns wide."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._master, slave = pty.openpty()
        environment = {**os.environ, "COLUMNS": "90", "LINES": "40", "TERM": "dumb"}
        command = [sys.executable, "-m", "arena.cli", "play", *words]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=environment, start_new_session=True
        )
        os.close(slave)
        self.ended = False

    def read(self) -> str:
        """What is shown until a line is asked for, or to the end."""
        shown, until = b"", time.monotonic() + PATIENCE
        while not shown.endswith(b"\n> ") and time.monotonic() < until:
            if not select.select([self._master], [], [], 1)[0]:
                continue
            try:
                told = os.read(self._master, 1 << 16)
            except OSError:  # how Linux says that the other side has closed
                told = b""
            if not told:
                self.ended = True
                break
            shown += told.replace(b"\r\n", b"\n")
        return shown.decode()

    def type(self, line: str) -> str:
        os.write(self._master, f"{line}\n".encode())
        return self.read()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def play(tmp_path):
    opened = []

    def begin(*words):
        opened.append(Terminal(tmp_path, *words))
        return opened[-1]

    yield begin
    for terminal in opened:
        terminal.close()


def follow_hints(person, most):
    """Type what the oracle would play until the episode is over; the last that was shown."""
    for _ in range(most):
        hint = person.type("hint")
        said = re.search(r"The oracle would play: (.*?)\n\n?> $", hint, re.DOTALL)
        assert said, hint
        shown = person.type(" ".join(said[1].split()))
        if person.ended:
            return shown
    raise AssertionError("the hints lead nowhere")


@pytest.mark.parametrize(
    ("words", "told", "most"),
    [
        (("arena/MiniWoB-v0", "--task", "click-button"), ("[5] button", 'Click on the "', "fill("), 2),
        (("arena/Shop-v0",), ("find me", "[button] Search [button_]", "search[", "click["), 15),
    ],
    ids=["MiniWoB", "Shop"],
)
def test_a_person_sees_what_can_be_done_and_wins_by_the_hints(words, told, most, play, require):
    if "Shop" not in words[0]:
        require("chromium")
    person = play(*words)
    rules = person.read()
    for part in told:
        assert part in rules, rules
    assert max(len(line) for line in rules.splitlines()) <= 90, "long lines are folded"
    assert "Legal actions: " in person.type("?")
    wrong = person.type("do it")
    assert re.search(r"[Ee]rror|[Uu]nknown|[Cc]annot|not|is no", wrong), "a wrong line is answered in words"
    shown = follow_hints(person, most)
    assert "The episode is over: success." in shown
    assert "score 1.00" in shown
    assert f"play another  arena play {' '.join(words)} --seed N" in shown
    assert person.process.wait(PATIENCE) == 0
