"""Playing the groups of a step, and what is done about episodes that could not be scored.

An episode that came to no outcome (its sandbox died, its server was gone) says nothing about the policy.
Each is played again, twice at most, with the same seeds; what is lost then leaves the statistics, a group
with fewer than two episodes left goes altogether, and a step that lost over 20 % stops: long episodes are
lost more easily than short ones, so what is left would be another distribution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from arena.core.errors import ArenaError, UsageError
from arena.rollout import Engine, Job
from arena.trainers._metrics import of_episodes
from arena.trainers._table import TurnTable

if TYPE_CHECKING:
    from arena.core.agent import Agent
    from arena.core.episode import Episode
    from arena.core.task import Task
    from arena.rollout.engine import Writer
    from arena.trainers._segments import Flags

MOST_LOST = 0.2
"""Share of a step's episodes that may go unscored."""

ATTEMPTS = 3
"""How often an episode is played at most until it can be scored."""

Informative = Callable[[TurnTable], "Flags"]
"""The turns of the groups that teach something (T)."""


@dataclass(frozen=True)
class Collected:
    """The episodes of a step.

    Attributes:
        played: all of them, each in its newest attempt.
        kept: those that are trained on.
        rounds: how often groups were sampled.
        redone: episodes that were played again.
    """

    played: list[Episode]
    kept: list[Episode]
    rounds: int
    redone: int

    def metrics(self) -> dict[str, Any]:
        """Of all that was played, and how much of it was dropped."""
        groups, kept = groups_of(self.played), groups_of(self.kept)
        return {
            **of_episodes(self.played),
            "redone": self.redone,
            "groups": groups,
            "groups_dropped": groups - kept,
            "sampling_rounds": self.rounds,
        }


def collect_groups(
    take: Callable[[int, Sequence[Task]], Sequence[Task]],
    play_tasks: Callable[[Sequence[Task]], tuple[list[Episode], int]],
    *,
    wanted: int,
    least: int,
    informative: Informative | None = None,
    rounds: int = 1,
) -> Collected:
    """Play groups until there are enough that are whole and, where that is asked for, teach something.

    Args:
        take: gives so many tasks that are not among those taken; fewer where no more are left.
        play_tasks: plays a group of each task; returns the episodes and how many were played again.
        wanted: groups.
        least: scored episodes without which a group is dropped.
        informative: dynamic sampling: which groups teach something; others are dropped and sampled anew.
        rounds: of that sampling; when none of all that was played teaches, whole groups are kept as they are.

    Raises:
        ArenaError: over 20 % of the episodes could not be scored.
    """
    tasks: list[Task] = []
    played: list[Episode] = []
    kept: list[Episode] = []
    redone = count = 0
    while count < (1 if informative is None else rounds) and groups_of(kept) < wanted:
        fresh = take(wanted - groups_of(kept), tasks)
        if not fresh:
            break
        found, again = play_tasks(fresh)
        tasks, played, redone, count = [*tasks, *fresh], played + found, redone + again, count + 1
        stop_if_many_lost(played)
        whole = whole_groups(found, least)
        kept += whole if informative is None else teaching_groups(whole, informative)
    return Collected(played, kept or whole_groups(played, least), count, redone)


async def play(
    agent: Agent,
    jobs: Sequence[Job],
    *,
    seed: int,
    concurrency: int,
    writer: Writer | None,
    on_episode: Callable[[int], None] | None = None,
) -> tuple[list[Episode], int]:
    """Play episodes; those that cannot be scored are tried again with the same seeds.

    Args:
        agent: plays all players.
        jobs: the episodes.
        seed: the run's.
        concurrency: episodes in flight.
        writer: where they are recorded.
        on_episode: told how many have ended.

    Returns:
        The newest attempt of each, in the order of the jobs, and how many were played again.
    """
    newest: dict[tuple[str, int, int], Episode] = {}

    def keep(episode: Episode) -> None:
        newest[episode.key.slot] = episode
        if on_episode is not None:
            on_episode(len(newest))

    left, redone = list(jobs), 0
    for attempt in range(ATTEMPTS):
        engine = Engine(
            {"agent": agent, "others": agent},
            seed=seed,
            writer=writer,
            concurrency=concurrency,
            retries=0,
            on_episode=keep,
        )
        await engine.run([replace(job, attempt=attempt) for job in left])
        left = [job for job in left if not newest[job.key.slot].outcome.scored]
        if not left:
            break
        redone += len(left) if attempt + 1 < ATTEMPTS else 0
    return [newest[job.key.slot] for job in jobs], redone


def stop_if_many_lost(episodes: Sequence[Episode]) -> None:
    """Refuse to train on what is left.

    Raises:
        ArenaError: over 20 % of the episodes could not be scored; says why.
    """
    lost = [episode for episode in episodes if not episode.outcome.scored]
    if len(lost) <= MOST_LOST * len(episodes):
        return
    reasons = Counter(episode.failure.message if episode.failure else str(episode.outcome) for episode in lost)
    listed = "\n  ".join(f"{count} x {reason}" for reason, count in reasons.most_common(5))
    raise ArenaError(
        f"{len(lost)} of {len(episodes)} episodes of this step could not be scored in {ATTEMPTS} attempts each, more "
        f"than {MOST_LOST:.0%}, so training on the rest would be biased:\n  {listed}"
    )


def groups_of(episodes: Sequence[Episode]) -> int:
    """How many groups there are."""
    return len({episode.key.task for episode in episodes})


def whole_groups(episodes: Sequence[Episode], least: int) -> list[Episode]:
    """The episodes of the groups in which at least so many were scored."""
    scored = Counter(episode.key.task for episode in episodes if episode.outcome.scored)
    return [episode for episode in episodes if scored[episode.key.task] >= least]


def teaching_groups(episodes: Sequence[Episode], informative: Informative) -> list[Episode]:
    """The episodes of the groups that teach something."""
    table = TurnTable.from_episodes(episodes)
    kept = {episodes[number].key.task for number in set(table.episode[informative(table)].tolist())}
    return [episode for episode in episodes if episode.key.task in kept]


def check_logprobs(episodes: Sequence[Episode], temperature: float, algorithm: str) -> None:
    """Refuse log-probabilities that are not of the distribution that was sampled from.

    Raises:
        UsageError: the server gave them before the temperature was applied.
    """
    if temperature == 1.0:
        return
    for episode in episodes:
        if any(call.role == "chosen" and call.logprob_kind == "raw" for call in episode.calls):
            raise UsageError(
                f"The model's server gives log-probabilities from before the temperature was applied, and samples at "
                f"{temperature:g}; {algorithm} compares the probabilities of what was sampled. Put temperature=1 into "
                "the agent spec, or let the server return those of the distribution that it samples from (vLLM: "
                "--logprobs-mode processed_logprobs)."
            )


__all__ = [
    "ATTEMPTS",
    "MOST_LOST",
    "Collected",
    "Informative",
    "check_logprobs",
    "collect_groups",
    "groups_of",
    "play",
    "stop_if_many_lost",
    "teaching_groups",
    "whole_groups",
]
