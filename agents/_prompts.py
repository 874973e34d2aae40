"""Prompts: jinja2 templates under `prompts/`, where a variable that is not there is an error."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta

from arena.core.agent import Brief
from arena.core.errors import UsageError
from arena.core.messages import Message, Tool
from arena.core.tools import canonical

_LOADER = jinja2.PackageLoader("arena.agents", "prompts")
_ENVIRONMENT = jinja2.Environment(
    loader=_LOADER, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
)
_MOST_RENDERED = 256


class Prompt:
    """One template.

    Args:
        name: a template that comes with Arena (`react.j2`), or the path of a file.
        variables: what it is given when it is rendered.

    Raises:
        UsageError: it cannot be read, or uses a variable that it is not given.
    """

    def __init__(self, name: str, *variables: str) -> None:
        self.name = name
        self._variables = variables
        try:
            source = _source(name) if name in _LOADER.list_templates() else Path(name).read_text(encoding="utf-8")
            self._template = _ENVIRONMENT.from_string(source)
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The prompt {name} cannot be read: {error}.") from error
        except jinja2.TemplateSyntaxError as error:
            raise UsageError(f"The prompt {name} is no template: line {error.lineno}: {error.message}.") from error
        self.digest = hashlib.sha256("".join(self._checked(source)).encode()).hexdigest()[:16]

    def _checked(self, source: str) -> Iterator[str]:
        """The source and those it includes; mistakes in any branch are found now and not in the middle of a run."""
        yield source
        tree = _ENVIRONMENT.parse(source)
        for variable in sorted(jinja2.meta.find_undeclared_variables(tree) - set(self._variables)):
            raise self._unknown(f"uses {variable!r}, which is not one of its variables")
        for included in jinja2.meta.find_referenced_templates(tree):
            if included not in _LOADER.list_templates():
                raise UsageError(f"The prompt {self.name} includes {included!r}; it can include those of Arena only.")
            yield from self._checked(_source(included))

    def _unknown(self, what: str) -> UsageError:
        return UsageError(f"The prompt {self.name} {what}. Its variables are {', '.join(self._variables)}.")

    def render(self, **values: Any) -> str:
        """The text.

        Raises:
            UsageError: the template uses an attribute that is not there.
        """
        try:
            return self._template.render(values)
        except jinja2.UndefinedError as error:
            raise self._unknown(f"uses something that is not there: {error}") from error


def _source(name: str) -> str:
    return _LOADER.get_source(_ENVIRONMENT, name)[0]


class SystemPrompt:
    """The system message of an agent: what a brief says, in the words of a template.

    A template has the variables `instructions`, `limits` (name -> number), `player`, `calling` (whether the
    model gets the tools as schemas) and `tools` (a list of {name, description, form, arguments}, where
    `arguments` is a list of {name, type, description, required}). `{% include "task.j2" %}` says all of it.
    """

    def __init__(self, name: str) -> None:
        self.prompt = Prompt(name, "instructions", "tools", "calling", "limits", "player")
        self._rendered: dict[tuple[object, ...], Message] = {}

    def message(self, brief: Brief, calling: bool) -> Message:
        """The message, rendered once for all episodes with an equal brief."""
        limits = {name: value for name, value in brief.limits.items() if value is not None}
        schemas = tuple(tool.model_dump_json() for tool in brief.tools)
        key = (brief.instructions, schemas, repr(limits), brief.player, calling)
        message = self._rendered.get(key)
        if message is None:
            text = self.prompt.render(
                instructions=brief.instructions.strip(),
                tools=[_described(tool) for tool in brief.tools],
                calling=calling,
                limits=limits,
                player=brief.player,
            )
            if len(self._rendered) >= _MOST_RENDERED:
                self._rendered.clear()
            message = self._rendered[key] = Message.of("system", text.strip())
        return message


@lru_cache
def window_prompt(name: str) -> Prompt:
    """The user message of a window.

    A template has the variables `turns` (how many have passed), `pairs` (a list of the last of them, each an
    observation and an action) and `observation` (the one to answer). `window.j2` says all of it,
    `observation.j2` the observation alone.
    """
    return Prompt(name, "turns", "pairs", "observation")


@lru_cache(maxsize=1)
def retry_prompt() -> Prompt:
    """What a model is told whose reply could not be used."""
    return Prompt("retry.j2", "problem", "calling")


def _described(tool: Tool) -> dict[str, Any]:
    """A tool as templates see it; `form` is the action string of a call."""
    properties: Mapping[str, Any] = tool.parameters.get("properties", {})
    required = tool.parameters.get("required", list(properties))
    return {
        "name": tool.name,
        "description": tool.description,
        "form": tool.template or canonical([(tool.name, dict.fromkeys(properties, "…"))]),
        "arguments": [
            {
                "name": name,
                "type": _type_in_words(schema),
                "description": schema.get("description", ""),
                "required": name in required,
            }
            for name, schema in properties.items()
        ],
    }


def _type_in_words(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    return str(schema.get("type", "anything"))
