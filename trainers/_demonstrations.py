"""Recorded episodes as demonstrations: what the policy would have been shown, and the action in its own tokens.

Works on episodes of any agent (an oracle, a person, another model): the agent that is trained is led
through the recorded observations, and a model that answers with the recorded actions writes down the
ids of each prompt and of each answer. Where this model itself gave the answer, to the very prompt, the ids
that it sampled stand; text and bare actions are tokenised here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from arena.core.agent import Brief
from arena.core.errors import UsageError
from arena.core.messages import Completion, Message, Sampling, TextPart, Tool
from arena.core.model import Traits, conversation
from arena.core.observation import Observation
from arena.trainers._rows import Row, RowWriter

if TYPE_CHECKING:
    from arena.agents.models.local import LocalModel
    from arena.core.agent import Agent, Session
    from arena.core.episode import Episode


@dataclass(frozen=True)
class Sampled:
    """An answer that a model was recorded with: the ids it was shown, those it gave, what they say, and its agent."""

    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    said: Message
    agent: str


def sampled_answers(episode: Episode) -> list[Sampled | None]:
    """The answer that each turn's action was read from, where the record has its ids."""
    written = [(call.prompt_ids, call.token_ids) for call in episode.calls]
    found: list[Sampled | None] = []
    for turn in episode.turns:
        calls = [call for call in turn.calls if call.role == "chosen" and call.error is None]
        call = calls[0] if len(calls) == 1 and not turn.forced else None
        if call is None or call.prompt_ids is None or not call.token_ids or call.message is None:
            found.append(None)
            continue
        prompt, agent = tuple(call.prompt_ids.written_out(written)), episode.agents.get(turn.player, "")
        found.append(Sampled(prompt, tuple(call.token_ids), episode.messages[call.message], agent))
    return found


class Demonstrator:
    """A model that answers what it was told to answer, in the tokens of another.

    Attributes:
        answer: its next answer.
        sampled: the same as it was sampled, which stands where it was sampled after these very ids.
        asked: how often it was asked since.
        prompt, said: the ids of the last prompt and answer.
    """

    def __init__(self, model: LocalModel) -> None:
        engine = model.load()
        self._encoder, self._tokenizer = engine.encoder, engine.tokenizer
        end = engine.encoder.turn_end()
        self._end = end if end is not None else engine.tokenizer.eos_token_id
        self.spec = model.spec
        self.traits: Traits = model.traits
        self.answer = Message.of("assistant", "")
        self.sampled: Sampled | None = None
        self.asked = 0
        self.prompt: tuple[int, ...] = ()
        self.said: tuple[int, ...] = ()

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        tools: Sequence[Tool] = (),
        after: Completion | None = None,
    ) -> Completion:
        """The answer, whatever is asked."""
        self.prompt = self._encoder.encode(messages, tools, after).ids
        answer, known = self.answer, self.sampled
        if known is not None and known.prompt == self.prompt:
            answer, self.said = known.said, known.ids
        else:
            text = self._tokenizer.encode(answer.text, add_special_tokens=False, verbose=False)
            self.said = (*text, self._end)
        self.asked += 1
        completion = Completion(parts=answer.parts, prompt_ids=self.prompt, token_ids=self.said)
        return completion.following(conversation(messages, after))

    async def aclose(self) -> None:
        """Nothing to do: the model belongs to the policy."""


async def demonstrations(
    episodes: Iterable[Episode], make_agent: Callable[[Any], Agent], model: LocalModel
) -> list[Row]:
    """The rows of recorded episodes, their actions produced by a `demonstrator`.

    Args:
        episodes: of one player each; turns without a text observation are led through all the same.
        make_agent: makes the agent that is trained, given a model.
        model: in whose tokens.

    Raises:
        UsageError: the agent asks for another form of answer than the recorded actions can be written in,
            or a prompt does not fit the model.
    """
    teacher = Demonstrator(model)
    agent = make_agent(teacher)
    context = model.load().context
    rows: list[Row] = []
    for number, episode in enumerate(episodes):
        if len(episode.briefs) > 1:
            raise UsageError(f"{episode.task.env} is a game of several players; demonstrations have one.")
        session, writer = agent.start(brief_of(episode), 0), RowWriter(number)
        for turn, known in zip(episode.turns, sampled_answers(episode), strict=True):
            observation = Observation(turn.text, results=turn.results)
            await show(session, teacher, observation, turn.action, agent.spec, known=known)
            if len(teacher.prompt) + len(teacher.said) > context:
                raise UsageError(
                    f"A demonstration of {episode.key.task} has {len(teacher.prompt) + len(teacher.said)} tokens at "
                    f"turn {turn.index}; this model takes {context}. Give the agent a window (chat:window=1)."
                )
            writer.add(turn.index, teacher.prompt, teacher.said, version="demonstration")
        rows += writer.rows()
    return rows


async def show(
    session: Session,
    teacher: Demonstrator,
    observation: Observation,
    action: str,
    agent: str,
    *,
    known: Sampled | None = None,
) -> None:
    """Lead an agent through one turn: it is shown the observation, and the teacher answers with the action.

    Args:
        session: of the agent.
        teacher: its model.
        observation: of the turn.
        action: that was taken.
        agent: the agent's spec.
        known: the answer that the action was read from: it stands with its thoughts if this very agent gave it.

    Raises:
        UsageError: the agent asks for another form of answer than the action can be written in.
    """
    reply = getattr(session, "reply", None)
    teacher.answer, teacher.asked = reply(action) if reply else Message.of("assistant", action), 0
    same = known is not None and (known.agent == agent or known.said.text.strip() == teacher.answer.text.strip())
    teacher.sampled = known if same else None
    if any(not isinstance(part, TextPart) for part in teacher.answer.parts):
        raise UsageError(f"The agent {agent} answers with tool calls; demonstrations are text: leave tools=true out.")
    read = await session.act(observation)
    if read.text.strip() != action.strip() or teacher.asked != 1:
        raise UsageError(
            f"The agent {agent} reads the demonstrated action {action!r} as {read.text!r}, so it cannot be "
            "taught by it. Use an agent whose replies are actions, such as chat."
        )


def written_down(answers: int, tokens: int) -> str:
    """What a run's log says of the recorded answers that it learns from."""
    return (
        f"{answers:,} recorded answers are written as the policy gives its own: {tokens:,} tokens, marked demonstrator"
    )


def brief_of(episode: Episode) -> Brief:
    """What the player of an episode was told; the abilities that the engine granted are not in a record."""
    player, told = next(iter(episode.briefs.items()), ("agent", {}))
    tools: Any = told.get("tools", ())
    limits: Any = told.get("limits", {})
    return Brief(
        instructions=str(told.get("instructions", "")),
        tools=tuple(Tool.model_validate(tool) for tool in tools),
        limits={"turns": episode.task.max_turns, **limits},
        player=player,
        idle=str(told.get("idle", "")),
    )


__all__ = ["Demonstrator", "Sampled", "brief_of", "demonstrations", "sampled_answers", "show", "written_down"]
