"""What the agents with a language model share: their options, and the turn they take with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property

from pydantic import ValidationError

from arena.agents._history import History, WholeHistory, WindowHistory
from arena.agents._prompts import Prompt, SystemPrompt, retry_prompt, window_prompt
from arena.agents._replies import CallReplies, ReplyForm
from arena.core.agent import Action, Brief
from arena.core.errors import UsageError
from arena.core.messages import Completion, Message, Sampling, Tool
from arena.core.model import Model
from arena.core.observation import Observation
from arena.core.outcome import Outcome


@dataclass(frozen=True, eq=False)
class ModelOptions:
    """The options of every agent that asks a language model for its actions.

    Attributes:
        model: the language model.
        window: show the model only the last so many turns, in a prompt made afresh each turn; None shows it
            the whole conversation.
        tools: let the model call the environment's tools, where it has some, instead of writing actions as text.
        retries: how often a malformed reply is asked again before it is passed on as it is.
        system: a template for the system message: one that comes with Arena, or the path of a file.
            `nothing.j2` leaves the message out.
        user: a template for the user message of a window; `observation.j2` shows the observation alone.
        temperature, top_p, top_k, max_tokens, stop, logprobs: as in `Sampling`; what is left out is not sent.
            `stop` is one string, several, or a JSON list of several.

    Raises:
        UsageError: a number out of range, a template that cannot be used, or tools with a model that takes none.
    """

    model: Model
    _: KW_ONLY
    window: int | None = None
    tools: bool = False
    retries: int = 1
    system: str = ""
    user: str = "window.j2"
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    stop: str | tuple[str, ...] = ()
    logprobs: bool = False

    def __post_init__(self) -> None:
        for name in ("window", "retries"):
            if (getattr(self, name) or 0) < 0:
                raise UsageError(f"{name} must be 0 or more, not {getattr(self, name)}.")
        if self.tools and not self.model.traits.tools:
            raise UsageError(
                f"{self.model.spec} does not call tools. Leave tools=true out, and it writes its actions as text."
            )
        object.__setattr__(self, "stop", _several(self.stop))
        # Read now, so that a bad number or template is told before any episode begins.
        _ = self.sampling, self.prompt_hash

    @cached_property
    def sampling(self) -> Sampling:
        """The sampling options that were set."""
        names = ("temperature", "top_p", "top_k", "max_tokens", "stop", "logprobs")
        try:
            return Sampling.model_validate({name: getattr(self, name) for name in names})
        except ValidationError as error:
            wrong = "; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors())
            raise UsageError(f"A sampling option is out of range: {wrong}.") from error

    @cached_property
    def prompt_hash(self) -> str:
        """Names the text of all templates in use, which must not change when a run is resumed."""
        return self._templates_hash()

    def _templates_hash(self) -> str:
        prompts = [self._system.prompt, retry_prompt(), *([] if self.window is None else [self._user])]
        return hashlib.sha256("".join(prompt.digest for prompt in prompts).encode()).hexdigest()[:16]

    @cached_property
    def _system(self) -> SystemPrompt:
        return SystemPrompt(self.system)

    @cached_property
    def _user(self) -> Prompt:
        return window_prompt(self.user)

    def dialogue(self, brief: Brief, replies: ReplyForm, make: Callable[..., Dialogue] | None = None) -> Dialogue:
        """Begin an episode in which the model's answers have the form `replies`, or are tool calls.

        Args:
            brief: what the agent is told.
            replies: how an answer stands for an action.
            make: makes the episode's dialogue, given what `Dialogue` is given; that unless told.
        """
        calling = self.tools and bool(brief.tools)
        system = self._system.message(brief, calling)
        opening = [system] if system.text else []
        history: History = WholeHistory(self.model, opening)
        if self.window is not None:
            history = WindowHistory(self.model, opening, self.window, self._user)
        return (make or Dialogue)(
            self.model,
            history,
            CallReplies() if calling else replies,
            sampling=self.sampling,
            tools=brief.tools if calling else (),
            retries=self.retries,
        )


class Dialogue:
    """One episode of an agent with a language model: a history, a form of replies, and the turn below."""

    def __init__(
        self,
        model: Model,
        history: History,
        replies: ReplyForm,
        *,
        sampling: Sampling,
        tools: tuple[Tool, ...],
        retries: int,
    ) -> None:
        self._model = model
        self._history = history
        self._replies = replies
        self._sampling = sampling
        self._tools = tools
        self._retries = retries
        self._turn = 0

    async def act(self, observation: Observation) -> Action:
        """Ask the model, again where the reply is malformed; the last reply is passed on whatever it is.

        Raises:
            ContextOverflow, ModelUnavailable, UsageError: from the model.
        """
        request = self._history.ask(observation)
        messages, after, notes = request.messages, request.after, request.notes
        rejected: list[Completion] = []
        while True:
            completion = await self._model.complete(messages, self._sampling, self._tools, after)
            reading = self._replies.read(completion)
            if reading.problem is None or len(rejected) == self._retries:
                break
            rejected.append(completion)
            messages, after = self._replies.again(completion, reading.problem), completion
        if reading.problem is not None:
            notes = (*notes, f"malformed reply passed on: {reading.problem}")
        self._history.answered(observation, completion, reading.action)
        self._turn += 1
        return Action(reading.action, rejected=tuple(rejected), notes=notes)

    def take(self, observation: Observation, action: str) -> None:
        """Write a turn that someone else played into the history, as if the model had answered so."""
        self._history.taken(observation, action, self._replies.write(action, self._turn))
        self._turn += 1

    def reply(self, action: str) -> Message:
        """The answer that would mean this action now, in the form this agent asks for."""
        return self._replies.write(action, self._turn)

    def end(self, observation: Observation, outcome: Outcome) -> None:
        """Nothing to do: the model belongs to the agent."""


def _several(stop: str | Sequence[str]) -> tuple[str, ...]:
    """Stop strings from one of them, a JSON list, or a sequence."""
    if not isinstance(stop, str):
        return tuple(stop)
    try:
        listed = json.loads(stop)
    except ValueError:
        return (stop,)
    return tuple(listed) if isinstance(listed, list) else (stop,)
