"""DMPO: prefer the better of two recorded episodes of one task to the worse, turn by turn.

    L = -log sigma(beta [sum_t phi_t log(pi / pi_ref)(a_t^w) - sum_t phi_t log(pi / pi_ref)(a_t^l)])
    phi_t = gamma^t (1 - gamma^(N-t)) / (1 - gamma^N), N the episode's own turns; (N - t) / N for gamma = 1

    arena train dmpo --env arena/KeyDoor-v0 --model runs/cloned/model --data runs/mixed --steps 30

DMPO: Shi et al. 2024 (arXiv 2406.14868); pi_ref is the policy the run began with. The log-probability of a turn is
the sum over its answer's tokens, and phi makes early turns count most and corrects for episodes of different
lengths. Pairs are built from the recorded episodes of one task and seed: the best with the worst, the
second with the last but one, and so on while the returns differ; `margin` wants them to differ by more.

Deviations: an episode with a window is several rows, so the sums of a pair are read first, without gradients. The
pair's loss then reaches each token as -beta sigma(-beta h) phi_t log pi(token), which has the exact gradient of L
for the first optimiser step; with more `minibatches` the later ones use an h that is a few steps old.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from arena.core.errors import UsageError
from arena.core.seeds import derive
from arena.trainers._codes import code
from arena.trainers._options import Options
from arena.trainers._recorded import read_recorded
from arena.trainers._row_logprobs import demonstrated_logprobs
from arena.trainers._segments import sum_by

if TYPE_CHECKING:
    from torch import Tensor

    from arena.core.episode import Episode
    from arena.trainers._recorded import Recorded
    from arena.trainers._segments import Floats, Integers
    from arena.trainers._table import TurnTable
    from arena.trainers._training import Training


@dataclass(frozen=True)
class Config(Options):
    """What DMPO can be told."""

    batch: int = 32
    """Pairs of a step."""
    beta: float = 0.1
    """How close the policy is held to the one it began as; smaller: less close."""
    gamma: float = 0.7
    """Discount per turn."""
    margin: float = 0.0
    """The returns of a pair differ by more than this."""


def pairs(episodes: Sequence[Episode], margin: float = 0.0) -> Integers:
    """Numbers of the better and of the worse episode of each pair (P, 2).

    Args:
        episodes: of any tasks.
        margin: what their returns differ by at least; never 0.
    """
    groups: dict[int, list[int]] = {}
    for number, episode in enumerate(episodes):
        task = episode.task
        groups.setdefault(code((task.env, task.seed, sorted(task.params.items()))), []).append(number)
    found: list[tuple[int, int]] = []
    for members in groups.values():
        ranked = sorted(members, key=lambda number: -episodes[number].total_reward)
        for better, worse in zip(ranked[: len(ranked) // 2], reversed(ranked), strict=False):
            if episodes[better].total_reward - episodes[worse].total_reward > max(margin, 0.0):
                found.append((better, worse))
    return np.array(found, np.int64).reshape(-1, 2)


def shares(table: TurnTable, gamma: float) -> Floats:
    """phi_t of each turn, from the place of the turn in its episode and the episode's length (T)."""
    along = table.trajectories
    length = along.spread(along.lengths)
    place = np.arange(len(table)) - along.spread(along.starts)
    if gamma == 1:
        return np.asarray((length - place) / length, np.float64)
    return np.asarray(gamma**place * (1 - gamma ** (length - place)) / (1 - gamma**length), np.float64)


def loss(better: Tensor, worse: Tensor, beta: float) -> Tensor:
    """-log sigma of how much more the better of each pair is preferred than by the reference (P).

    Args:
        better: sum_t phi_t log(pi / pi_ref) of the better episodes (P).
        worse: of the worse (P).
        beta: see `Config`.
    """
    import torch

    found: Tensor = -torch.nn.functional.logsigmoid(beta * (better - worse))
    return found


def coefficients(better: Floats, worse: Floats, beta: float) -> Floats:
    """-d loss / d better = d loss / d worse of each pair (P)."""
    return np.asarray(beta * (1 - np.tanh(beta * (better - worse) / 2)) / 2, np.float64)


def check(episodes: Sequence[Episode], margin: float) -> Integers:
    """The pairs of the data.

    Raises:
        UsageError: there are none; says what makes some.
    """
    found = pairs(episodes, margin)
    if not len(found):
        raise UsageError(
            "No two recorded episodes are of one task and differ in their return, so there are no pairs. Collect "
            "several episodes of each task, by agents of different skill."
        )
    return found


def train(training: Training, config: Config) -> None:
    """Draw pairs, see how they are ranked, move towards the better ones, log, evaluate, save."""
    import torch

    data = read_recorded(training)
    every = check(data.episodes, config.margin)
    phi = data.on_tokens(shares(data.table, config.gamma))
    for step in training.steps():
        generator = np.random.default_rng(derive(training.config.seed, "pairs", step))
        chosen = every[generator.permutation(len(every))[: config.batch]]
        rows = [row for row in data.rows if row.episode in set(chosen.ravel().tolist())]
        with training.timed("values"):
            now, began = (demonstrated_logprobs(training, rows, len(phi), began=flag) for flag in (False, True))
        better, worse = _preferred(data, now - began, phi)[chosen.T]
        drawn = sum(int((row.source >= 0).sum()) for row in rows)
        credit = _credit(data, chosen, coefficients(better, worse, config.beta), phi)
        pair_loss = loss(torch.from_numpy(better), torch.from_numpy(worse), config.beta).mean().item()
        training.report({"pairs": len(chosen), "pair_loss": pair_loss, "ranked_right": float((better > worse).mean())})
        with training.updating(step, data.episodes, credit, rows=rows, demonstrated=True) as update:
            for batch in update.batches():
                logprob = update.logprobs(batch)
                total = -(batch.advantage * logprob).sum() * drawn / (batch.tokens * len(chosen))
                update.backward(batch, logprob, total, {})
        training.finish(step)


def _preferred(data: Recorded, ratio: Floats, phi: Floats) -> Floats:
    """sum_t phi_t log(pi / pi_ref) of each episode that was read, NaN of the others (E)."""
    return sum_by(data.along.index, ratio * phi, len(data.episodes))


def _credit(data: Recorded, chosen: Integers, each: Floats, phi: Floats) -> Floats:
    """What the log-probability of each token counts: the coefficients of the pairs its episode is in, times phi (N)."""
    signed = sum_by(chosen[:, 0], each, len(data.episodes)) - sum_by(chosen[:, 1], each, len(data.episodes))
    return np.asarray(signed[data.along.index] * phi, np.float64)


__all__ = ["Config", "check", "coefficients", "loss", "pairs", "shares", "train"]
