"""A critic's values in the table of turns, and what it is fitted to.

Shapes: T turns, N tokens of the table, E trajectories.

The value of a token is read at the token before it, and that of a turn is the value of its first answer
token: it is read where the prompt of the turn ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.evaluation.evaluate import in_any_thread
from arena.trainers._next_prompts import next_prompts
from arena.trainers._rows import rows_of
from arena.trainers._table import DEMONSTRATOR, POLICY

if TYPE_CHECKING:
    from arena.core.agent import Agent
    from arena.core.episode import Episode
    from arena.trainers._critic import Fit
    from arena.trainers._segments import Flags, Floats, Integers
    from arena.trainers._table import TurnTable


def first_answers(table: TurnTable) -> Integers:
    """The place of the first answer token of each turn among all tokens, -1 where it has none (T)."""
    answers = np.flatnonzero(np.isin(table.token_producer, (POLICY, DEMONSTRATOR)))
    begin, end = table.token_offsets[:-1], table.token_offsets[1:]
    following = np.append(answers, len(table.token_producer))[np.searchsorted(answers, begin)]
    return np.where(following < end, following, -1).astype(np.int64)


def at_first_answers(table: TurnTable, per_turn: Floats) -> Floats:
    """A number per turn on the first answer token of each scored turn, NaN elsewhere (T -> N)."""
    found = np.full(len(table.token_producer), np.nan)
    first = first_answers(table)
    here = (first >= 0) & table.scored
    found[first[here]] = per_turn[here]
    return found


def with_values(
    table: TurnTable,
    fit: Fit,
    episodes: Sequence[Episode],
    *,
    budget: int,
    make_agent: Callable[[Any], Agent] | None = None,
) -> TurnTable:
    """The table with a critic's values before each answer token and each turn, and after truncated trajectories.

    A truncated trajectory is worth what the conversation is after its final observation. Where that does not
    fit the policy any more it is worth 0: the policy could not have gone on. In games of several players it
    is not known who saw the final observation, so there is no value, which counts as 0.

    Args:
        table: of these episodes.
        fit: the critic.
        episodes: as recorded.
        budget: padded tokens of one forward pass.
        make_agent: makes the agent that played, given a model; None leaves truncated trajectories without a value.
    """
    rows = [row for row in rows_of(episodes) if episodes[row.episode].outcome.scored]
    per_token = fit.before(rows, len(table.token_producer), budget)
    first = first_answers(table)
    per_turn = np.where(first >= 0, np.append(per_token, np.nan)[first], np.nan)
    final = np.full(len(table.trajectories), np.nan)
    if make_agent is not None:
        open_ended = np.flatnonzero(_open_ended(table, episodes))
        asked = [episodes[number] for number in table.episode[table.trajectories.lasts[open_ended]]]
        prompts = in_any_thread(next_prompts(asked, make_agent, fit.policy.model))
        final[open_ended] = _after(prompts, fit, budget)
    return table.replace(token_value=per_token).with_values(per_turn, final)


def _open_ended(table: TurnTable, episodes: Sequence[Episode]) -> Flags:
    """The truncated trajectories whose next prompt can be known (E)."""
    lasts = table.trajectories.lasts
    alone = np.array([len(episodes[number].briefs) < 2 for number in table.episode[lasts]], bool)
    found: Flags = table.truncated[lasts] & table.scored[lasts] & alone
    return found


def _after(prompts: Sequence[tuple[int, ...]], fit: Fit, budget: int) -> Floats:
    """The value after each prompt, 0 after those that leave no room for an answer."""
    fits = np.array([0 < len(ids) < fit.policy.context for ids in prompts], bool)
    sequences = [np.array(ids, np.int64) for ids, fitting in zip(prompts, fits, strict=True) if fitting]
    found = np.zeros(len(prompts))
    values = fit.read(sequences, [np.array([len(ids) - 1]) for ids in sequences], budget)
    found[fits] = np.concatenate([*values, np.zeros(0)])
    return found


__all__ = ["at_first_answers", "first_answers", "with_values"]
