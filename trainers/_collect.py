"""Playing the episodes of a step, and what is done about those that could not be scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.core import registry
from arena.core.errors import ArenaError, ContextOverflow, UsageError
from arena.core.messages import Completion, Message, Sampling, TextPart, Tool
from arena.core.model import conversation
from arena.core.seeds import derive, task_seeds
from arena.core.task import Task
from arena.rollout import Engine, Job

if TYPE_CHECKING:
    from arena.agents.models.local import LocalModel
    from arena.core.agent import Agent
    from arena.core.episode import Episode
    from arena.core.model import Traits
    from arena.rollout.engine import Writer

MOST_LOST = 0.2
"""Share of a step's episodes that may go unscored."""

_RETRIES = 2


def training_tasks(env: str, most: int, seed: int, params: Mapping[str, Any], max_turns: int | None) -> list[Task]:
    """At most `most` training tasks of an environment: as many as it has."""
    known = registry.registration(env)
    if known.source is not None:
        found = list(islice(registry.load(known.source)("train", seed, **params), most))
    else:
        seeds = islice(task_seeds("train", seed), most)
        found = [Task(known.id, number, dict(params), None, known.max_turns) for number in seeds]
    if max_turns is None:
        return found
    return [Task(task.env, task.seed, task.params, task.name, max_turns) for task in found]


def tasks_of_step(pool: Sequence[Task], number: int, step: int, seed: int) -> list[Task]:
    """Different tasks for a step: the pool in a new random order each time it has been gone through.

    Raises:
        UsageError: the pool has fewer.
    """
    if len(pool) < number:
        raise UsageError(
            f"{pool[0].env if pool else 'The environment'} has {len(pool)} training tasks, and a step takes {number} "
            f"different ones: lower --tasks to at most {len(pool)}."
        )
    per_round = len(pool) // number
    order = np.random.default_rng(derive(seed, "tasks", step // per_round)).permutation(len(pool))
    begin = step % per_round * number
    return [pool[int(place)] for place in order[begin : begin + number]]


async def play(
    agent: Agent, jobs: Sequence[Job], *, seed: int, concurrency: int, writer: Writer | None, on_episode: Any = None
) -> list[Episode]:
    """Play episodes; returns the newest attempt of each, in the order of the jobs.

    An episode lost to an infrastructure error is tried twice more with the same seeds.

    Raises:
        ArenaError: over 20 % could not be scored; says why.
    """
    newest: dict[tuple[str, int, int], Episode] = {}

    def keep(episode: Episode) -> None:
        newest[episode.key.slot] = episode
        if on_episode is not None:
            on_episode(episode)

    engine = Engine(
        {"agent": agent, "others": agent},
        seed=seed,
        writer=writer,
        concurrency=concurrency,
        retries=_RETRIES,
        on_episode=keep,
    )
    await engine.run(jobs)
    episodes = [newest[job.key.slot] for job in jobs if job.key.slot in newest]
    lost = [episode for episode in episodes if not episode.outcome.scored]
    if len(lost) > MOST_LOST * len(jobs):
        reasons = Counter(episode.failure.message if episode.failure else str(episode.outcome) for episode in lost)
        listed = "\n  ".join(f"{count} x {reason}" for reason, count in reasons.most_common(5))
        raise ArenaError(
            f"{len(lost)} of {len(jobs)} episodes of this step could not be scored, more than "
            f"{MOST_LOST:.0%}, so training on the rest would be biased:\n  {listed}"
        )
    return episodes


class PromptProbe:
    """A model that says nothing and remembers how long its longest prompt was."""

    def __init__(self, model: LocalModel) -> None:
        self._encoder = model.load().encoder
        self.spec = model.spec
        self.traits: Traits = model.traits
        self.longest = 0

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        tools: Sequence[Tool] = (),
        after: Completion | None = None,
    ) -> Completion:
        """An empty answer."""
        self.longest = max(self.longest, len(self._encoder.encode(messages, tools, after).ids))
        return Completion(parts=(TextPart(text=""),)).following(conversation(messages, after))

    async def aclose(self) -> None:
        """Nothing to do."""


async def check_first_prompt(make_agent: Any, model: LocalModel, task: Task) -> None:
    """Play one turn without sampling, so that what cannot work is told before any work.

    Raises:
        UsageError: the first prompt does not fit the model.
        ArenaError: the environment or the agent fails.
    """
    probe, context, failed = PromptProbe(model), model.load().context, None
    first = Task(task.env, task.seed, task.params, task.name, 1)
    episodes: list[Episode] = []
    try:
        await Engine({"agent": make_agent(probe), "others": make_agent(probe)}, on_episode=episodes.append).run(
            [Job(first)]
        )
    except ContextOverflow as error:
        failed = error
    if failed is not None or probe.longest >= context:
        raise UsageError(
            f"The first prompt of {task.env} has {probe.longest} tokens; this model takes {context} with the answer. "
            "Use a model with a longer context, a shorter system prompt (system=FILE.j2 in the agent spec), or an "
            "easier environment (--set params.…)."
        )
    if episodes and episodes[0].failure is not None:
        raise ArenaError(f"{task.env} cannot be played: {episodes[0].failure.message}")


__all__ = ["check_first_prompt", "play", "tasks_of_step", "training_tasks"]
