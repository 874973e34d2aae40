"""Behaviour cloning: imitate recorded episodes, or the best of them, or an oracle's.

    L = -mean over the demonstrator's tokens of log pi(token | what the policy would have been shown)

Demonstrations are episodes of any agent: the trained agent is led through the observations, and the
actions are written in its own form and tokens. `keep` below 1 takes the episodes with the highest
returns only (filtered BC; Abdulhai et al. 2023, section 4), and `threshold` those that earned at least so much.

Deviations: exactly the best round(keep x episodes) are taken, the earlier of equals. `ties="keep"` is the
references' rule (ArCHer, DigiRL): all at or above the (1 - keep) quantile of the returns, which keeps every
episode where most returns are equal.

    arena train bc --env arena/Maze-v0 --model ./my-model --steps 10 --set tasks=32
    arena train bc --env arena/Maze-v0 --model ./my-model --steps 3 --data runs/played --set data.success=true
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from arena.agents import build as build_agent
from arena.core.errors import UsageError
from arena.evaluation.evaluate import in_any_thread
from arena.trainers._demonstrations import demonstrations, written_down
from arena.trainers._options import Options
from arena.trainers._table import DEMONSTRATOR

if TYPE_CHECKING:
    from torch import Tensor

    from arena.core.episode import Episode
    from arena.trainers._rows import Row
    from arena.trainers._segments import Floats, Integers
    from arena.trainers._training import Training


@dataclass(frozen=True)
class Config(Options):
    """What behaviour cloning can be told."""

    demonstrator: str = "oracle"
    """Agent that plays the demonstrations of each step, where no recorded episodes are given."""
    keep: float = 1.0
    """Share of the episodes that is imitated: those with the highest returns."""
    threshold: float | None = None
    """The least return that is imitated; with `keep` both hold."""
    ties: Literal["earlier", "keep"] = "earlier"
    """Of equal returns at the border the `earlier` are taken, or all of them."""


def highest(returns: Floats, config: Config) -> Integers:
    """The places of the highest of E returns, in their order; at least one of them."""
    if config.ties == "keep":
        return np.flatnonzero(returns >= np.quantile(returns, 1 - config.keep))
    return np.sort(np.argsort(-returns, kind="stable")[: max(round(config.keep * len(returns)), 1)])


def best(episodes: Sequence[Episode], config: Config) -> list[Episode]:
    """The scored episodes with the highest returns that reach the threshold, in their order.

    Raises:
        UsageError: nothing is left.
    """
    scored = [episode for episode in episodes if episode.outcome.scored and episode.turns]
    if not scored:
        raise UsageError("There are no scored episodes to imitate.")
    returns = np.array([episode.total_reward for episode in scored])
    least = -np.inf if config.threshold is None else config.threshold
    chosen = [place for place in highest(returns, config) if returns[place] >= least]
    if not chosen:
        raise UsageError(f"The highest return is {returns.max():g}, and threshold={least:g} wants more.")
    return [scored[place] for place in chosen]


def loss(logprob: Tensor, mask: Tensor, *, tokens: float | None = None) -> tuple[Tensor, dict[str, float]]:
    """The mean negative log-probability, and how likely the demonstrated tokens are; tensors are (B, L)."""
    from arena.trainers._losses import aggregate

    likelihood = aggregate(logprob.detach().exp(), mask).item()
    return aggregate(-logprob, mask, tokens=tokens), {"demonstrated": likelihood}


def train(training: Training, config: Config) -> None:
    """Collect demonstrations, imitate them, log, evaluate, save; recorded ones are written in ids once."""
    data = training.recorded()
    recorded = None if data is None else demonstrated(training, config, list(data.episodes()))
    for line in data.damaged if data is not None else ():
        training.note(f"left out: {line}")
    if recorded is not None:
        answered = [row.producer == DEMONSTRATOR for row in recorded[1]]
        turns = sum(len(episode.turns) for episode in recorded[0])
        training.note(written_down(turns, sum(int(each.sum()) for each in answered)))
    for step in training.steps():
        chosen, rows = recorded or demonstrated(
            training, config, training.collect(step, build_agent(config.demonstrator), 1)
        )
        with training.updating(step, chosen, None, rows=rows) as update:
            for batch in update.batches():
                logprob = update.logprobs(batch)
                total, metrics = loss(logprob, batch.mask, tokens=batch.tokens)
                update.backward(batch, logprob, total, metrics)
        training.finish(step)


def demonstrated(
    training: Training, config: Config, episodes: Sequence[Episode]
) -> tuple[Sequence[Episode], Sequence[Row]]:
    """The episodes that are imitated, and their rows in the policy's format and tokens."""
    chosen = best(episodes, config)
    return chosen, in_any_thread(demonstrations(chosen, training.make_agent, training.policy.model))
