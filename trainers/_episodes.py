"""From recorded episodes to the columns of a `TurnTable`.

What becomes what:
- A trajectory is one player's turns of one episode. In a game of several, a turn's reward is all
  that its player earned up to that player's next turn; what it earned before its first turn is
  added to that one. The conclusion's reward is the evaluated player's and joins its last turn.
- A turn's tokens are, for each `chosen` call in order, the new ids of the prompt (`environment`; a
  record does not tell a template's tokens apart) and the sampled ids (`policy`, or `demonstrator`
  where the turn was forced). Where the back end gave no ids there are none, and `tokens` is the
  usage's count.
- A trajectory is truncated where the episode's outcome is, or the environment said so; any other
  end is terminal, a crash included (it is unscored, or scored 0).
- An episode without turns has nothing to credit and leaves no row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.core.outcome import Outcome
from arena.trainers._codes import code
from arena.trainers._segments import Segments
from arena.trainers._table import DEMONSTRATOR, ENVIRONMENT, POLICY, GroupBy, on_last_tokens

if TYPE_CHECKING:
    from arena.core.episode import Episode, Turn


MALFORMED = "malformed reply"
"""How an agent's note on a reply without an action begins."""


def by_player(episode: Episode) -> dict[str, list[Turn]]:
    """Each player's turns; the players in the order of their first turn."""
    found: dict[str, list[Turn]] = {}
    for turn in episode.turns:
        found.setdefault(turn.player, []).append(turn)
    return found


def columns(episodes: Iterable[Episode], group_by: GroupBy) -> dict[str, Any]:
    """All columns of the table."""
    rows: list[dict[str, Any]] = []
    producers: list[int] = []
    logprobs: list[float] = []
    for number, episode in enumerate(episodes):
        for player_number, (player, turns) in enumerate(by_player(episode).items()):
            rewards = _rewards(episode, player, turns)
            for turn, earned in zip(turns, rewards, strict=True):
                made, likely, sampled = _tokens(turn)
                producers += made
                logprobs += likely
                rows.append(
                    {
                        "group": _group(episode, player),
                        "episode": number,
                        "turn": turn.index,
                        "player": player_number,
                        "reward": earned,
                        "state": _state(turn, group_by),
                        "valid": turn.valid is not False,
                        "scored": episode.outcome.scored,
                        "tokens": sampled,
                        "length": len(made),
                        **_end(episode, turn, turn is turns[-1]),
                    }
                )
    offsets = np.concatenate([[0], np.cumsum([row["length"] for row in rows], dtype=np.int64)]).astype(np.int64)
    reward = _array(rows, "reward", np.float64)
    unknown = np.full(len(rows), np.nan)
    numbers = {name: _array(rows, name, np.int64) for name in ("episode", "turn", "player", "tokens")}
    along = Segments.where_changing(numbers["episode"], numbers["player"])
    return {
        **{name: _array(rows, name, np.uint64) for name in ("group", "state")},
        **numbers,
        **{name: _array(rows, name, np.bool_) for name in ("valid", "scored", "terminated", "truncated")},
        "reward": reward,
        "value": unknown,
        "next_value": unknown,
        "token_offsets": offsets,
        "token_producer": np.array(producers, np.uint8),
        "token_logprob": np.array(logprobs, np.float64),
        "token_value": np.full(len(producers), np.nan),
        "token_reward": on_last_tokens(reward, offsets, along),
    }


def observation_texts(episodes: Iterable[Episode]) -> list[str]:
    """The text each row of the table acted on, in the table's order: what similarity grouping compares."""
    return [turn.text for episode in episodes for turns in by_player(episode).values() for turn in turns]


def malformed_replies(episodes: Iterable[Episode]) -> list[bool]:
    """Whether the reply of each row of the table was malformed: asked again, or passed on as it was."""
    return [
        any(call.role == "rejected" for call in turn.calls) or any(note.startswith(MALFORMED) for note in turn.notes)
        for episode in episodes
        for turns in by_player(episode).values()
        for turn in turns
    ]


def _rewards(episode: Episode, player: str, turns: list[Turn]) -> list[float]:
    """What the player earned from each of its turns up to its next one."""
    own = {turn.index: position for position, turn in enumerate(turns)}
    evaluated = len(turns) == len(episode.turns) or player == next(iter(episode.briefs), None)
    result, position = [0.0] * len(turns), 0
    for turn in episode.turns:
        position = own.get(turn.index, position)
        alone = turn.reward if evaluated else 0.0
        result[position] += alone if turn.rewards is None else turn.rewards.get(player, 0.0)
    if episode.conclusion is not None and evaluated:
        result[-1] += episode.conclusion.reward
    return result


def _group(episode: Episode, player: str) -> int:
    key, task = episode.key, episode.task
    return code(("group", key.step, key.task, task.env, task.seed, sorted(task.params.items()), player))


def _state(turn: Turn, group_by: GroupBy) -> int:
    if group_by == "state" and turn.state_key is not None:
        return code(("state", turn.state_key))
    return code([part.text if part.type == "text" else part.sha256 for part in turn.observation])


def _tokens(turn: Turn) -> tuple[list[int], list[float], int]:
    """Producers and log-probabilities of the turn's tokens, and how many were sampled."""
    producers: list[int] = []
    logprobs: list[float] = []
    sampled = 0
    by = DEMONSTRATOR if turn.forced else POLICY
    for call in turn.calls:
        if call.role != "chosen" or call.error is not None:
            continue
        if call.prompt_ids is None or call.token_ids is None:
            sampled += 0 if turn.forced else call.usage.output
            continue
        new, answer = len(call.prompt_ids.new), len(call.token_ids)
        producers += [ENVIRONMENT] * new + [by] * answer
        logprobs += [np.nan] * new + list(call.logprobs or [np.nan] * answer)
        sampled += 0 if turn.forced else answer
    return producers, logprobs, sampled


def _end(episode: Episode, turn: Turn, last: bool) -> dict[str, bool]:
    cut = turn.truncated or (episode.outcome == Outcome.TRUNCATED and not turn.terminated)
    return {"terminated": last and not cut, "truncated": last and cut}


def _array(rows: list[dict[str, Any]], name: str, dtype: Any) -> np.ndarray[Any, Any]:
    return np.array([row[name] for row in rows], dtype)
