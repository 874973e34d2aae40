"""Agents from specs, and specs from agents."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.util
import inspect
import json
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from arena.core.errors import BadSpec, UnknownName, UsageError
from arena.core.registry import AGENTS
from arena.core.specs import OptionValue, Spec

if TYPE_CHECKING:
    from arena.core.agent import Agent
    from arena.core.model import Model

_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}
"""The types that an option in a spec can have, in words."""


def build(spec: str | Spec, model: Model | None = None) -> Agent:
    """Make the agent that a spec names.

    A spec is a registered agent (`react:window=2`) or a class of one's own (`my_agents:Greedy,n=3`, imported
    from the Python path or the working folder). The options are the keyword arguments of the class; an
    argument called `model` receives the model.

    Args:
        spec: names the agent and its options.
        model: the language model, for the agents that use one; the others leave it alone.

    Raises:
        UnknownName: no such agent, module or class.
        BadSpec: the spec cannot be read, or has an option that the agent does not take.
        UsageError: the agent needs a model and none was given.
        MissingPrerequisite: its packages are not installed.
    """
    parsed = spec if isinstance(spec, Spec) else Spec.parse(spec) if ":" in spec else Spec(spec)
    make = _find(parsed)
    options = _checked(parsed, make)
    needs_model = "model" in inspect.signature(make).parameters
    if needs_model and model is None:
        raise UsageError(f"The agent {parsed} needs a model. Name one with -m, for example -m hf:./my-model.")
    agent = make(model, **options) if needs_model else make(**options)
    if not hasattr(agent, "spec"):
        agent.spec = str(parsed)
    return cast("Agent", agent)


def spec_of(kind: str, agent: Any) -> str:
    """The spec of an agent that is a dataclass: its kind, and the fields that differ from their defaults."""
    options: dict[str, OptionValue] = {}
    for field in dataclasses.fields(agent):
        value = getattr(agent, field.name)
        if field.name != "model" and value != field.default and not callable(value):
            options[field.name] = json.dumps(value, ensure_ascii=False) if isinstance(value, tuple) else value
    return str(Spec(kind, options=options))


def _find(spec: Spec) -> type:
    """The class a spec names."""
    if spec.url:
        raise BadSpec(f"The agent spec {str(spec)!r} has a URL; agents have none. Give the model's with -m.")
    found = _import_own(spec) if spec.name else AGENTS.load(spec.kind)
    if not isinstance(found, type) or not hasattr(found, "start"):
        raise UsageError(f"{spec} is not an agent: an agent is a class with a method start(brief, seed).")
    return found


def _import_own(spec: Spec) -> Any:
    """What a spec names that is no registered agent: a class in a module."""
    if spec.kind in AGENTS.names():
        raise BadSpec(f"{spec.name!r} in the agent spec {str(spec)!r} is not key=value.")
    try:
        module = _import(spec.kind)
    except ModuleNotFoundError as error:
        if not f"{spec.kind}.".startswith(f"{error.name}."):
            raise
        hint = f"Nor is there a module {spec.kind!r} here or on the Python path that could have a class {spec.name!r}."
        raise UnknownName("agent", spec.kind, AGENTS.names(), hint) from error
    if not hasattr(module, spec.name):
        classes = [name for name, value in vars(module).items() if isinstance(value, type)]
        raise UnknownName(f"class in the module {spec.kind}", spec.name, classes)
    return getattr(module, spec.name)


def _import(name: str) -> types.ModuleType:
    """A module, also from the working folder: unlike `python`, an installed command does not look there."""
    top, here = name.partition(".")[0], Path.cwd()
    lies_here = (here / f"{top}.py").is_file() or (here / top).is_dir()
    if lies_here and {"", str(here)}.isdisjoint(sys.path) and importlib.util.find_spec(top) is None:
        sys.path.append(str(here))
    return importlib.import_module(name)


def _checked(spec: Spec, make: type) -> dict[str, OptionValue]:
    """The spec's options, each known to the agent and of the type it takes."""
    known = _options(make)
    for key in spec.options:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            takes = f"Its options are {', '.join(known)}." if known else "It takes none."
            raise BadSpec(f"The agent {spec.kind} has no option {key!r}.{meant} {takes}")
    return {key: _fitting(spec, key, value, known[key]) for key, value in spec.options.items()}


@lru_cache(maxsize=128)
def _options(make: type) -> Mapping[str, tuple[type, ...]]:
    """The arguments that a spec can set, each with the scalar types it takes (none: any)."""
    signature = inspect.signature(make)
    try:
        hints = typing.get_type_hints(
            make if dataclasses.is_dataclass(make) else inspect.getattr_static(make, "__init__")
        )
    except NameError:
        # A name that only a type checker imports: take the values as they were read.
        hints = {}
    options = {}
    for name, parameter in signature.parameters.items():
        hint = hints.get(name, Any)
        by_name = parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        if name != "model" and by_name and typing.get_origin(hint) is not Callable:
            options[name] = tuple(_scalars(hint))
    return options


def _scalars(hint: Any) -> Iterator[type]:
    """The scalar types in an annotation."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        for member in typing.get_args(hint):
            yield from _scalars(member)
    elif typing.get_origin(hint) is typing.Literal:
        yield from dict.fromkeys(map(type, typing.get_args(hint)))
    elif isinstance(hint, type) and hint in _WORDS:
        yield hint


def _fitting(spec: Spec, key: str, value: OptionValue, kinds: tuple[type, ...]) -> OptionValue:
    if not kinds or type(value) in kinds:
        return value
    if type(value) is int and float in kinds:
        return float(value)
    if type(value) is int and str in kinds:
        return str(value)
    names = " or ".join(_WORDS[kind] for kind in kinds)
    raise BadSpec(f"The option {key} of the agent {spec.kind} takes {names}, not {value!r}.")
