"""An episode as text to read: its head, and one page per turn."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from arena.cli._console import counted, show
from arena.core.episode import Call, Episode, ImagePart, ObservationPart, Turn

_RULE = 78


def print_episode(episode: Episode, folder: Path | None = None) -> None:
    """The whole episode on standard output; with the run's folder, images are named by their files."""
    show(head(episode), *(page(episode, index, folder) for index in range(len(episode.turns) + 1)))


def head(episode: Episode) -> Text:
    """What the episode is about, who played, and how it ended."""
    key = episode.key
    text = Text(key.task, style="bold")
    text.append(f" · repeat {key.repeat}" if key.repeat else "", style="default")
    players = [spec if len(episode.agents) == 1 else f"{name}: {spec}" for name, spec in episode.agents.items()]
    models = list(dict.fromkeys(episode.models.values()))
    ended = episode.outcome.value + (f" ({episode.limit})" if episode.limit else "")
    score = "not scored" if episode.score is None else f"score {episode.score:.2f}"
    facts = [", ".join(players), *models, ended, score, counted(len(episode.turns), "turn")]
    facts.append(f"return {episode.total_reward:g}")
    text.append("\n" + " · ".join(facts), style="default")
    if episode.parent is not None:
        parent = episode.parent
        origin = f"branch of {parent.run}, {parent.key.task}, from turn {parent.turn} (by {parent.by})"
        text.append(f"\n{origin}", style="dim")
    if episode.failure is not None:
        failure = episode.failure
        text.append(f"\n{failure.boundary}: {failure.type}: {failure.message}", style="red")
    return text


def page(episode: Episode, index: int, folder: Path | None = None) -> RenderableType:
    """One turn; the index after the last one shows how it ended."""
    if index == len(episode.turns):
        return Group(*_end(episode, folder))
    turn = episode.turns[index]
    said = [_rule(f"turn {index}", turn.player if len(episode.agents) > 1 else "", "forced" if turn.forced else "")]
    if index == _first_of(episode, turn.player):
        said.append(Text(str(episode.briefs.get(turn.player, {}).get("instructions", "")), style="dim"))
    said += [_part(part, folder) for part in turn.observation]
    said += [_reply(episode, call) for call in turn.calls if _tells_more(episode, call, turn)]
    said.append(Text(f"> {turn.action}", style="bold green"))
    if turn.executed is not None and turn.executed != turn.action:
        said.append(Text(f"  ran as {turn.executed}" if turn.executed else "  nothing ran", style="dim"))
    said.append(Text(f"  {_result(turn)}", style="red" if turn.valid is False else "dim"))
    return Group(*said)


def _end(episode: Episode, folder: Path | None) -> list[RenderableType]:
    shown: list[RenderableType] = [_rule("end", episode.outcome.value, episode.limit or "")]
    shown += [_part(part, folder) for part in episode.final_observation]
    if episode.conclusion is not None:
        concluded = episode.conclusion
        reward = f", reward {concluded.reward:g}" if concluded.reward else ""
        shown.append(Text(f"  ended from outside: {concluded.reason}{reward}", style="dim"))
    return shown


def _rule(*words: str) -> Text:
    title = " · ".join(word for word in words if word)
    line = f"── {title} {'─' * max(_RULE - len(title) - 4, 2)}"
    return Text(line, style="cyan", no_wrap=True, overflow="crop")


def _first_of(episode: Episode, player: str) -> int:
    return next(turn.index for turn in episode.turns if turn.player == player)


def _part(part: ObservationPart, folder: Path | None) -> Text:
    if not isinstance(part, ImagePart):
        return Text(part.text)
    where = part.sha256[:12] if folder is None else str(folder / "blobs" / part.sha256)
    return Text(f"[image {part.width} x {part.height}: {where}]", style="magenta")


def _tells_more(episode: Episode, call: Call, turn: Turn) -> bool:
    """A reply that is the action itself would stand there twice."""
    return call.role != "chosen" or _text_of(episode, call).strip() != turn.action.strip()


def _text_of(episode: Episode, call: Call) -> str:
    if call.message is None:
        return f"failed: {call.error}"
    parts = episode.messages[call.message].parts
    return " ".join(getattr(part, "text", None) or f"[{part.type} {getattr(part, 'name', '')}]" for part in parts)


def _reply(episode: Episode, call: Call) -> Text:
    name = "reply" if call.role == "chosen" else f"{call.role} reply"
    return Text(f"  {name}: {_text_of(episode, call)}", style="dim italic")


def _result(turn: Turn) -> str:
    said = [f"reward {turn.reward:g}"]
    said += ["terminated"] if turn.terminated else []
    said += ["truncated"] if turn.truncated else []
    said += [f"not valid: {turn.error}" if turn.error else "not valid"] if turn.valid is False else []
    return " · ".join([*said, *turn.notes])
