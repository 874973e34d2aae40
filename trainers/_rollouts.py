"""The groups of a step, played by all ranks: each task several times with one seed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from arena.rollout import Job
from arena.trainers._algorithms import algorithm
from arena.trainers._collect import Collected, Informative, collect_groups, play
from arena.trainers._shares import play_in_shares

if TYPE_CHECKING:
    from arena.core.agent import Agent
    from arena.core.episode import Episode
    from arena.rollout.engine import Writer
    from arena.trainers._config import TrainConfig
    from arena.trainers._ranks import Ranks
    from arena.trainers._tasks import TaskStream

    Playing = Coroutine[Any, Any, tuple[list[Episode], int]]


@dataclass(frozen=True)
class Rollouts:
    """Plays the groups of steps.

    Attributes:
        config: of the training.
        tasks: which tasks come next.
        writer: of the run; episodes that go elsewhere are played ahead, and nobody is told of them.
        ranks: who plays.
        cancellable: wraps what is played so that closing the sampler ends it.
        show: told what is being done.
    """

    config: TrainConfig
    tasks: TaskStream
    writer: Writer
    ranks: Ranks
    cancellable: Callable[[Playing], Playing]
    show: Callable[[str], None]

    def groups(
        self,
        step: int,
        writer: Writer,
        agent: Agent,
        *,
        size: int,
        informative: Informative | None = None,
        rounds: int = 1,
    ) -> Collected:
        """The groups of a step.

        Args:
            step: from 1.
            writer: where the episodes are recorded.
            agent: who plays.
            size: episodes of a group.
            informative: dynamic sampling: which groups teach something; see `_collect.collect_groups`.
            rounds: of that sampling.
        """
        return collect_groups(
            lambda missing, used: self.tasks.take(missing, step, used),
            lambda tasks: self._play(agent, [Job(t, r, step) for t in tasks for r in range(size)], writer),
            wanted=self.config.tasks,
            least=2 if algorithm(self.config.algorithm).groups else 1,
            informative=informative,
            rounds=rounds,
        )

    def _play(self, agent: Agent, jobs: Sequence[Job], writer: Writer) -> tuple[list[Episode], int]:
        def work(share: Sequence[Job]) -> Playing:
            now, seed, most = writer is self.writer, self.config.seed, self.config.concurrency
            told = (lambda finished: self.show(f"playing {finished}/{len(share)}")) if now else None
            if now:
                self.show(f"playing 0/{len(share)}")
            return self.cancellable(play(agent, share, seed=seed, concurrency=most, writer=writer, on_episode=told))

        return play_in_shares(self.ranks, jobs, work)


__all__ = ["Rollouts"]
