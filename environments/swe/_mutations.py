"""Bugs by changing a syntax tree: where code can be changed so that it still runs and does something else.

A `Mutation` is one place of one file. Operators are SWE-smith's procedural ones in small: comparisons, operators,
constants, conditions, return values, dropped statements, and whole bodies.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from arena.environments.swe._hidden import parsed
from arena.environments.swe._manifest import Edit

__all__ = ["Mutation", "body_removals", "mutations", "to_edit"]

Function = ast.FunctionDef | ast.AsyncFunctionDef

COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "+",
    ast.FloorDiv: "*",
    ast.Div: "*",
    ast.Mod: "+",
    ast.BitAnd: "|",
    ast.BitOr: "&",
}
SMALLEST_BODY = 3
"""Statements that a body must have for its removal to be a task."""


@dataclass(frozen=True)
class Mutation:
    """Bytes `start` to `end` of `file`, in the function `inside`, become `text`."""

    file: str
    inside: str
    start: int
    end: int
    text: str
    kind: str


class _Source:
    """A file, with the byte offsets of its lines."""

    def __init__(self, file: str, content: bytes) -> None:
        self.file, self.content = file, content
        self.starts = [0]
        for line in content.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        """The bytes of a node."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.starts[node.lineno - 1] + node.col_offset, self.starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.stmt | ast.expr) -> str:
        """The source of a node."""
        start, end = self.span(node)
        return self.content[start:end].decode()

    def becomes(self, node: ast.stmt | ast.expr, text: str, inside: str, kind: str) -> Mutation:
        """The mutation that puts a text in a node's place."""
        return Mutation(self.file, inside, *self.span(node), text, kind)


def functions(tree: ast.AST, above: str = "") -> Iterator[tuple[str, Function]]:
    """The functions and methods of a module by their qualified names, without those inside of others."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function):
            yield f"{above}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{above}{node.name}.")
        elif isinstance(node, ast.If | ast.Try):
            yield from functions(node, above)


def mutations(file: str, content: bytes) -> list[Mutation]:
    """All single changes of a file, in the order of the source."""
    source = _Source(file, content)
    found = []
    for name, function in functions(parsed(content)):
        for statement in _body(function):
            for node in ast.walk(statement):
                found += list(_changes(source, node, name))
    return found


def body_removals(file: str, content: bytes) -> list[Mutation]:
    """Functions that can lose their body; the docstring stays."""
    source = _Source(file, content)
    found = []
    for name, function in functions(parsed(content)):
        body = _body(function)
        statements = sum(isinstance(node, ast.stmt) for part in body for node in ast.walk(part))
        if body and statements >= SMALLEST_BODY and body[0].lineno > function.lineno:
            start, end = source.span(body[0])[0], source.span(body[-1])[1]
            found.append(Mutation(file, name, start, end, "raise NotImplementedError", "removed body"))
    return found


def to_edit(content: bytes, mutation: Mutation) -> Edit | None:
    """The change as whole lines that occur once in the original and, changed, once in the result."""
    original = content.decode()
    start = len(content[: mutation.start].decode())
    end = len(content[: mutation.end].decode())
    broken = original[:start] + mutation.text + original[end:]
    first = original.rfind("\n", 0, start) + 1
    last = original.find("\n", end)
    last = len(original) if last < 0 else last
    for _ in range(12):
        old = original[first:last]
        new = original[first:start] + mutation.text + original[end:last]
        if original.count(old) == 1 and broken.count(new) == 1:
            return Edit(mutation.file, old, new)
        first = original.rfind("\n", 0, max(0, first - 1)) + 1
        after = original.find("\n", last + 1)
        last = len(original) if after < 0 else after
    return None


def _body(function: Function) -> list[ast.stmt]:
    """The statements of a function after its docstring."""
    return function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body


def _changes(source: _Source, node: ast.AST, name: str) -> Iterator[Mutation]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        text = f"{source.text(node.left)} {COMPARISONS[type(node.ops[0])]} {source.text(node.comparators[0])}"
        yield source.becomes(node, text, name, "comparison")
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS and not isinstance(node.left, ast.Constant):
        text = f"{source.text(node.left)} {OPERATORS[type(node.op)]} {source.text(node.right)}"
        yield source.becomes(node, text, name, "operator")
    elif isinstance(node, ast.BoolOp) and len(node.values) == 2:
        word = "or" if isinstance(node.op, ast.And) else "and"
        text = f"{source.text(node.values[0])} {word} {source.text(node.values[1])}"
        yield source.becomes(node, text, name, "connective")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield source.becomes(node, source.text(node.operand), name, "negation")
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield source.becomes(node, str(not node.value), name, "constant")
    elif isinstance(node, ast.Constant) and isinstance(node.value, int) and source.text(node).isdigit():
        yield source.becomes(node, str(node.value + 1), name, "constant")
    elif isinstance(node, ast.If | ast.IfExp) and not isinstance(node.test, ast.Compare | ast.UnaryOp):
        yield source.becomes(node.test, f"not ({source.text(node.test)})", name, "condition")
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield source.becomes(node.value, "None", name, "return value")
    elif isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield source.becomes(node, "pass", name, "dropped statement")
