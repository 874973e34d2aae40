"""`arena replay`: reading, executing again, branching, and stepping with the arrow keys."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typed import COMMAND, Shell, process

from arena.cli._keys import Keys
from arena.core.episode import TextPart
from arena.evaluation import evaluate
from arena.records import create_run, open_run


@pytest.fixture
def run(arena: Shell) -> Path:
    """Three random episodes."""
    return evaluate("arena/GuessNumber-v0", "random", tasks=3, out="runs/r", concurrency=1).folder


def test_a_run_is_listed_and_an_episode_read(arena: Shell, run: Path):
    listed = arena("replay", run)
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()[1:4]] == ["0", "1", "2"]
    assert listed.out.endswith("Read one with: arena replay runs/r NUMBER\n")
    read = arena("replay", run, 1)
    episode = open_run(run).episode(1)
    for turn in episode.turns:
        assert f"\n{turn.text}\n> {turn.action}\n" in read.out
    assert episode.turns[0].text == "Guess a number from 1 to 100. 7 tries left."
    assert read.out.count("I am thinking of a whole number") == 1
    assert f"── end · {episode.outcome.value} ─" in read.out
    assert arena("replay", run, episode.key.task).out == read.out
    [record] = json.loads(arena("replay", run, 1, "--json").out)
    assert record["key"]["task"] == episode.key.task


def test_an_episode_that_is_not_there_is_named(arena: Shell, run: Path):
    assert "has 3 episodes, numbered from 0; there is no 7" in arena("replay", run, 7).err
    assert "fits 3 episodes" in arena("replay", run, "GuessNumber").err


def test_executing_again_says_that_nothing_differs(arena: Shell, run: Path):
    turns = sum(row.turns for row in open_run(run).rows())
    said = arena("replay", run, "--execute")
    assert (said.code, said.out) == (0, f"3 episodes, {turns} turns executed again: no divergence.\n")
    one = json.loads(arena("replay", run, 2, "--execute", "--json").out)
    assert one == {"executed": 1, "turns": 7, "diverged": [], "skipped": []}


def test_an_altered_record_is_reported_at_its_turn_with_exit_code_1(arena: Shell, run: Path):
    original = open_run(run)
    with create_run("runs/altered", original.config) as writer:
        for number, episode in enumerate(original.episodes()):
            turns = list(episode.turns)
            if number == 1:
                torn = TextPart(text=turns[4].text.replace("The number", "A number"))
                turns[4] = turns[4].model_copy(update={"observation": (torn,)})
            writer.append(episode.model_copy(update={"turns": tuple(turns)}))
    said = arena("replay", "runs/altered", "--execute")
    assert said.code == 1
    key = original.episode(1).key.task
    lines = said.out.splitlines()
    assert lines[0] == f"episode 1, {key}, differs at turn 3: text"
    assert lines[1].startswith("  recorded  'A number is ")
    assert lines[2].startswith("  now       'The number is ")
    assert lines[3].endswith("executed again: 1 diverges.")
    assert arena("replay", "runs/altered", 0, "--execute").code == 0
    [found] = json.loads(arena("replay", "runs/altered", "--execute", "--json").out)["diverged"]
    assert (found["number"], found["turn"], found["field"]) == (1, 3, "text")
    refused = arena("replay", "runs/altered", 1, "--fork", 5, "-a", "oracle")
    assert refused.code == 1
    assert "Turn 3 of the parent episode does not come out the same" in refused.out
    assert "The branch could not begin" in refused.err


def test_a_branch_is_a_run_of_its_own(arena: Shell, run: Path):
    said = arena("replay", run, 0, "--fork", 3, "-a", "oracle", "-n", 2, "-o", "runs/b")
    assert said.code == 0
    assert said.out.startswith("branch 0: ")
    assert "from turn 3 by replay" in said.out
    assert "arena replay runs/b --execute" in said.out
    assert arena("replay", "runs/b", "--execute").code == 0
    read = arena("replay", "runs/b", 0)
    assert "branch of r, arena/GuessNumber-v0@" in read.out
    assert read.out.count("· forced ─") == 3
    written = json.loads(arena("replay", run, 0, "--fork", 1, "-a", "oracle", "--json").out)
    assert written["branches"][0]["parent"]["turn"] == 1
    assert "can be forked at turns 0 to 6, not at 7" in arena("replay", run, 0, "--fork", 7).err
    assert "Did you mean 'oracle'?" in arena("replay", run, 0, "--fork", 1, "-a", "orcle").err


def test_a_branch_is_continued_by_what_a_person_types(arena: Shell, run: Path):
    person = process("replay", run, 0, "--fork", 3, "-a", "human", "-o", "runs/p", cwd=arena.folder)
    out, err = person.communicate("50\n51\n", timeout=60)
    assert person.returncode == 0, err
    assert "(played for you)" in out
    branch = open_run(Path("runs/p")).episode(0)
    assert [turn.action for turn in branch.turns[3:]] == ["50", "51"]
    assert arena("replay", "runs/p", "--execute").code == 0


class Terminal:
    """The command on a terminal of its own: keys in, the screen's text out."""

    def __init__(self, words: list[str], cwd: Path) -> None:
        self._ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
        self.process = subprocess.Popen(
            [*COMMAND, *words],
            cwd=cwd,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            # The terminal becomes the command's own, so that Ctrl-C is a signal from it.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )
        os.close(theirs)
        self.screen = ""

    def see(self, text: str, within: float = 30.0) -> None:
        """Wait until the screen shows a text that was not there at the last key."""
        end = time.monotonic() + within
        while text not in self.screen:
            ready, _, _ = select.select([self._ours], [], [], max(end - time.monotonic(), 0))
            assert ready, f"{text!r} did not appear in {self.screen!r}"
            try:
                self.screen += os.read(self._ours, 65536).decode(errors="replace")
            except OSError:  # the other end is closed
                break
        assert text in self.screen

    def press(self, keys: str) -> None:
        """Press keys; what was on the screen before counts no more."""
        self.screen = ""
        os.write(self._ours, keys.encode())

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.fixture
def stepper(arena: Shell, run: Path) -> Iterator[Terminal]:
    """`arena replay` on a terminal."""
    terminal = Terminal(["replay", str(run)], arena.folder)
    yield terminal
    terminal.close()


LEFT, RIGHT, UP, DOWN, HOME, END = "\x1b[D", "\x1b[C", "\x1b[A", "\x1b[B", "\x1b[H", "\x1b[F"


def test_arrow_keys_step_through_turns_and_episodes(stepper: Terminal):
    stepper.see("turn 0 of 7   episode 0 of 2")
    for key, place in (
        (RIGHT, "turn 1 of 7   episode 0 of 2"),
        (RIGHT + RIGHT, "turn 3 of 7   episode 0 of 2"),
        ("\x1bOD", "turn 2 of 7   episode 0 of 2"),
        (DOWN, "turn 0 of 7   episode 1 of 2"),
        (END, "turn 7 of 7   episode 1 of 2"),
        (RIGHT + LEFT, "turn 6 of 7   episode 1 of 2"),
        (HOME, "turn 0 of 7   episode 1 of 2"),
        (UP + UP, "episode 0 of 2"),
    ):
        stepper.press(key)
        stepper.see(place)
    stepper.press("q")
    stepper.see("\x1b[?1049l")
    assert stepper.process.wait(30) == 0


def test_a_signal_just_before_a_key_is_waited_for_is_not_slept_through(monkeypatch: pytest.MonkeyPatch):
    """A Ctrl-C between two instructions left the stepper waiting for a key; it counts as something to wake up for."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with Keys() as keys:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            os.write(ours, b"x")
            assert keys.read() == "resize"
            assert keys.read() == "x"
        assert signal.set_wakeup_fd(-1) == -1
    os.close(ours)


@pytest.mark.parametrize("key", ["\x03", "\x04", "\x1b"])
def test_the_stepper_is_left_by_other_keys_too(stepper: Terminal, key):
    """Ctrl-C, Ctrl-D, Escape; each leaves the terminal as it was."""
    stepper.see("turn 0 of 7")
    stepper.press(key)
    stepper.see("\x1b[?1049l")
    assert stepper.process.wait(30) == 0
