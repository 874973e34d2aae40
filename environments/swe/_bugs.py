"""Bugs drawn from a seed: which changes make up one, at which difficulty."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from arena.core.seeds import derive
from arena.environments.swe._hidden import parsed
from arena.environments.swe._manifest import Difficulty, Edit, Package
from arena.environments.swe._mutations import Mutation, body_removals, functions, mutations, to_edit
from arena.environments.swe._sources import Tree
from arena.environments.swe._trees import is_protected

__all__ = ["Bug", "Called", "bugs", "touched"]

CYCLE: tuple[Difficulty, ...] = (
    *("one edit", "several edits", "removed body", "one edit", "removed feature", "several edits", "one edit"),
    *("removed body", "several edits", "removed feature"),
)
"""In which order difficulties take their turns."""
Called = dict[tuple[str, str], frozenset[str]]
"""(file, function) -> the tests that call it"""
ASIDE = {"benchmarks", "docs", "examples", "scripts", "tools"}
"""Folders of a repository whose code its users never meet, though its tests may."""


@dataclass(frozen=True)
class Bug:
    """A candidate."""

    difficulty: Difficulty
    edits: tuple[Edit, ...]


def bugs(package: Package, tree: Tree, called: Called, seed: int) -> Iterator[Bug]:
    """Bugs in an order that the seed decides, difficulties taking turns; only functions that a test calls have any.

    Args:
        package: whose name and version enter the draw too.
        tree: its files.
        called: which functions tests call.
        seed: equal seeds give equal bugs.
    """
    chance = random.Random(derive("swe", package.name, package.version, seed))
    code = {file: tree[file] for file in sorted({file for file, _ in called}) if _is_code(package, file)}
    singles = [found for file, content in code.items() for found in mutations(file, content)]
    bodies = [found for file, content in code.items() for found in body_removals(file, content)]
    singles = [found for found in singles if (found.file, found.inside) in called]
    bodies = [found for found in bodies if (found.file, found.inside) in called]
    features = list(_features(code, bodies))
    chance.shuffle(singles)
    chance.shuffle(bodies)
    chance.shuffle(features)
    used: set[tuple[str, str]] = set()
    index = 0
    while singles or bodies or features:
        difficulty = CYCLE[index % len(CYCLE)]
        index += 1
        drawn = _drawn(difficulty, singles, bodies, features, chance)
        places = {(found.file, found.inside) for found in drawn}
        if not drawn or (difficulty.startswith("removed") and places <= used):
            if not drawn and not singles and not bodies:
                return
            continue
        edits = tuple(to_edit(code[found.file], found) for found in drawn)
        if all(edits):
            used |= places if difficulty.startswith("removed") else set()
            yield Bug(difficulty, tuple(edit for edit in edits if edit is not None))


def _is_code(package: Package, file: str) -> bool:
    start = f"{package.root}/" if package.root else ""
    inside = file.startswith(start) and file.partition("/")[0] not in ASIDE
    return inside and file.endswith(".py") and not is_protected(file)


def _drawn(
    difficulty: Difficulty,
    singles: list[Mutation],
    bodies: list[Mutation],
    features: list[tuple[Mutation, ...]],
    chance: random.Random,
) -> list[Mutation]:
    """The changes of one candidate; what is used up is not drawn again."""
    if difficulty == "one edit":
        return [singles.pop()] if singles else []
    if difficulty == "removed body":
        return [bodies.pop()] if bodies else []
    if difficulty == "removed feature":
        return list(features.pop()) if features else []
    drawn: list[Mutation] = []
    for _ in range(chance.choice((2, 2, 3))):
        apart = [found for found in singles if all(found.inside != other.inside for other in drawn)]
        if apart:
            drawn.append(apart[-1])
            singles.remove(apart[-1])
    return drawn if len(drawn) > 1 else []


def _features(code: dict[str, bytes], bodies: Sequence[Mutation]) -> Iterator[tuple[Mutation, ...]]:
    """Functions of different files, one of which uses the other: taken away together, a feature is gone."""
    uses: dict[tuple[str, str], set[str]] = {}
    for file, content in code.items():
        for name, function in functions(parsed(content)):
            words = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
            words |= {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
            uses[file, name] = words
    for body in bodies:
        short = body.inside.rpartition(".")[2]
        users = [
            other for other in bodies if other.file != body.file and short in uses.get((other.file, other.inside), ())
        ]
        if users and not short.startswith("__"):
            yield (body, users[0])


def touched(tree: Tree, edits: Sequence[Edit]) -> set[tuple[str, str]]:
    """The functions that edits lie in."""
    found = set()
    for edit in edits:
        text = tree[edit.file].decode()
        first = text[: text.index(edit.old)].count("\n") + 1
        last = first + edit.old.count("\n")
        for name, function in functions(parsed(text)):
            if function.lineno <= last and first <= (function.end_lineno or 0):
                found.add((edit.file, name))
    return found
