"""The table of turns: all that credit assignment reads, as columns of equal length.

Shapes: T turns, N tokens, E trajectories. A trajectory is what one player did in one episode; a
turn's tokens are those of its training sequence, sampled or not, in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from arena.core.errors import UnknownName, UsageError
from arena.trainers._codes import Codes
from arena.trainers._segments import Flags, Floats, Integers, Segments, sum_by

if TYPE_CHECKING:
    from arena.core.episode import Episode

ProducerName = Literal["policy", "demonstrator", "environment", "template"]
PRODUCERS: tuple[ProducerName, ...] = get_args(ProducerName)
"""What the codes 0, 1, 2, 3 of `token_producer` stand for."""

POLICY, DEMONSTRATOR, ENVIRONMENT = map(PRODUCERS.index, ("policy", "demonstrator", "environment"))

GroupBy = Literal["observation", "state"]

_TOKENS = ("token_producer", "token_logprob", "token_value", "token_reward")


@dataclass(frozen=True, eq=False)
class TurnTable:
    """One row per turn, sorted by episode, player and turn (with one player: by episode and turn).

    Build one with `from_episodes`, or by hand with `of`.

    Attributes:
        group: code of the task, the seed and the player; the trajectories of a group are compared.
        episode, turn, player: numbers; `turn` counts the turns of the episode, all players' together.
        reward: what the player earned from this turn up to its next one.
        state: code of the observation or the state that the turn acted on.
        valid: whether the action was understood and legal.
        scored: whether the episode's outcome counts; the rest leave the statistics and get advantage 0.
        tokens: sampled tokens.
        terminated, truncated: how the trajectory ended, on its last turn.
        value, next_value: a critic's estimate before the turn and after it; NaN where there is none.
            After a trajectory's last turn it is what truncation bootstraps from.
        token_offsets: turn t has the tokens token_offsets[t] to token_offsets[t + 1] (T + 1).
        token_producer: index into `PRODUCERS` (N).
        token_logprob: the sampler's log-probability, NaN where the policy did not produce the token (N).
        token_value: a critic's estimate before the token, NaN where there is none (N).
        token_reward: the reward that follows the token; a turn's reward stands on its last token (N).
    """

    group: Codes
    episode: Integers
    turn: Integers
    player: Integers
    reward: Floats
    state: Codes
    valid: Flags
    scored: Flags
    tokens: Integers
    terminated: Flags
    truncated: Flags
    value: Floats
    next_value: Floats
    token_offsets: Integers
    token_producer: NDArray[np.uint8]
    token_logprob: Floats
    token_value: Floats
    token_reward: Floats

    def __post_init__(self) -> None:
        rows, tokens = len(self.group), len(self.token_producer)
        expected = {field.name: tokens if field.name in _TOKENS else rows for field in fields(self)}
        expected["token_offsets"] = rows + 1
        for name, length in expected.items():
            if len(getattr(self, name)) != length:
                raise UsageError(f"The column {name!r} has {len(getattr(self, name))} entries, expected {length}.")
        if self.token_offsets[0] != 0 or self.token_offsets[-1] != tokens or (np.diff(self.token_offsets) < 0).any():
            raise UsageError(f"token_offsets must rise from 0 to the number of tokens, {tokens}.")
        if not np.isfinite(self.reward).all() or not np.isfinite(self.token_reward).all():
            raise UsageError("A reward is not finite. NaN in `of` means that the episode could not be scored.")
        self._check_order()

    def _check_order(self) -> None:
        keys = (self.episode, self.player, self.turn)
        rising = np.zeros(max(len(self) - 1, 0), bool)
        for key in reversed(keys):
            rising = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & rising)
        if not rising.all():
            row = int(np.argmin(rising)) + 1
            raise UsageError(f"Rows are sorted by episode, player and turn, each turn once; row {row} is out of order.")

    @classmethod
    def of(cls, **columns: Any) -> TurnTable:
        """A table by hand; rows stand in order, and what is not given has a plain default.

            TurnTable.of(group=["g", "g"], episode=[0, 1], reward=[1.0, 0.0])

        Args:
            columns: any of the columns, `reward` and `episode` among them, as sequences or as one value
                for all rows. `group`, `state`, `episode` and `player` take names of any kind; by default
                all are one group and one player, and no two states are alike. A reward of NaN says that
                the episode could not be scored. `turn` counts up, `valid` and `scored` are True,
                trajectories terminate unless they are `truncated`, and `next_value` is the next turn's
                `value`. Without `token_producer` (names, or codes) each turn has as many sampled tokens
                as `tokens` says, 1 by default.

        Raises:
            UsageError: columns that do not fit together, or that do not exist.
        """
        from arena.trainers._by_hand import columns as completed

        known = [field.name for field in fields(cls)]
        for name in columns.keys() - known:
            raise UnknownName("column of a turn table", name, known)
        for name in {"episode", "reward"} - columns.keys():
            raise UsageError(f"A turn table needs the column {name!r}.")
        return cls(**completed(columns))

    @classmethod
    def from_episodes(cls, episodes: Iterable[Episode], group_by: GroupBy = "observation") -> TurnTable:
        """The turns of recorded episodes, in the order of the episodes; see `arena.trainers._episodes`.

        Args:
            episodes: with or without token ids.
            group_by: what `state` identifies: the `observation` acted on, or the environment's own key
                of the `state` (the observation where it gives none).
        """
        from arena.trainers._episodes import columns

        return cls(**columns(episodes, group_by))

    def __len__(self) -> int:
        return len(self.group)

    def replace(self, **columns: Any) -> TurnTable:
        """The same table with other columns."""
        return replace(self, **columns)

    def with_values(self, value: Floats, final: Floats | float = np.nan) -> TurnTable:
        """The same table with a critic's estimates, of what each turn acted on (T) and of the last observations (E)."""
        return self.replace(value=value, next_value=self.trajectories.following(value, final))

    @cached_property
    def trajectories(self) -> Segments:
        """Rows by trajectory."""
        return Segments.where_changing(self.episode, self.player)

    @cached_property
    def trajectory_group(self) -> Integers:
        """The dense index of each trajectory's group (E)."""
        return np.unique(self.group[self.trajectories.starts], return_inverse=True)[1].reshape(-1)

    @cached_property
    def trajectory_scored(self) -> Flags:
        """Whether each trajectory counts (E)."""
        return self.scored[self.trajectories.starts]

    @cached_property
    def trajectory_return(self) -> Floats:
        """The undiscounted sum of each trajectory's rewards (E)."""
        return self.trajectories.sum(self.reward)

    @cached_property
    def bootstrap(self) -> Floats:
        """What each trajectory is worth after its last turn: a value where it was truncated and has one, else 0 (E)."""
        last = self.trajectories.lasts
        return np.where(self.terminated[last] | np.isnan(self.next_value[last]), 0.0, self.next_value[last])

    @cached_property
    def sampled(self) -> SampledTokens:
        """The policy's tokens alone."""
        return SampledTokens.of(self)

    def credited(self, per_trajectory: Floats) -> Floats:
        """A number per trajectory on each of its turns, 0 where the episode was not scored (E -> T)."""
        return self.trajectories.spread(np.where(self.trajectory_scored, per_trajectory, 0.0))

    def on_tokens(self, per_turn: Floats) -> Floats:
        """A number per turn on each token that the policy sampled in it, 0 on all others (T -> N)."""
        spread = np.repeat(per_turn, np.diff(self.token_offsets))
        return np.where(self.token_producer == POLICY, spread, 0.0)


@dataclass(frozen=True, eq=False)
class SampledTokens:
    """The M tokens that the policy produced, without those in between, so that credit carries across them.

    Attributes:
        where: their places among all tokens (M).
        turn: the row of each (M).
        trajectories, turns: the tokens by trajectory and by turn.
        reward: what follows each token; a reward on a token of the environment, or of a turn without
            sampled tokens, goes to the last sampled token before it (M).
        value: a critic's estimate before each token (M).
        scored: whether the token's episode counts (M).
    """

    where: Integers
    turn: Integers
    trajectories: Segments
    turns: Segments
    reward: Floats
    value: Floats
    scored: Flags

    @classmethod
    def of(cls, table: TurnTable) -> SampledTokens:
        """The sampled tokens of a table."""
        sampled = table.token_producer == POLICY
        where = np.flatnonzero(sampled)
        row = np.repeat(np.arange(len(table)), np.diff(table.token_offsets))
        trajectory = table.trajectories.index[row]
        owner = np.cumsum(sampled) - 1
        owned = owner >= 0
        owned[owned] = trajectory[owned] == trajectory[where[owner[owned]]]
        reward = sum_by(owner[owned], table.token_reward[owned], len(where))
        turn = row[where]
        return cls(
            where=where,
            turn=turn,
            trajectories=Segments.where_changing(trajectory[where]),
            turns=Segments.where_changing(turn),
            reward=reward,
            value=table.token_value[where],
            scored=table.scored[turn],
        )

    def among_all(self, values: Floats, tokens: int) -> Floats:
        """Values of the sampled tokens among all `tokens`, 0 elsewhere (M -> N)."""
        result = np.zeros(tokens)
        result[self.where] = values
        return result


def on_last_tokens(reward: Floats, offsets: Integers, along: Segments) -> Floats:
    """Each turn's reward on its last token (T -> N).

    A turn without tokens leaves it on the last one of its trajectory before, and where there is none
    it is nobody's.
    """
    last = offsets[1:] - 1
    owned = last >= offsets[along.spread(along.starts)]
    return sum_by(last[owned], reward[owned], int(offsets[-1]))


__all__ = [
    "DEMONSTRATOR",
    "ENVIRONMENT",
    "POLICY",
    "PRODUCERS",
    "GroupBy",
    "ProducerName",
    "SampledTokens",
    "TurnTable",
    "on_last_tokens",
]
