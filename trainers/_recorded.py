"""Recorded episodes as a training set: what the policy would have been shown and have answered, and what it earned.

Shapes: T turns, N answer tokens, E episodes.

The episodes may be anyone's; they are written in the policy's own format and tokens (`_demonstrations`), once,
at the beginning. The table's tokens are the answers alone, so that a token's next is the next that was answered,
whatever was shown in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.core.errors import UsageError
from arena.core.messages import TextPart
from arena.core.observation import Observation
from arena.core.outcome import Outcome
from arena.core.seeds import derive
from arena.evaluation.evaluate import in_any_thread
from arena.trainers._data import require_rewards
from arena.trainers._demonstrations import Demonstrator, brief_of, sampled_answers, show, written_down
from arena.trainers._rows import Row, RowWriter
from arena.trainers._segments import Segments
from arena.trainers._table import DEMONSTRATOR, on_last_tokens

if TYPE_CHECKING:
    from arena.agents.models.local import LocalModel
    from arena.core.agent import Agent, Session
    from arena.core.episode import Episode, Turn
    from arena.trainers._critic import Fit
    from arena.trainers._segments import Floats, Integers
    from arena.trainers._table import TurnTable
    from arena.trainers._training import Training


@dataclass(frozen=True, eq=False)
class Recorded:
    """The training set.

    Attributes:
        episodes: the scored ones that have turns (E).
        table: their turns (T); its tokens are the answers, all of a demonstrator (N).
        rows: training rows; a token's `source` is its place among the table's.
        finals: what the policy would have been shown after the last turn, of a truncated episode; else empty (E).
    """

    episodes: Sequence[Episode]
    table: TurnTable
    rows: Sequence[Row]
    finals: Sequence[tuple[int, ...]]

    @cached_property
    def turn_of_token(self) -> Integers:
        """The row of the table that each token belongs to (N)."""
        return np.repeat(np.arange(len(self.table)), np.diff(self.table.token_offsets))

    @cached_property
    def along(self) -> Segments:
        """The tokens by episode."""
        return Segments.where_changing(self.table.episode[self.turn_of_token])

    def on_tokens(self, per_turn: Floats) -> Floats:
        """A number per turn on each of its tokens (T -> N)."""
        found: Floats = per_turn[self.turn_of_token]
        return found

    def at_first(self, per_turn: Floats, rows: Sequence[Row]) -> Floats:
        """A number per turn on the first token of the turns in these rows, NaN elsewhere (T -> N)."""
        first = self.table.token_offsets[:-1]
        found = np.full(len(self.turn_of_token), np.nan)
        found[first] = per_turn
        shown = np.full(len(found), np.nan)
        for row in rows:
            here = row.source[row.source >= 0]
            shown[here] = found[here]
        return shown

    def after(self, fit: Fit, numbers: Sequence[int], budget: int, head: str | Sequence[str]) -> Floats:
        """What the named episodes are worth after their ends: a value where one was truncated, else 0 (E)."""
        found = np.zeros(len(self.episodes))
        asked = [number for number in numbers if 0 < len(self.finals[number]) < fit.policy.context]
        sequences = [np.array(self.finals[number], np.int64) for number in asked]
        values = fit.read(sequences, [np.array([len(ids) - 1]) for ids in sequences], budget, head)
        found[asked] = np.concatenate([*values, np.zeros(0)])
        return found

    def draw(self, number: int, step: int, seed: int) -> tuple[list[int], list[Row]]:
        """The episodes of a step and their rows: all come once, in a new order each time, before one comes again.

        Args:
            number: how many.
            step: from 1.
            seed: of the orders.
        """
        total, places = len(self.episodes), np.arange((step - 1) * number, step * number)
        wanted: set[int] = set()
        for turn in np.unique(places // total).tolist():
            order = np.random.default_rng(derive(seed, "episodes", turn)).permutation(total)
            wanted |= set(order[places[places // total == turn] % total].tolist())
        return sorted(wanted), [row for row in self.rows if row.episode in wanted]


def read_recorded(training: Training) -> Recorded:
    """The training set of a run.

    Raises:
        UsageError: the run names no data, what can be read of it teaches nothing, or it cannot be written in the
            policy's format.
    """
    data = training.recorded()
    if data is None:
        raise UsageError(f"{training.config.algorithm} learns from recorded episodes: name runs with --data.")
    episodes = [episode for episode in data.episodes() if episode.outcome.scored and episode.turns]
    for line in data.damaged:
        training.note(f"left out: {line}")
    require_rewards([episode.total_reward for episode in episodes], training.config.algorithm)
    found = recorded(episodes, training.table(episodes), training.make_agent, training.policy.model)
    training.note(written_down(len(found.table), len(found.turn_of_token)))
    return found


def recorded(
    episodes: Sequence[Episode], table: TurnTable, make_agent: Callable[[Any], Agent], model: LocalModel
) -> Recorded:
    """Episodes as a training set.

    Args:
        episodes: scored, of one player each, with turns.
        table: their turns.
        make_agent: makes the agent that is trained, given a model.
        model: in whose tokens.

    Raises:
        UsageError: a game of several players, a turn that does not fit the model, or actions that the agent
            cannot be told of.
    """
    rows, lengths, finals = in_any_thread(_written(episodes, make_agent, model))
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    number = int(offsets[-1])
    unknown = np.full(number, np.nan)
    table = table.replace(
        token_offsets=offsets,
        token_producer=np.full(number, DEMONSTRATOR, np.uint8),
        token_logprob=unknown,
        token_value=unknown,
        token_reward=on_last_tokens(table.reward, offsets, table.trajectories),
    )
    return Recorded(episodes, table, rows, finals)


async def _written(
    episodes: Sequence[Episode], make_agent: Callable[[Any], Agent], model: LocalModel
) -> tuple[list[Row], list[int], list[tuple[int, ...]]]:
    """The rows, the number of tokens of each turn's answer, and the final prompts."""
    teacher = Demonstrator(model)
    agent, context = make_agent(teacher), model.load().context
    rows: list[Row] = []
    lengths: list[int] = []
    finals: list[tuple[int, ...]] = []
    place = 0
    for number, episode in enumerate(episodes):
        if len(episode.briefs) > 1:
            raise UsageError(f"{episode.task.env} is a game of several players; this learns from one player's turns.")
        session, writer = agent.start(brief_of(episode), 0), RowWriter(number)
        for turn, known in zip(episode.turns, sampled_answers(episode), strict=True):
            observation = Observation(turn.text, results=turn.results)
            await show(session, teacher, observation, turn.action, agent.spec, known=known)
            _check_room(episode, turn, len(teacher.prompt) + len(teacher.said), context)
            writer.add(turn.index, teacher.prompt, teacher.said, version="demonstration", place=place)
            lengths.append(len(teacher.said))
            place += len(teacher.said)
        rows += writer.rows()
        finals.append(await _final(session, teacher, episode, agent.spec) if _cut_off(episode) else ())
    return rows, lengths, finals


def _cut_off(episode: Episode) -> bool:
    last = episode.turns[-1]
    return last.truncated or (episode.outcome == Outcome.TRUNCATED and not last.terminated)


async def _final(session: Session, teacher: Demonstrator, episode: Episode, agent: str) -> tuple[int, ...]:
    """What the policy would have been shown next; what it is made to answer is not read."""
    text = "".join(part.text for part in episode.final_observation if isinstance(part, TextPart))
    last = Observation(text, results=episode.final_results)
    await show(session, teacher, last, episode.turns[-1].action, agent)
    return teacher.prompt


def _check_room(episode: Episode, turn: Turn, tokens: int, context: int) -> None:
    if tokens > context:
        raise UsageError(
            f"Turn {turn.index} of {episode.key.task} has {tokens} tokens with what comes before it, and the model "
            f"takes {context}. Give the agent a window (chat:window=1), or take a model with a longer context."
        )


__all__ = ["Recorded", "read_recorded", "recorded"]
