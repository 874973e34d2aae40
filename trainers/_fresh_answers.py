"""Fresh answers of the policy to prompts of the replay buffer, and training rows made of them. B: prompts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from arena.core.seeds import derive
from arena.evaluation.evaluate import in_any_thread
from arena.trainers._rows import NOWHERE, Row
from arena.trainers._table import DEMONSTRATOR, ENVIRONMENT, POLICY

if TYPE_CHECKING:
    from arena.core.agent import Agent
    from arena.core.messages import Sampling
    from arena.trainers._policy import Policy

Sequences = Sequence[NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Answers:
    """What the policy answered.

    Attributes:
        ids: of each answer, the end of its turn included; B of them.
        logprob: of its tokens, as they were sampled; B of them.
    """

    ids: list[NDArray[np.int64]]
    logprob: list[NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.ids)


def fresh_answers(policy: Policy, agent: Agent, prompts: Sequences, seed: int) -> Answers:
    """Sample an answer to each prompt from the policy as it is; ranks share the work.

    Args:
        policy: who answers.
        agent: samples with its temperature and limits.
        prompts: ids, B of them.
        seed: of the answers; equal ones give equal answers.
    """
    ranks, sampling = policy.ranks, cast("Sampling", getattr(agent, "sampling"))  # noqa: B009
    own = list(range(len(prompts)))[ranks.number :: ranks.size]
    with ranks.together():
        sampled = in_any_thread(_sample(policy, sampling, {number: prompts[number] for number in own}, seed))
    found: dict[int, tuple[tuple[int, ...], tuple[float, ...]]] = {}
    for share in ranks.exchange(sampled):
        found |= share
    ordered = [found[number] for number in range(len(prompts))]
    return Answers([np.array(ids, np.int64) for ids, _ in ordered], [np.array(logprob) for _, logprob in ordered])


def policy_rows(prompts: Sequences, answers: Answers) -> list[Row]:
    """Training rows of the policy's answers; `source` counts their tokens through, one answer's after another's."""
    rows, place = [], 0
    for number, (prompt, ids, logprob) in enumerate(zip(prompts, answers.ids, answers.logprob, strict=True)):
        rows.append(
            _row(number, prompt, ids, producer=POLICY, logprob=logprob, source=np.arange(place, place + len(ids)))
        )
        place += len(ids)
    return rows


def imitation_rows(prompts: Sequences, answers: Sequences) -> list[Row]:
    """Training rows of answers that are imitated, whoever gave them; `episode` counts them through."""
    return [
        _row(
            number,
            prompt,
            ids,
            producer=DEMONSTRATOR,
            logprob=np.full(len(ids), np.nan),
            source=np.full(len(ids), NOWHERE),
        )
        for number, (prompt, ids) in enumerate(zip(prompts, answers, strict=True))
    ]


async def _sample(
    policy: Policy, sampling: Sampling, prompts: dict[int, NDArray[Any]], seed: int
) -> dict[int, tuple[tuple[int, ...], tuple[float, ...]]]:
    from arena.agents.models.local import Prompt

    async def one(number: int, ids: NDArray[Any]) -> tuple[tuple[int, ...], tuple[float, ...]]:
        seeded = sampling.model_copy(update={"seed": derive(seed, "answer", number)})
        completion = await policy.model.sample(Prompt(tuple(ids.tolist()), 0, False), seeded)
        return completion.token_ids or (), completion.logprobs or ()

    answered = await asyncio.gather(*(one(number, ids) for number, ids in prompts.items()))
    return dict(zip(prompts, answered, strict=True))


def _row(
    number: int,
    prompt: NDArray[Any],
    answer: NDArray[Any],
    *,
    producer: int,
    logprob: NDArray[np.float64],
    source: NDArray[np.int64],
) -> Row:
    before = len(prompt)
    return Row(
        ids=np.concatenate([prompt, answer]).astype(np.int64),
        producer=np.repeat(np.array([ENVIRONMENT, producer], np.uint8), [before, len(answer)]),
        logprob=np.concatenate([np.full(before, np.nan), logprob]),
        source=np.concatenate([np.full(before, NOWHERE), source]).astype(np.int64),
        episode=number,
        turns=(0, 0),
        versions=frozenset(),
    )


__all__ = ["Answers", "fresh_answers", "imitation_rows", "policy_rows"]
