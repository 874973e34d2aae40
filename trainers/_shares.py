"""What is dealt out among the ranks of a training: the groups of a step, and the rows of a minibatch."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.core.episode import Episode
from arena.evaluation.evaluate import in_any_thread
from arena.trainers._batch import parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from arena.rollout import Job
    from arena.trainers._ranks import Ranks

Play = Callable[[Sequence["Job"]], Coroutine[Any, Any, tuple[list[Episode], int]]]


def play_in_shares(ranks: Ranks, jobs: Sequence[Job], play: Play) -> tuple[list[Episode], int]:
    """Each rank plays its share of the tasks, whole groups; every rank receives the episodes of all.

    Args:
        ranks: who plays.
        jobs: the episodes of a step.
        play: plays some of them; returns an episode for each and how many were played again.

    Returns:
        The episodes in the order of the jobs, and how many were played again.

    Raises:
        RankFailed: playing failed on another rank; there the error itself is raised.
        RankLost: a rank has ended; the episodes in flight are cancelled.
    """
    if ranks.alone:
        return in_any_thread(play(jobs))
    own_tasks = set(ranks.dealt(list(dict.fromkeys(job.key.task for job in jobs))))
    own = [job for job in jobs if job.key.task in own_tasks]
    found: list[Episode] = []
    redone = 0
    with ranks.together():
        if own:
            found, redone = in_any_thread(ranks.watching(play(own)))
    told = ranks.exchange(([episode.model_dump_json() for episode in found], redone))
    episodes = {episode.key.slot: episode for episode in found}
    for rank, (written, _) in enumerate(told):
        if rank != ranks.number:
            read = [Episode.model_validate_json(text) for text in written]
            episodes |= {episode.key.slot: episode for episode in read}
    return [episodes[job.key.slot] for job in jobs], sum(number for _, number in told)


def passes(
    chosen: NDArray[np.int64], lengths: NDArray[np.int64], budget: int, ranks: Ranks
) -> list[tuple[NDArray[np.int64], bool]]:
    """This rank's share of a minibatch's rows, cut into parts of at most `budget` padded tokens (see `parts`).

    Every rank makes as many passes, so that their collectives stay in step: where it has none left, a part is
    spare: a row that another rank trains on, to be computed and not counted.

    Args:
        chosen: indices of the minibatch's rows.
        lengths: of all rows.
        budget: padded tokens of one forward pass.
        ranks: who shares them.

    Returns:
        The rows of each pass, and whether it is spare.
    """
    order = chosen[np.argsort(lengths[chosen], kind="stable")]
    shares = [parts(order[number :: ranks.size], lengths, budget) for number in range(ranks.size)]
    own = shares[ranks.number]
    spare = max(map(len, shares)) - len(own)
    return [(part, False) for part in own] + [(order[:1], True)] * spare


__all__ = ["passes", "play_in_shares"]
