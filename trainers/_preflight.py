"""What can be known to be wrong before anything is sampled: prompts that do not fit, environments without rewards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from arena.agents import build as build_agent
from arena.core.errors import ArenaError, ContextOverflow, UsageError
from arena.core.messages import Completion, Message, Sampling, TextPart, Tool
from arena.core.model import conversation
from arena.core.task import Task
from arena.rollout import Engine, Job

if TYPE_CHECKING:
    from arena.agents.models.local import LocalModel
    from arena.core.agent import Agent
    from arena.core.episode import Episode
    from arena.core.model import Traits


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


async def check_tasks(
    make_agent: Callable[[Any], Agent], model: LocalModel, pool: Sequence[Task], *, rewards: bool = True
) -> None:
    """Try the first task of each environment of the pool.

    Args:
        make_agent: makes the agent that is trained, given a model.
        model: what is trained.
        pool: the training tasks.
        rewards: whether rewards are learned from.

    Raises:
        UsageError: the first prompt does not fit the model, or there are no rewards.
        ArenaError: an environment or the agent fails.
    """
    for task in {task.env: task for task in reversed(pool)}.values():
        await check_first_prompt(make_agent, model, task)
        if rewards:
            await check_rewards(task)


async def check_first_prompt(make_agent: Callable[[Any], Agent], model: LocalModel, task: Task) -> None:
    """Play one turn without sampling.

    Raises:
        UsageError: the first prompt does not fit the model.
        ArenaError: the environment or the agent fails.
    """
    probe, context, failed = PromptProbe(model), model.load().context, None
    episodes: list[Episode] = []
    try:
        await Engine({"agent": make_agent(probe), "others": make_agent(probe)}, on_episode=episodes.append).run(
            [Job(replace(task, max_turns=1))]
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


async def check_rewards(task: Task) -> None:
    """Let the environment's oracle play, where it has one: what solves the task must earn something.

    Raises:
        UsageError: it earned nothing.
    """
    oracle = build_agent("oracle")
    episodes: list[Episode] = []
    try:
        await Engine({"agent": oracle, "others": oracle}, on_episode=episodes.append).run([Job(task)])
    except UsageError:
        return  # there is no oracle to ask
    if not episodes or not episodes[0].success:
        return
    if not any(_earned(episode) for episode in episodes):
        raise UsageError(
            f"{task.env} gives no rewards: its oracle solved {task.key} and earned 0 on every turn, so no episode is "
            "better than another. Return a reward from its _step (or from _conclude, at a limit), or imitate solved "
            "episodes: arena train bc."
        )


def _earned(episode: Episode) -> bool:
    several = [reward for turn in episode.turns for reward in (turn.rewards or {}).values()]
    concluded = episode.conclusion.reward if episode.conclusion is not None else 0.0
    return any([*(turn.reward for turn in episode.turns), *several, concluded])


__all__ = ["PromptProbe", "check_first_prompt", "check_rewards", "check_tasks"]
