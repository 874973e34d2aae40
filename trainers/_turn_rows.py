"""Turns of episodes as a replay buffer holds them: what was shown, what was answered, what it earned.

Shapes: T turns.

Each turn is written in the tokens of the policy. Where the policy itself sampled it, its ids stand as they
were; whatever anyone else did (an oracle, a person, another model) is written as the trained agent would have
been shown it and would have answered it (see `_demonstrations`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from arena.core.errors import UsageError
from arena.core.messages import TextPart
from arena.core.observation import Observation
from arena.core.specs import Spec
from arena.evaluation.evaluate import in_any_thread
from arena.trainers._demonstrations import Demonstrator, brief_of, sampled_answers, show
from arena.trainers._next_prompts import next_prompts
from arena.trainers._table import DEMONSTRATOR, POLICY

if TYPE_CHECKING:
    from arena.agents.models.local import LocalModel
    from arena.core.agent import Agent
    from arena.core.episode import Episode, Turn
    from arena.trainers._segments import Floats
    from arena.trainers._table import TurnTable

Ids = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class TurnRows:
    """Turns of whole trajectories, one after the other.

    Attributes:
        scalars: column -> a number per turn (T); see `_replay.COLUMNS`.
        sequences: column -> ids or log-probabilities of each turn, T of them.
    """

    scalars: dict[str, NDArray[Any]]
    sequences: dict[str, list[NDArray[Any]]]

    def __len__(self) -> int:
        return len(self.scalars["reward"])


@dataclass(frozen=True)
class _Written:
    """One turn in ids: its prompt and answer, and of whoever sampled it the log-probabilities, version and code."""

    prompt: Sequence[int]
    answer: Sequence[int]
    logprob: Sequence[float] = ()
    version: int = -1
    producer: int = DEMONSTRATOR


@dataclass
class TurnReader:
    """Turns episodes into rows.

    Args:
        make_agent: makes the agent that is trained, given a model.
        model: in whose tokens.
        critic_agent: makes the agent whose prompts the critic reads; the trained agent's unless told.
        context: the most tokens of a prompt and its answer, and of what the critic reads.
        count: trajectories that there are already; the next one gets this number.
    """

    make_agent: Callable[[Any], Agent]
    model: LocalModel
    context: int
    critic_agent: Callable[[Any], Agent] | None = None
    count: int = 0

    def rows(self, episodes: Sequence[Episode], table: TurnTable, gamma: float, *, own: bool) -> TurnRows:
        """The turns of the scored episodes.

        Args:
            episodes: of one player each.
            table: of these episodes: their rewards, and how they ended.
            gamma: discount per turn of the column `return`.
            own: the policy sampled them in this run, so their ids stand as they are.

        Raises:
            UsageError: a game of several players, a turn that does not fit the context, or actions that the
                trained agent cannot be told of.
        """
        return in_any_thread(self._rows(episodes, table, gamma, own))

    async def _rows(self, episodes: Sequence[Episode], table: TurnTable, gamma: float, own: bool) -> TurnRows:
        scalars: dict[str, list[NDArray[Any]]] = {}
        sequences: dict[str, list[NDArray[Any]]] = {
            name: [] for name in ("prompt", "answer", "logprob", "state", "final")
        }
        for number in np.unique(table.episode[table.scored]).tolist():
            episode, here = episodes[number], np.flatnonzero(table.episode == number)
            if len(episode.briefs) > 1:
                raise UsageError(f"{episode.task.env} is a game of several players; the replay buffer holds one's.")
            truncated = bool(table.truncated[here[-1]])
            written, states, final = await self._ids(episode, truncated, own)
            numbers = _numbers(table, here, gamma) | {
                "version": np.array([one.version for one in written]),
                "producer": np.array([one.producer for one in written], np.uint8),
                "episode": np.full(len(here), self.count),
            }
            self.count += 1
            for name, column in numbers.items():
                scalars.setdefault(name, []).append(column)
            last = [np.zeros(0, np.int32)] * (len(here) - 1) + [np.array(final, np.int32)]
            sequences["prompt"] += [np.array(one.prompt, np.int32) for one in written]
            sequences["answer"] += [np.array(one.answer, np.int32) for one in written]
            sequences["logprob"] += [np.array(one.logprob or [np.nan] * len(one.answer), np.float32) for one in written]
            sequences["state"] += [np.array(ids, np.int32) for ids in states]
            sequences["final"] += last
        if not scalars:
            raise UsageError("None of the episodes was scored, so there is nothing to learn from.")
        return TurnRows({name: np.concatenate(parts) for name, parts in scalars.items()}, sequences)

    async def _ids(
        self, episode: Episode, truncated: bool, own: bool
    ) -> tuple[list[_Written], list[Sequence[int]], Sequence[int]]:
        """Each turn in ids, what the critic reads of it where that is not its prompt, and the final state."""
        written = _sampled(episode) if own else None
        states: list[Sequence[int]] = [()] * len(episode.turns)
        final: Sequence[int] = ()
        if written is None:
            written, final = await self._led(self.make_agent, episode, truncated)
        elif truncated and self.critic_agent is None:
            (final,) = await next_prompts([episode], self.make_agent, self.model)
        if self.critic_agent is not None:
            led, final = await self._led(self.critic_agent, episode, truncated)
            states = [one.prompt for one in led]
        for turn, one in zip(episode.turns, written, strict=True):
            self._check(episode, turn, len(one.prompt) + len(one.answer))
        for turn, state, one in zip(episode.turns, states, written, strict=True):
            self._check(episode, turn, len(state) + len(one.answer))
        return written, states, final if len(final) < self.context else ()

    async def _led(
        self, make_agent: Callable[[Any], Agent], episode: Episode, truncated: bool
    ) -> tuple[list[_Written], tuple[int, ...]]:
        """The turns as an agent would have been shown and would have answered them; and what it is shown at the end."""
        teacher = Demonstrator(self.model)
        agent: Any = make_agent(teacher)
        session, most = agent.start(brief_of(episode), 0), agent.sampling.max_tokens
        found = []
        for turn, known in zip(episode.turns, sampled_answers(episode), strict=True):
            observation = Observation(turn.text, results=turn.results)
            await show(session, teacher, observation, turn.action, agent.spec, known=known)
            # An agent whose limit ends an answer before the end of the turn never says that end.
            whole = len(teacher.said) - 1 != most
            found.append(_Written(teacher.prompt, teacher.said if whole else teacher.said[:-1]))
        if not truncated or not episode.turns:
            return found, ()
        # What is answered here is not read, so the last action serves.
        text = "".join(part.text for part in episode.final_observation if isinstance(part, TextPart))
        last = Observation(text, results=episode.final_results)
        await show(session, teacher, last, episode.turns[-1].action, agent.spec)
        return found, teacher.prompt

    def _check(self, episode: Episode, turn: Turn, tokens: int) -> None:
        if tokens > self.context:
            raise UsageError(
                f"Turn {turn.index} of {episode.key.task} has {tokens} tokens with what it was shown, and the "
                f"encoder takes {self.context}. Give the agent a window (chat:window=1), the critic one "
                "(settings.critic_window=0), or take a model with a longer context."
            )


def with_window(spec: str, window: int) -> str:
    """The spec of an agent with another window: how many turns before the last it is shown."""
    parsed = Spec.parse(spec)
    return str(Spec(parsed.kind, parsed.name, parsed.url, {**parsed.options, "window": window}))


def discounted(rewards: Floats, gamma: float) -> Floats:
    """The discounted sum of the rewards from each turn of a trajectory on (T)."""
    found, total = np.zeros(len(rewards)), 0.0
    for place in reversed(range(len(rewards))):
        found[place] = total = float(rewards[place]) + gamma * total
    return found


def _numbers(table: TurnTable, here: NDArray[np.int64], gamma: float) -> dict[str, NDArray[Any]]:
    rewards = table.reward[here]
    return {
        "turn": table.turn[here],
        "left": np.arange(len(here))[::-1],
        "reward": rewards,
        "return": discounted(rewards, gamma),
        "terminated": table.terminated[here],
        "truncated": table.truncated[here],
    }


def _sampled(episode: Episode) -> list[_Written] | None:
    """The turns as they were sampled, each by its last call; None where one of them was not."""
    written = [(call.prompt_ids, call.token_ids) for call in episode.calls]
    found = []
    for turn in episode.turns:
        calls = [call for call in turn.calls if call.role == "chosen" and call.error is None]
        if turn.forced or not calls or calls[-1].prompt_ids is None or calls[-1].token_ids is None:
            return None
        call = calls[-1]
        assert call.prompt_ids is not None
        prompt = call.prompt_ids.written_out(written)
        version = _step_of(call.policy_version)
        found.append(_Written(prompt, call.token_ids or (), call.logprobs or (), version, POLICY))
    return found


def _step_of(version: str | None) -> int:
    """The step after which a policy had these weights; -1 where that is not known."""
    name, _, step = (version or "").partition("-")
    return int(step) if name == "step" and step.isdigit() else -1


__all__ = ["TurnReader", "TurnRows", "discounted", "with_window"]
