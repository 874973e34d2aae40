"""Records every request to a model in the turn that made it, whoever made it.

Agents hold a `RecordedModel`, made once a run. It finds the episode at work through a context
variable, so no agent can forget to record and episodes never mix.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from arena.core.agent import Action, Agent
from arena.core.episode import Call
from arena.core.messages import Completion, Message, Sampling, Tool, Usage
from arena.core.model import Model, Traits, conversation
from arena.core.seeds import derive
from arena.records.conversation import ConversationTable
from arena.rollout.limits import Budget, BudgetSpent, LimitReached, Limits

CURRENT: ContextVar[CallLog | None] = ContextVar("arena_call_log", default=None)
"""The call log of the episode at work in this task."""


class RecordedModel:
    """A model whose calls enter the record of the episode at work.

    Args:
        model: the model itself.
        role: `chosen` for the agents' calls, otherwise the role an environment needs it for.
    """

    def __init__(self, model: Model, role: str = "chosen") -> None:
        self._model = model
        self._role = role
        self.spec: str = model.spec

    @property
    def traits(self) -> Traits:
        """The model's own."""
        return self._model.traits

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        tools: Sequence[Tool] = (),
        after: Completion | None = None,
    ) -> Completion:
        """As `Model.complete`."""
        log = CURRENT.get()
        if log is None:
            return await self._model.complete(messages, sampling, tools, after)
        return await log.complete(self._model, messages, sampling, tools, after, role=self._role)

    async def aclose(self) -> None:
        """As `Model.aclose`."""
        await self._model.aclose()


def model_attribute(agent: Agent | None) -> str | None:
    """Where an agent keeps the model that it was made with: `model`, `_model`, or nowhere."""
    return next((name for name in ("model", "_model") if isinstance(getattr(agent, name, None), Model)), None)


def model_of(agent: Agent | None) -> Model | None:
    """The model that an agent was made with."""
    name = model_attribute(agent)
    return getattr(agent, name) if name else None


@dataclass(slots=True)
class CallLog:
    """The model calls of one episode.

    Attributes:
        seed: the agent's seed; call n of the episode samples from a stream of its own.
        limits: the episode's; checked before each request.
        budget: the run's; checked before each request too.
        table: the episode's messages.
        tools: the tools shown to the model so far.
        usage, cost: of all calls; the cost is None once a priced call's price is unknown.
    """

    seed: int
    limits: Limits
    budget: Budget = field(default_factory=Budget)
    table: ConversationTable = field(default_factory=ConversationTable)
    tools: dict[str, Tool] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    cost: float | None = 0.0
    _spent: float = 0.0
    _count: int = 0
    _turn: list[tuple[Call, Completion | None]] = field(default_factory=list)

    async def complete(
        self,
        model: Model,
        messages: Sequence[Message],
        sampling: Sampling,
        tools: Sequence[Tool],
        after: Completion | None,
        *,
        role: str,
    ) -> Completion:
        """Ask the model and record the request, failed ones too.

        Raises:
            LimitReached: the episode has used up its tokens or money.
            BudgetSpent: the run has used up its money.
        """
        self._check()
        if model.traits.seeded and sampling.seed is None:
            sampling = sampling.model_copy(update={"seed": derive(self.seed, self._count)})
        self._count += 1
        for tool in tools:
            self.tools.setdefault(tool.name, tool)
        completion, begun = None, time.perf_counter()
        error: str | None = "cancelled"
        try:
            completion = await model.complete(messages, sampling, tools, after)
            error = None
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
            raise
        finally:
            call = self.table.add_call(
                model.spec,
                conversation(messages, after),
                completion,
                after=after,
                sampling=sampling,
                role=role,
                seconds=time.perf_counter() - begun,
                error=error,
            )
            self._turn.append((call, completion))
            if completion is not None:
                self._count_usage(completion, model)
        return completion

    def end_turn(self, action: Action | None) -> tuple[Call, ...]:
        """The calls since the last turn, each with the role the action gives it."""
        rejected = {id(completion) for completion in action.rejected} if action else set()
        auxiliary = {id(completion) for completion in action.auxiliary} if action else set()
        calls = []
        for call, completion in self._turn:
            unused = completion is None or action is None or id(completion) in rejected
            role = "rejected" if unused and call.role == "chosen" else call.role
            role = "auxiliary" if id(completion) in auxiliary else role
            calls.append(call if role == call.role else call.model_copy(update={"role": role}))
        self._turn.clear()
        return tuple(calls)

    def _check(self) -> None:
        if self.budget.exhausted:
            raise BudgetSpent(f"The run has spent its ${self.budget.dollars:g}.")
        if self.limits.tokens is not None and self.usage.total >= self.limits.tokens:
            raise LimitReached("tokens")
        if self.limits.cost is not None and self._spent >= self.limits.cost:
            raise LimitReached("cost")

    def _count_usage(self, completion: Completion, model: Model) -> None:
        cost = completion.cost if model.traits.priced else completion.cost or 0.0
        self.usage += completion.usage
        self._spent += cost or 0.0
        self.cost = None if cost is None or self.cost is None else self._spent
        self.budget.add(cost, model.spec)
