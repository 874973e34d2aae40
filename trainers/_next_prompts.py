"""The prompt that would come next: what a truncated episode is worth after its last turn is read there.

The agent that was trained is led through the recorded turns once more, by a model that answers what was
recorded, and is then asked what it would do about the final observation. What it asks is encoded as in the
episode, so the ids go on from the sampled ones wherever they would have.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.core.messages import Completion, ImagePart, Message, Sampling, TextPart, Tool
from arena.core.model import conversation
from arena.core.observation import Observation
from arena.trainers._demonstrations import brief_of

if TYPE_CHECKING:
    from arena.agents.models.local import LocalModel
    from arena.core.agent import Agent, Session
    from arena.core.episode import Call, Episode, ObservationPart, Turn
    from arena.core.model import Traits


class _Asked(Exception):
    """The model was asked for more than was recorded; its prompt is known now."""


class Remembering:
    """A model that gives recorded answers, and when they are used up writes down what it is asked.

    Attributes:
        answers: those that are left.
        prompt: the ids of the request that had no answer.
    """

    def __init__(self, model: LocalModel) -> None:
        self._encoder = model.load().encoder
        self.spec = model.spec
        self.traits: Traits = model.traits
        self.answers: deque[Completion] = deque()
        self.prompt: tuple[int, ...] = ()

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        tools: Sequence[Tool] = (),
        after: Completion | None = None,
    ) -> Completion:
        """The next recorded answer, whatever is asked."""
        if not self.answers:
            self.prompt = self._encoder.encode(messages, tools, after).ids
            raise _Asked
        return self.answers.popleft().following(conversation(messages, after))

    async def aclose(self) -> None:
        """Nothing to do: the model belongs to the policy."""


async def next_prompts(
    episodes: Iterable[Episode], make_agent: Callable[[Any], Agent], model: LocalModel
) -> list[tuple[int, ...]]:
    """The ids of the prompt that the final observation of each episode would have been answered after.

    An agent that does not do the same again, given the same answers, is told of the recorded turns instead
    (`session.take`), and its past answers are then encoded as it writes them.

    Args:
        episodes: of one player each, with a final observation.
        make_agent: makes the agent that played, given a model.
        model: whose tokens.
    """
    memory = Remembering(model)
    agent = make_agent(memory)
    found: list[tuple[int, ...]] = []
    for episode in episodes:
        session = await _led_again(agent, memory, episode) or _told(agent, episode)
        memory.answers.clear()
        memory.prompt = ()
        with contextlib.suppress(_Asked):
            await session.act(_seen(episode.final_observation, episode.final_results))
        found.append(memory.prompt)
    return found


async def _led_again(agent: Agent, memory: Remembering, episode: Episode) -> Session | None:
    """A session in which the agent did again what it did, None where it does something else."""
    written = [(call.prompt_ids, call.token_ids) for call in episode.calls]
    session = agent.start(brief_of(episode), episode.seed)
    for turn in episode.turns:
        if turn.forced:
            session.take(_observed(turn), turn.action)
            continue
        memory.answers = deque(_answer(episode, call, written) for call in turn.calls if call.message is not None)
        try:
            action = await session.act(_observed(turn))
        except _Asked:
            return None
        if action.text != turn.action or memory.answers:
            return None
    return session


def _told(agent: Agent, episode: Episode) -> Session:
    session = agent.start(brief_of(episode), episode.seed)
    for turn in episode.turns:
        session.take(_observed(turn), turn.action)
    return session


def _answer(episode: Episode, call: Call, written: Sequence[Any]) -> Completion:
    return Completion.model_validate(
        {
            "parts": episode.messages[call.message or 0].parts,
            "finish": call.finish,
            "prompt_ids": None if call.prompt_ids is None else call.prompt_ids.written_out(written),
            "token_ids": call.token_ids,
        }
    )


def _observed(turn: Turn) -> Observation:
    return _seen(turn.observation, turn.results)


def _seen(parts: Sequence[ObservationPart], results: tuple[str, ...]) -> Observation:
    """An observation of a record. Local models are told of an image but never shown one, so a dot stands for it."""
    text = "".join(part.text for part in parts if isinstance(part, TextPart))
    image = np.zeros((1, 1, 3), np.uint8) if any(isinstance(part, ImagePart) for part in parts) else None
    return Observation(text, image, results)


__all__ = ["Remembering", "next_prompts"]
