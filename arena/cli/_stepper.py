"""Stepping through the episodes of a run with the arrow keys."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.segment import Segment
from rich.text import Text

from arena.cli._keys import Keys
from arena.cli._pages import head, page
from arena.records import Run

KEYS = "← → turn   ↑ ↓ episode   space b scroll   q quit"

Line = list[Segment]


def step_through(run: Run, first: str | int) -> None:
    """Step until q; the terminal then shows again what it showed before."""
    stepper = Stepper(run, Console(highlight=False, markup=False), first)
    with stepper.console.screen() as screen, Keys() as keys:
        try:
            while not stepper.over:
                screen.update(stepper)
                stepper.press(keys.read())
        except KeyboardInterrupt:
            return


class Stepper:
    """A screen that shows one turn of one episode, from some line on.

    Attributes:
        over: whether the person has left.
    """

    def __init__(self, run: Run, console: Console, first: str | int) -> None:
        self.console = console
        self.over = False
        self._run = run
        self._rows = run.rows()
        wanted = run.row(first).key
        self._number = next((n for n, row in enumerate(self._rows) if row.key == wanted), 0)
        self._episode = run.read(self._rows[self._number])
        self._turn = self._top = 0
        self._lines = self._room = 1

    def press(self, key: str) -> None:
        """What a key does; other keys do nothing."""
        last = len(self._episode.turns)
        if key in ("q", "\x04", "\x1b"):
            self.over = True
        elif key in ("left", "h"):
            self._show(turn=max(self._turn - 1, 0))
        elif key in ("right", "l", "\n"):
            self._show(turn=min(self._turn + 1, last))
        elif key in ("home", "g"):
            self._show(turn=0)
        elif key in ("end", "G"):
            self._show(turn=last)
        elif key in ("page down", " "):
            self._top = min(self._top + max(self._room // 2, 1), max(self._lines - self._room, 0))
        elif key in ("page up", "b"):
            self._top = max(self._top - max(self._room // 2, 1), 0)
        elif key in ("down", "j"):
            self._show(number=min(self._number + 1, len(self._rows) - 1))
        elif key in ("up", "k"):
            self._show(number=max(self._number - 1, 0))

    def _show(self, *, turn: int = 0, number: int | None = None) -> None:
        if number is not None and number != self._number:
            self._number, self._episode = number, self._run.read(self._rows[number])
        elif number is not None:
            return
        self._turn, self._top = turn, 0

    def __rich__(self) -> RenderableType:
        """The screen: the episode's head, as much of the turn as fits, and the keys."""
        above = self._drawn(head(self._episode))
        body = self._drawn(page(self._episode, self._turn, self._run.folder))
        self._lines, self._room = len(body), max(self.console.height - len(above) - 4, 1)
        self._top = max(min(self._top, self._lines - self._room), 0)
        shown = body[self._top : self._top + self._room]
        empty: list[Line] = [[]] * (self._room - len(shown))
        return _Drawn([*above, [], *shown, *empty, [], *self._drawn(self._footer())])

    def _footer(self) -> Text:
        place = f"turn {self._turn} of {len(self._episode.turns)}   episode {self._number} of {len(self._rows) - 1}"
        if self._lines > self._room:
            place += f"   lines {self._top + 1}-{self._top + self._room} of {self._lines}"
        return Text(f"{place}\n{KEYS}", style="dim", no_wrap=True, overflow="ellipsis")

    def _drawn(self, what: RenderableType) -> list[Line]:
        return self.console.render_lines(what, pad=False)


class _Drawn:
    """Lines that are drawn already."""

    def __init__(self, lines: list[Line]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: object) -> Iterator[Segment]:
        for line in self._lines:
            yield from line
            yield Segment.line()
