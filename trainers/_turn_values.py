"""States and answers as a critic of turns reads them, and what its heads are fitted to.

Shapes: B turns, N tokens of their answers together. The heads are `q1`, `q2`, `v1`, `v2`, and `baseline`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from arena.trainers._critic import explained_variance
from arena.trainers._turn_critic import Goal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from arena.agents.models.critic_heads import HeadOptions
    from arena.trainers._replay import Transitions
    from arena.trainers._segments import Floats, Integers
    from arena.trainers._turn_critic import TurnCritic

Sequences = Sequence["NDArray[Any]"]

QS, VS = ("q1", "q2"), ("v1", "v2")
BASELINE = "baseline"

_SHOWN = 512
"""Turns that the explained variance is measured on."""


def turn_heads(
    kind: Literal["mse", "hl_gauss"], low: float, high: float, bins: int, *, baseline: bool = False
) -> dict[str, HeadOptions]:
    """Twin heads for Q and for V with a hidden layer each, so that twins learn different things."""
    from arena.agents.models.critic_heads import HeadOptions

    options = HeadOptions(layers=1)
    if kind == "hl_gauss":
        options = HeadOptions("hl_gauss", layers=1, low=low, high=high, bins=bins)
    return dict.fromkeys((*QS, *VS), options) | ({BASELINE: HeadOptions(layers=1)} if baseline else {})


@dataclass(frozen=True, eq=False)
class TurnBatch:
    """States, each followed by an answer.

    Attributes:
        sequences: the ids of both; a state that leaves the answer no room in the critic's context has lost its
            beginning. B of them.
        before: index of the last token of each state (B).
        last: index of the last token of each answer (B).
    """

    sequences: list[NDArray[Any]]
    before: Integers
    last: Integers

    @classmethod
    def of(cls, states: Sequences, answers: Sequences, context: int) -> TurnBatch:
        """Put them together; B of each."""
        kept = [
            state[max(len(state) + len(answer) - context, 0) :] for state, answer in zip(states, answers, strict=True)
        ]
        together = [np.concatenate([state, answer]) for state, answer in zip(kept, answers, strict=True)]
        before = np.array([len(state) - 1 for state in kept], np.int64)
        return cls(together, before, np.array([len(ids) - 1 for ids in together], np.int64))

    @property
    def of_v(self) -> list[Integers]:
        """Where V is read."""
        return list(self.before[:, None])

    @property
    def of_q(self) -> list[Integers]:
        """Where Q is read."""
        return list(self.last[:, None])

    @property
    def of_tokens(self) -> list[Integers]:
        """Where what is expected of each answer token is read: at the token before it."""
        return [np.arange(first, last) for first, last in zip(self.before, self.last, strict=True)]

    def read(self, critic: TurnCritic) -> tuple[Floats, Floats]:
        """Q and V of both heads: (2, B) each."""
        found = critic.values(self.sequences, dict.fromkeys(QS, self.of_q) | dict.fromkeys(VS, self.of_v))
        return _stacked(found, QS), _stacked(found, VS)

    def on_tokens(self, per_turn: Floats) -> Floats:
        """A number per turn on each of its answer's tokens (B -> N)."""
        return np.repeat(per_turn, self.last - self.before)

    def baseline(self, critic: TurnCritic) -> Floats:
        """What is expected of the turn before each token of its answer (N)."""
        return np.concatenate(critic.values(self.sequences, {BASELINE: self.of_tokens})[BASELINE])

    def baseline_goal(self, critic: TurnCritic, advantage: Floats) -> dict[str, Goal]:
        """What the baseline is fitted to: the advantage of the turn, before each of its tokens."""
        critic.fit.measure(advantage, BASELINE)
        places = self.of_tokens
        return {BASELINE: Goal(places, [np.full(len(some), a) for some, a in zip(places, advantage, strict=True)])}


def q_targets(reward: Floats, discount: Floats, after: Floats) -> Floats:
    """Targets r + gamma^n V'_i(s') of Q: rewards and discounts (B), V' of both heads (2, B) -> (2, B)."""
    found: Floats = reward + discount * after
    return found


def target_q(critic: TurnCritic, batch: TurnBatch) -> Floats:
    """Q' of both heads, of states and their answers: (2, B)."""
    return _stacked(critic.values(batch.sequences, dict.fromkeys(QS, batch.of_q), target=True), QS)


def values_after(critic: TurnCritic, states: Sequences) -> Floats:
    """V' of both heads after states, 0 where there is none: (2, B)."""
    there = np.flatnonzero([len(state) > 0 for state in states])
    found = np.zeros((2, len(states)))
    if len(there):
        chosen = [states[place] for place in there.tolist()]
        places = [np.array([len(state) - 1]) for state in chosen]
        found[:, there] = _stacked(critic.values(chosen, dict.fromkeys(VS, places), target=True), VS)
    return found


def critic_goals(
    critic: TurnCritic, turns: Transitions, chosen: Sequence[int], fresh: Sequences, context: int
) -> tuple[TurnBatch, dict[str, Goal]]:
    """One batch of ArCHer's critic: what it reads, and what its heads are fitted to.

    Args:
        critic: whose targets are asked.
        turns: that were drawn.
        chosen: those of the batch, B of them.
        fresh: the policy's answers to each of them, equally many of each, one turn's after the other's.
        context: the most tokens of a state and its answer.
    """
    here = list(chosen)
    states = [turns.state[turn] for turn in here]
    samples = len(fresh) // len(here)
    again = TurnBatch.of([state for state in states for _ in range(samples)], fresh, context)
    sampled = target_q(critic, again).reshape(2, len(here), samples).mean(axis=2)
    after = values_after(critic, [turns.after[turn] for turn in here])
    wanted = q_targets(turns.reward[here], turns.discount[here], after)
    batch = TurnBatch.of(states, [turns.answer[turn] for turn in here], context)
    return batch, goals_of(batch, wanted, sampled)


def goals_of(batch: TurnBatch, q: Floats, v: Floats, *, expectile: float = 0.5) -> dict[str, Goal]:
    """What the heads are fitted to: targets of Q and of V, (2, B) each."""
    return {
        **{name: Goal(batch.of_q, list(q[head][:, None])) for head, name in enumerate(QS)},
        **{name: Goal(batch.of_v, list(v[head][:, None]), expectile) for head, name in enumerate(VS)},
    }


def explained(critic: TurnCritic, turns: Transitions, context: int) -> dict[str, float]:
    """How much of what was earned after the turns the critic knows: of the data's returns, Q says so much."""
    number = min(len(turns), _SHOWN)
    batch = TurnBatch.of(turns.state[:number], turns.answer[:number], context)
    q, v = batch.read(critic)
    return {
        "q": float(q.mean()),
        "v": float(v.mean()),
        "explained_variance": explained_variance(q.mean(axis=0), turns.returns[:number]),
    }


def _stacked(found: dict[str, list[Floats]], names: Sequence[str]) -> Floats:
    """One number of each sequence, for each of these heads (heads, B)."""
    return np.stack([np.concatenate(found[name]) for name in names])


__all__ = [
    "BASELINE",
    "QS",
    "VS",
    "TurnBatch",
    "critic_goals",
    "explained",
    "goals_of",
    "q_targets",
    "target_q",
    "turn_heads",
    "values_after",
]
