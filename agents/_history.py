"""What a model is shown each turn: the whole conversation, or a window on its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from arena.agents._prompts import Prompt
from arena.core.messages import Completion, Message, Part, TextPart, ToolCallPart, ToolResultPart
from arena.core.model import Model
from arena.core.observation import Observation, image_part

UNSEEN = "(There is an image here. You cannot see images; go by the text.)"


@dataclass(frozen=True, slots=True)
class Request:
    """What to send: `messages`, which continue the conversation of `after`, and remarks for the record."""

    messages: list[Message]
    after: Completion | None = None
    notes: tuple[str, ...] = ()


class History(Protocol):
    """Remembers an episode and says what to send next. Only `answered` and `taken` move it on."""

    def ask(self, observation: Observation) -> Request:
        """What to send to have this observation answered."""
        ...

    def answered(self, observation: Observation, completion: Completion, action: str) -> None:
        """The model answered it, and its answer means `action`."""
        ...

    def taken(self, observation: Observation, action: str, message: Message) -> None:
        """Someone else answered it; `message` is how this agent would have said so."""
        ...


class WholeHistory:
    """The whole conversation. Each request holds only what is new and continues the answer before it.

    The model's answers therefore stay as they are, token for token, and a turn costs what is new.
    """

    def __init__(self, model: Model, opening: Sequence[Message]) -> None:
        self._model = model
        self._new = list(opening)
        self._after: Completion | None = None
        self._open: tuple[ToolCallPart, ...] = ()
        self._told_unseen = False

    def ask(self, observation: Observation) -> Request:
        """As `History.ask`."""
        return Request([*self._new, *self._said(observation)], self._after, _notes(self._model, observation))

    def answered(self, observation: Observation, completion: Completion, action: str) -> None:
        """As `History.answered`; the completion stands for all that was said before it."""
        self._note(observation)
        self._new, self._after, self._open = [], completion, completion.tool_calls

    def taken(self, observation: Observation, action: str, message: Message) -> None:
        """As `History.taken`."""
        self._new += [*self._said(observation), message]
        self._note(observation)
        self._open = tuple(part for part in message.parts if isinstance(part, ToolCallPart))

    def _note(self, observation: Observation) -> None:
        self._told_unseen |= _unseen(self._model, observation)

    def _said(self, observation: Observation) -> list[Message]:
        """The observation: as results of the tool calls it answers, else as the user's message."""
        results = _results(self._open, observation)
        text = "" if results else observation.text
        if _unseen(self._model, observation) and not self._told_unseen:
            text = f"{text}\n\n{UNSEEN}".lstrip()
        parts = _parts(self._model, text, observation, text_needed=not results)
        return [*results, Message(role="user", parts=parts)] if parts else results


class WindowHistory:
    """The last turns only: a prompt made afresh each turn, whose size does not grow.

    By the template it holds how many turns have passed, the last `size` observations and actions as text,
    and the observation to answer (the form that verl-agent trains GiGPO with, `history_length`).
    """

    def __init__(self, model: Model, opening: Sequence[Message], size: int, prompt: Prompt) -> None:
        self._model = model
        self._opening = opening
        self._prompt = prompt
        self._pairs: deque[tuple[str, str]] = deque(maxlen=size)
        self._turns = 0

    def ask(self, observation: Observation) -> Request:
        """As `History.ask`."""
        text = self._prompt.render(turns=self._turns, pairs=self._pairs, observation=observation.text)
        if _unseen(self._model, observation):
            text = f"{text}\n\n{UNSEEN}"
        user = Message(role="user", parts=_parts(self._model, text, observation))
        return Request([*self._opening, user], None, _notes(self._model, observation))

    def answered(self, observation: Observation, completion: Completion, action: str) -> None:
        """As `History.answered`."""
        self._keep(observation, action)

    def taken(self, observation: Observation, action: str, message: Message) -> None:
        """As `History.taken`."""
        self._keep(observation, action)

    def _keep(self, observation: Observation, action: str) -> None:
        self._pairs.append((observation.text, action))
        self._turns += 1


def _results(calls: tuple[ToolCallPart, ...], observation: Observation) -> list[Message]:
    """One result per call: every provider insists on it."""
    if calls and not 0 < len(observation.results) <= len(calls):
        texts = [observation.text, *["The result above is that of all calls."] * (len(calls) - 1)]
    else:
        texts = [*observation.results, *["This call was not run."] * (len(calls) - len(observation.results))]
    return [
        Message(role="tool", parts=(ToolResultPart(id=call.id, text=text),))
        for call, text in zip(calls, texts, strict=False)
    ]


def _parts(model: Model, text: str, observation: Observation, text_needed: bool = True) -> tuple[Part, ...]:
    """The parts of a user message; the image is among them where the model takes images."""
    words = (TextPart(text=text),) if text or text_needed else ()
    if observation.image is None or not model.traits.images:
        return words
    return (*words, image_part(observation.image))


def _unseen(model: Model, observation: Observation) -> bool:
    return observation.image is not None and not model.traits.images


def _notes(model: Model, observation: Observation) -> tuple[str, ...]:
    return (f"image dropped: {model.spec} takes text only",) if _unseen(model, observation) else ()
