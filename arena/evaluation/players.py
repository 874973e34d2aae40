"""Who plays: the agents and models of an evaluation, every call of a model entering the record."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from arena.agents import build as build_agent
from arena.agents.models import build as build_model
from arena.agents.models import sampling_identity
from arena.core.agent import Agent
from arena.core.errors import BadSpec, UsageError
from arena.core.model import Model
from arena.evaluation.config import EvalConfig
from arena.rollout import RecordedModel, model_attribute, model_of


@dataclass(frozen=True, slots=True)
class Made:
    """An agent or a model made by the caller, to be used instead of building it from its spec."""

    agent: Agent | None = None
    model: Model | None = None


@dataclass(frozen=True, slots=True)
class Players:
    """Those who act in the episodes.

    Attributes:
        agents: player -> agent.
        model: what the agents ask, where they ask one.
        roles: role -> model, of the environment's own roles.
    """

    agents: Mapping[str, Agent]
    model: Model | None
    roles: Mapping[str, Model]

    def identity(self) -> dict[str, Any]:
        """What of them can change an answer beside the agents' specs; a run is resumed with the same only."""
        prompts = {player: getattr(agent, "prompt_hash", None) for player, agent in self.agents.items()}
        identity = {
            "model": model_identity(self.model) if self.model is not None else None,
            "roles": {role: model_identity(model) for role, model in self.roles.items()},
            "prompts": {player: prompt for player, prompt in prompts.items() if prompt},
        }
        return {name: value for name, value in identity.items() if value}


@asynccontextmanager
async def players(config: EvalConfig, made: Made) -> AsyncIterator[Players]:
    """Those whom a configuration names, until it is left; the models built for it are closed then.

    An agent that was made with a model keeps it, and those of the other players who need one ask the same.

    Raises:
        BadSpec, UnknownName, MissingPrerequisite: one cannot be built.
        UsageError: the agent was made with a model, and another is named.
    """
    async with AsyncExitStack() as stack:

        def built(spec: str) -> Model:
            model = build_model(spec)
            stack.push_async_callback(model.aclose)
            return model

        own = model_of(made.agent)
        if own is not None and (made.model is not None or config.model not in (None, own.spec)):
            raise UsageError(
                f"The agent {config.agent} was made with the model {own.spec}, so it takes no other: leave out the "
                "model, or name the agent by its spec."
            )
        model = own or made.model or (built(config.model) if config.model else None)
        recorded = model if model is None or isinstance(model, RecordedModel) else RecordedModel(model)
        if made.agent is None:
            agent = build_agent(config.agent, recorded)
        else:
            agent = made.agent if own is None or recorded is own else _with_model(made.agent, recorded)
        others = {player: build_agent(spec, recorded) for player, spec in config.players.items()}
        roles = {role: built(spec) for role, spec in config.roles.items()}
        yield Players({"agent": agent, **others}, model, roles)


def _with_model(agent: Any, model: Model | None) -> Agent:
    """A copy of an agent that asks another model; the caller's own stays as it is."""
    name, spec = model_attribute(agent) or "", agent.spec
    if dataclasses.is_dataclass(agent) and any(f.name == name and f.init for f in dataclasses.fields(agent)):
        copied: Any = dataclasses.replace(agent, **{name: model})  # type: ignore[type-var]
        if not hasattr(copied, "spec"):
            copied.spec = spec
    else:
        copied = copy.copy(agent)
        try:
            setattr(copied, name, model)
        except AttributeError as error:
            raise UsageError(
                f"The attribute {name} of the agent {spec} cannot be set, so the calls of its model could not be "
                "recorded. Make it a plain attribute, or name the agent by its spec."
            ) from error
    return cast("Agent", copied)


def model_identity(model: Model) -> dict[str, str]:
    """What of a model can change its answers."""
    try:
        spec = sampling_identity(model.spec)
    except BadSpec:  # a model of the caller's own need not follow the form: then all of its line is compared
        spec = model.spec
    return {"identity": model.traits.identity, "spec": spec}
