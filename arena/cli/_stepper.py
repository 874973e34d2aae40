"""Episodes on the screen: printed turn by turn, or stepped through with the arrow keys."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from arena.core.episode import Call, Episode, ImagePart, ObservationPart, Turn
from arena.records import Run

KEYS = "← → turns · ↑ ↓ episodes · Home End · q quits"

_ARROWS = {
    "[D": "left",
    "[C": "right",
    "[A": "up",
    "[B": "down",
    "[H": "home",
    "[F": "end",
    "OD": "left",
    "OC": "right",
}


def print_episode(console: Console, episode: Episode) -> None:
    """The whole episode, one panel per turn."""
    console.print(_head(episode))
    for index in range(len(episode.turns) + 1):
        console.print(_turn(episode, index))


def step_through(run: Run, first: str | int) -> None:
    """Step with the arrow keys until q."""
    rows = run.rows()
    if not rows:
        Console().print("This run has no episodes.")
        return
    wanted = run.row(first).key
    number = next((n for n, row in enumerate(rows) if row.key == wanted), 0)
    console, turn = Console(), 0
    while True:
        episode = run.episode(number)
        console.clear()
        console.print(_head(episode, f"episode {number + 1} of {len(rows)}"))
        console.print(_turn(episode, turn))
        console.print(Text(KEYS, style="dim"))
        key = read_key()
        if key in ("q", "\x03", "\x04"):
            return
        if key in ("left", "h"):
            turn = max(turn - 1, 0)
        elif key in ("right", "l", " ", "\r"):
            turn = min(turn + 1, len(episode.turns))
        elif key in ("home", "end"):
            turn = 0 if key == "home" else len(episode.turns)
        elif key in ("up", "down", "k", "j"):
            number = max(0, min(number + (1 if key in ("down", "j") else -1), len(rows) - 1))
            turn = 0


def read_key() -> str:
    """One key press; arrows by name."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        key = os.read(terminal, 1).decode(errors="replace")
        if key == "\x1b" and select.select([terminal], [], [], 0.05)[0]:
            return _ARROWS.get(os.read(terminal, 2).decode(errors="replace"), "escape")
        return key
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _head(episode: Episode, place: str = "") -> Text:
    score = "not scored" if episode.score is None else f"score {episode.score:.2f}"
    ended = episode.outcome.value + (f" ({episode.limit})" if episode.limit else "")
    agents = ", ".join(
        f"{player} {spec}" if len(episode.agents) > 1 else spec for player, spec in episode.agents.items()
    )
    models = ", ".join(dict.fromkeys(episode.models.values()))
    text = Text(f"{place}  " if place else "", style="dim")
    text.append(episode.key.task, style="bold default")
    text.append(f"\n{agents}{f' with {models}' if models else ''} · {ended} · {score} · ", style="default")
    text.append(f"{len(episode.turns)} turns · return {episode.total_reward:g}", style="default")
    if episode.parent is not None:
        text.append(f"\nforked from {episode.parent.run} at turn {episode.parent.turn}", style="default")
    if episode.failure is not None:
        text.append(f"\n{episode.failure.type}: {episode.failure.message}", style="red")
    return text


def _turn(episode: Episode, index: int) -> RenderableType:
    """One turn; the index after the last one shows the final observation."""
    if index == len(episode.turns):
        shown = [Text(_show(part)) for part in episode.final_observation]
        if episode.conclusion is not None:
            shown.append(Text(f"concluded: {episode.conclusion.reason}", style="dim"))
        return Panel(Group(*shown), title="final observation", title_align="left")
    turn = episode.turns[index]
    observed: list[RenderableType] = [Text(_show(part)) for part in turn.observation]
    if index == 0:
        instructions = episode.briefs.get(turn.player, {}).get("instructions", "")
        observed.insert(0, Text(f"{instructions}\n", style="dim"))
    replies = [Text(f"{call.role}: {_reply(episode, call)}", style="dim") for call in turn.calls]
    return Panel(
        Group(*observed, *replies, Text(f"> {turn.action}", style="bold green"), Text(_result(turn), style="dim")),
        title=f"turn {index}"
        + (f" · {turn.player}" if turn.player != "agent" else "")
        + (" · forced" if turn.forced else ""),
        title_align="left",
    )


def _show(part: ObservationPart) -> str:
    return f"[image {part.width}x{part.height} {part.sha256[:12]}]" if isinstance(part, ImagePart) else part.text


def _reply(episode: Episode, call: Call) -> str:
    if call.message is None:
        return f"failed: {call.error}"
    parts = episode.messages[call.message].parts
    return " ".join(getattr(part, "text", None) or f"{part.type} {getattr(part, 'name', '')}" for part in parts)


def _result(turn: Turn) -> str:
    said = [f"reward {turn.reward:g}"]
    said += ["terminated"] if turn.terminated else []
    said += ["truncated"] if turn.truncated else []
    said += [f"invalid: {turn.error or 'not understood'}"] if turn.valid is False else []
    said += [f"note: {note}" for note in turn.notes]
    return " · ".join(said)
