"""Test functions by name: taken out of what an agent sees, or made to fail to find out who reports falsely."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterable, Mapping

__all__ = ["function_of", "functions_in", "parsed", "sabotaged", "without_functions"]

Function = ast.FunctionDef | ast.AsyncFunctionDef

_ONE_AT_A_TIME = threading.Lock()


def parsed(content: bytes | str) -> ast.Module:
    """A Python file's tree.

    Before Python 3.11.8 the parser counts the depth of all threads together, and raises SystemError where two parse at
    the same time (python/cpython#106905).

    Raises:
        SyntaxError, ValueError: it is no Python.
    """
    with _ONE_AT_A_TIME:
        return ast.parse(content)


def function_of(test: str) -> str:
    """The name of a test's function: `test_x` of `tests/test_a.py::TestA::test_x[1]`."""
    return test.partition("[")[0].rpartition("::")[2]


def functions_in(content: bytes, names: set[str]) -> list[tuple[Function, ast.AST]]:
    """The functions of a Python file that have one of the names, each with what it stands in."""
    try:
        module = parsed(content)
    except (SyntaxError, ValueError):
        return []
    return [
        (child, parent)
        for parent in ast.walk(module)
        if isinstance(parent, ast.Module | ast.ClassDef | ast.If | ast.Try | ast.With)
        for child in ast.iter_child_nodes(parent)
        if isinstance(child, Function) and child.name in names
    ]


def without_functions(tree: Mapping[str, bytes], tests: Iterable[str]) -> dict[str, bytes]:
    """A tree without the functions of some tests; where they are inherited, their definition goes."""
    tests = tuple(tests)
    found = dict(tree)
    for file in {test.partition("::")[0] for test in tests}:
        names = {function_of(test) for test in tests if test.startswith(f"{file}::")}
        here = {function.name for function, _ in functions_in(tree[file], names)}
        found[file] = _cut(found[file], names)
        folder = file.rpartition("/")[0]
        for path in tree:
            if names - here and path.endswith(".py") and path.startswith(f"{folder}/") and path != file:
                found[path] = _cut(found[path], names - here)
    return found


def _cut(content: bytes, names: set[str]) -> bytes:
    lines = content.decode().splitlines(keepends=True)
    gone = functions_in(content, names)
    if not gone:
        return content
    leaving = {id(function) for function, _ in gone}
    for function, parent in gone:
        first = min([function.lineno, *(mark.lineno for mark in function.decorator_list)])
        indent = lines[first - 1][: len(lines[first - 1]) - len(lines[first - 1].lstrip())]
        for number in range(first - 1, function.end_lineno or first):
            lines[number] = ""
        body = getattr(parent, "body", [])
        if not isinstance(parent, ast.Module) and body and all(id(node) in leaving for node in body):
            lines[first - 1] = f"{indent}pass\n"
    return "".join(lines).encode()


def sabotaged(content: bytes, names: set[str], message: str) -> bytes:
    """A test file in which the named functions run as before and then fail, whatever they return or raise."""
    module = parsed(content)
    for node in ast.walk(module):
        if isinstance(node, Function) and node.name in names:
            fail = parsed(f"raise AssertionError({message!r})").body
            node.body = [ast.Try(body=node.body, handlers=[], orelse=[], finalbody=fail)]
    return ast.unparse(ast.fix_missing_locations(module)).encode()
