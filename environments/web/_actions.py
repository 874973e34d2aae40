"""The language of web actions: BrowserGym's function calls, read with Python's own parser and never evaluated.

    click("12")
    fill("7", "ada@example.org")
    press("7", "Enter")

An action is one call or several (one per line), run in order; the canonical JSON list of tool calls says the same.
What the functions are stands in one place, the methods of `Hands` (`_acting.py`): their signatures and docstrings
give the grammar, the tools' JSON schemas and the text for the instructions.

Source: BrowserGym (Chezelles et al., 2024, arXiv 2412.05467), its functions' names and arguments.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from arena.core.tools import canonical, read_calls

if TYPE_CHECKING:
    from arena.core.messages import Tool

__all__ = ["ActionError", "Call", "Vocabulary"]

_LONGEST = 20_000
"""Characters of an action; a form's text fits, a page of garbage is not parsed."""
_MOST_CALLS = 20
_SCHEMAS: dict[object, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
}


class ActionError(Exception):
    """Why an action cannot be done, in a sentence for the agent."""


@dataclass(frozen=True)
class Call:
    """One function call; its string is the action that runs it again."""

    name: str
    arguments: Mapping[str, Any]
    positional: int = 0
    """How many of the arguments are written without their name."""

    def __str__(self) -> str:
        written = [
            _written(value) if number < self.positional else f"{name}={_written(value)}"
            for number, (name, value) in enumerate(self.arguments.items())
        ]
        return f"{self.name}({', '.join(written)})"


class Vocabulary:
    """Some of the functions, to read actions and to tell an agent about them.

    Args:
        owner: the class whose methods they are.
        names: which of its methods, in the order they are told.
    """

    def __init__(self, owner: type[Any], names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._functions: dict[str, Callable[..., Any]] = {name: getattr(owner, name) for name in self.names}
        self._types = {name: typing.get_type_hints(function) for name, function in self._functions.items()}

    def read(self, action: str) -> list[Call]:
        """The calls of an action.

        Raises:
            ActionError: it is none, names no function of these, or gives one the wrong arguments.
        """
        if len(action) > _LONGEST:
            raise ActionError(f"An action has at most {_LONGEST} characters; this one has {len(action)}.")
        told = read_calls(action)
        asked = [(name, (), arguments) for name, arguments in told] if told is not None else _parsed(action)
        if len(asked) > _MOST_CALLS:
            raise ActionError(f"An action has at most {_MOST_CALLS} calls; this one has {len(asked)}.")
        return [self._bound(name, positional, named) for name, positional, named in asked]

    def tools(self) -> tuple[Tool, ...]:
        """The functions as tools with JSON schemas."""
        from arena.core.messages import Tool

        found = []
        for name, function in self._functions.items():
            parameters = _parameters(function)
            schema = {
                "type": "object",
                "properties": {p.name: _schema(self._types[name][p.name]) for p in parameters},
                "required": [p.name for p in parameters if p.default is p.empty],
                "additionalProperties": False,
            }
            form = ", ".join(_place(p.name, self._types[name][p.name]) for p in parameters if p.default is p.empty)
            tool = Tool(name=name, description=_summary(function), parameters=schema, template=f"{name}({form})")
            found.append(tool)
        return tuple(found)

    def described(self) -> str:
        """One line for each function: how it is called, and what it does."""
        return "\n".join(f"{self._signature(name)}: {_summary(self._functions[name])}" for name in self.names)

    def canonical(self, calls: Iterable[Call]) -> str:
        """The calls as a canonical JSON action."""
        return canonical([(call.name, call.arguments) for call in calls])

    def _signature(self, name: str) -> str:
        parts = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in self._of(name)]
        return f"{name}({', '.join(parts)})"

    def _of(self, name: str) -> list[inspect.Parameter]:
        return _parameters(self._functions[name])

    def _bound(self, name: str, positional: tuple[Any, ...], named: Mapping[str, Any]) -> Call:
        if name not in self._functions:
            close = difflib.get_close_matches(name, self.names, n=1, cutoff=0.6)
            hint = f" Did you mean {close[0]}?" if close else f" The functions are: {', '.join(self.names)}."
            raise ActionError(f"There is no function called {name[:40]!r}.{hint}")
        parameters = self._of(name)
        known = [p.name for p in parameters]
        usage = f"It is called as {self._signature(name)}."
        if len(positional) > len(parameters):
            raise ActionError(f"{name} takes at most {len(parameters)} arguments, not {len(positional)}. {usage}")
        arguments = dict(zip(known, positional, strict=False))
        for key, value in named.items():
            if key not in known or key in arguments:
                wrong = f"gets {key} twice" if key in arguments else f"has no argument {key[:40]!r}"
                raise ActionError(f"{name} {wrong}. {usage}")
            arguments[key] = value
        if missing := [p.name for p in parameters if p.default is p.empty and p.name not in arguments]:
            raise ActionError(f"{name} needs {' and '.join(missing)}. {usage}")
        for key, value in arguments.items():
            arguments[key] = _fitted(value, self._types[name][key], f"{name}: {key}")
        return Call(name, arguments, len(positional))


def _parsed(action: str) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """(function, positional arguments, named arguments) of each call in Python's notation."""
    text = action.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        text = text[text.index("\n") : -3].strip()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f" (line {error.lineno}: {error.msg})" if isinstance(error, SyntaxError) else ""
        raise ActionError(f'This is no action{where}: write a call such as click("12").') from None
    if not tree.body:
        raise ActionError('The action is empty: write a call such as click("12").')
    return [_call(statement) for statement in tree.body]


def _call(statement: ast.stmt) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ActionError('An action is made of calls only, such as click("12"), one per line.')
    name = call.func.id
    if any(isinstance(argument, ast.Starred) for argument in call.args) or any(k.arg is None for k in call.keywords):
        raise ActionError(f"{name} is called with * or **: write its arguments out.")
    try:
        positional = tuple(ast.literal_eval(argument) for argument in call.args)
        named = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise ActionError(f"The arguments of {name} must be plain values: strings, numbers or lists.") from None
    return name, positional, named


def _fitted(value: Any, wanted: Any, place: str) -> Any:
    """The value as the type wants it: an element's number may be written without quotes, a number as 3.0."""
    kinds = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    for kind in kinds:
        if kind is str and isinstance(value, str):
            return value
        if kind is bool and isinstance(value, bool):
            return value
        if isinstance(value, bool):
            continue
        if kind is float and isinstance(value, int | float) and abs(value) < 1e9:
            return value
        if kind is int and isinstance(value, int | float) and value == int(value) and abs(value) < 1e9:
            return int(value)
        if typing.get_origin(kind) is list and isinstance(value, list | tuple) and all(type(v) is str for v in value):
            return list(value)
        if typing.get_origin(kind) is typing.Literal and value in typing.get_args(kind):
            return value
    if str in kinds and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    wish = " or ".join(_word(kind) for kind in kinds)
    raise ActionError(f"{place} must be {wish}, not {str(value)[:40]!r}.")


def _word(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(repr(choice) for choice in typing.get_args(kind))
    if typing.get_origin(kind) is list:
        return "a list of strings"
    return {str: "a string", int: "a whole number", float: "a number", bool: "True or False"}[kind]


def _schema(kind: Any) -> dict[str, Any]:
    if isinstance(kind, types.UnionType):
        return {"anyOf": [_schema(part) for part in typing.get_args(kind)]}
    if typing.get_origin(kind) is typing.Literal:
        return {"type": "string", "enum": list(typing.get_args(kind))}
    if typing.get_origin(kind) is list:
        return {"type": "array", "items": {"type": "string"}}
    return dict(_SCHEMAS[kind])


def _place(name: str, kind: Any) -> str:
    return f'"{{{name}}}"' if kind is str else f"{{{name}}}"


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())[1:]


def _summary(function: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())


def _written(value: Any) -> str:
    """A value in Python's notation, strings in double quotes."""
    if isinstance(value, str):
        return '"' + repr('"' + value)[2:-1].replace("\\'", "'").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return repr(value)
