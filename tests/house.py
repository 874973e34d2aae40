"""The rules of the house, read from the syntax trees of a source tree; each rule yields "file:line: what is wrong"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FLOORS = (
    {"core"},
    {"records", "sandboxes", "agents"},
    {"environments", "rollout"},
    {"evaluation", "replay"},
    {"trainers"},
    {"viewer"},
    {"cli"},
)
"""From the ground up: a package imports only packages of floors below its own."""

FLOOR = {package: number for number, packages in enumerate(FLOORS) for package in packages}
LINKED = ("agents", "environments", "sandboxes", "trainers")
"""Folders at the top that are joined to the import package by relative symlinks."""

FILE_LIMIT, FILE_USUAL = 400, 300
FUNCTION_LIMIT, FUNCTION_USUAL = 80, 40
UNUSUAL_SHARE = 0.1
"""At most this share of the files and of the functions may be longer than usual."""

SEEDING = {
    "random.seed",
    "numpy.random.seed",
    "torch.manual_seed",
    "torch.random.manual_seed",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "transformers.set_seed",
    "accelerate.utils.set_seed",
}
OWN_GENERATORS = {
    "Random",
    "SystemRandom",
    "Generator",
    "default_rng",
    "SeedSequence",
    "RandomState",
    "PCG64",
    "Philox",
}
SAVED_STATES = {"getstate", "setstate", "get_state", "set_state"}


@dataclass(frozen=True)
class Source:
    """One Python file: `name` is its dotted name as imported, `shown` its path as a reader knows it."""

    path: Path
    shown: str
    name: str

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.shown)

    @property
    def package(self) -> str:
        """`core` for `arena.core.env`; the empty string for `arena` itself."""
        return self.name.partition(".")[2].partition(".")[0]

    @cached_property
    def aliases(self) -> dict[str, str]:
        """Local name -> the dotted name it was imported as."""
        names = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for item in node.names:
                    names[item.asname or item.name.partition(".")[0]] = (
                        item.name if item.asname else item.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.update({item.asname or item.name: f"{node.module}.{item.name}" for item in node.names})
        return names

    def dotted(self, node: ast.expr) -> str:
        """What a chain of attributes refers to, through the imports; the empty string for anything else."""
        if isinstance(node, ast.Name):
            return self.aliases.get(node.id, "")
        if isinstance(node, ast.Attribute) and (left := self.dotted(node.value)):
            return f"{left}.{node.attr}"
        return ""

    def imports(self) -> Iterator[tuple[int, str]]:
        """(line, dotted module or module.name) of every import, wherever it stands."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, item.name) for item in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    is_package = self.path.name == "__init__.py"
                    parts = self.name.split(".")
                    parts = parts[: len(parts) - node.level + is_package]
                    base = ".".join([*parts, base] if base else parts)
                yield from ((node.lineno, f"{base}.{item.name}") for item in node.names)


def library(root: Path) -> list[Source]:
    """All Python files of the import package, those behind the symlinks included."""
    tops = [root / "arena", *(root / name for name in LINKED)]
    found = []
    for top in tops:
        for path in sorted(top.rglob("*.py")) if top.is_dir() else ():
            shown = path.relative_to(root)
            parts = list(shown.with_suffix("").parts)
            parts = parts if parts[0] == "arena" else ["arena", *parts]
            found.append(Source(path, str(shown), ".".join(parts[:-1] if parts[-1] == "__init__" else parts)))
    return found


def scripts(root: Path) -> list[Source]:
    """Tests and benchmarks."""
    paths = [path for top in ("tests", "benchmarks") for path in sorted((root / top).rglob("*.py"))]
    return [Source(path, str(path.relative_to(root)), path.stem) for path in paths]


def floors(sources: list[Source]) -> Iterator[str]:
    """A package imports packages of lower floors only; `arena` itself only gives its version away."""
    for source in sources:
        for line, name in source.imports() if source.package else ():
            top, _, rest = name.partition(".")
            target = rest.partition(".")[0]
            if top != "arena" or target == source.package or name == "arena.__version__":
                continue
            where = f"{source.shown}:{line}"
            if target not in FLOOR:
                yield f"{where}: imports {name} from the top of the package; import it from where it is defined"
            elif source.package not in FLOOR:
                yield f"{where}: the package {source.package} stands on no floor; give it one in DESIGN and in FLOORS"
            elif FLOOR[target] >= FLOOR[source.package]:
                yield (
                    f"{where}: {source.package} (floor {FLOOR[source.package]}) imports {target} "
                    f"(floor {FLOOR[target]}); imports go down only"
                )


def two_way(sources: list[Source]) -> Iterator[str]:
    """No two packages import each other."""
    first: dict[tuple[str, str], str] = {}
    for source in sources:
        for line, name in source.imports() if source.package else ():
            target = name.split(".")[1] if name.startswith("arena.") else ""
            if target in FLOOR and target != source.package:
                first.setdefault((source.package, target), f"{source.shown}:{line}")
    for (one, other), where in first.items():
        if (other, one) in first and one < other:
            yield f"{where}: {one} and {other} import each other (the other way at {first[other, one]})"


def bare_imports(sources: list[Source]) -> Iterator[str]:
    """The folders at the top are imported as `arena.…` only."""
    for source in sources:
        for line, name in source.imports():
            if name.partition(".")[0] in LINKED:
                yield f"{source.shown}:{line}: imports {name}; write arena.{name}"


def concrete_in_rollout(sources: list[Source]) -> Iterator[str]:
    """The engine knows no concrete environment or agent; the registry hands them over."""
    for source in sources:
        for line, name in source.imports() if source.package == "rollout" else ():
            if name.startswith(("arena.agents", "arena.environments")):
                yield f"{source.shown}:{line}: rollout imports {name}; take it from arena.core.registry"


def file_sizes(sources: list[Source]) -> Iterator[str]:
    """Files are mostly short and never long."""
    lengths = [(len(source.text.splitlines()), source) for source in sources]
    for length, source in lengths:
        if length > FILE_LIMIT:
            yield f"{source.shown}:{FILE_LIMIT}: {length} lines, at most {FILE_LIMIT}: split it by idea"
    unusual = sorted(((length, s.shown) for length, s in lengths if length > FILE_USUAL), reverse=True)
    if len(unusual) > UNUSUAL_SHARE * len(sources):
        yield from (
            f"{shown}:{FILE_USUAL}: {length} lines; {len(unusual)} of {len(sources)} files are over {FILE_USUAL}, "
            f"at most one in ten may be"
            for length, shown in unusual
        )


def function_sizes(sources: list[Source]) -> Iterator[str]:
    """Functions are mostly short and never long; decorators do not count."""
    lengths = [
        (node.end_lineno - node.lineno + 1, f"{source.shown}:{node.lineno}: {node.name}")
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    ]
    for length, where in lengths:
        if length > FUNCTION_LIMIT:
            yield f"{where} has {length} lines, at most {FUNCTION_LIMIT}"
    unusual = sorted((item for item in lengths if item[0] > FUNCTION_USUAL), reverse=True)
    if len(unusual) > UNUSUAL_SHARE * len(lengths):
        yield from (
            f"{where} has {length} lines; {len(unusual)} of {len(lengths)} functions have over {FUNCTION_USUAL}, "
            f"at most one in ten may"
            for length, where in unusual
        )


def global_randomness(sources: list[Source]) -> Iterator[str]:
    """Nothing seeds or draws from a generator of the whole process."""
    for source in sources:
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Call):
                continue
            name = source.dotted(node.func)
            module, _, function = name.rpartition(".")
            where = f"{source.shown}:{node.lineno}"
            if name in SEEDING:
                yield f"{where}: {name}() seeds the whole process; use the instance's own generator"
            elif module in ("random", "numpy.random") and function not in OWN_GENERATORS | SAVED_STATES:
                yield f"{where}: {name}() draws from the process's generator; use the instance's own"


def names(sources: list[Source]) -> Iterator[str]:
    """Files and classes are named by what they are about."""
    vague = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common)(_|$)")
    for source in sources:
        for part in Path(source.shown).with_suffix("").parts:
            if vague.search(part):
                yield f"{source.shown}:1: {part!r} says nothing; name it by its idea"
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef) and re.search(r"(Manager|Helper|Utils?)$", node.name):
                yield f"{source.shown}:{node.lineno}: the class {node.name} says nothing; name it by its idea"


def unfinished(sources: list[Source]) -> Iterator[str]:
    """What is in the library is done."""
    for source in sources:
        for number, line in enumerate(source.text.splitlines(), 1):
            if found := re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
                yield f"{source.shown}:{number}: {found[1]}: do it, or open an issue"


def prints(sources: list[Source]) -> Iterator[str]:
    """Library code returns; only the command line shows, through rich or typer."""
    for source in sources:
        for node in ast.walk(source.tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"):
                continue
            if source.package == "cli" and source.aliases.get("print") == "rich.print":
                continue
            yield f"{source.shown}:{node.lineno}: print(); the command line prints through rich or typer, others never"


def mocks(sources: list[Source]) -> Iterator[str]:
    """Tests use real parts and deterministic models."""
    for source in sources:
        for line, name in source.imports():
            if name.partition(".")[0] in ("mock", "pytest_mock") or name.startswith("unittest.mock"):
                yield f"{source.shown}:{line}: imports {name}; use the real part or a deterministic one"


def links(root: Path) -> Iterator[str]:
    """The folders at the top are joined to the package by relative symlinks, so that a clone works anywhere."""
    for name in LINKED:
        link = root / "arena" / name
        if not link.is_symlink():
            yield f"arena/{name}:1: is no symlink to ../{name}; ln -s ../{name} arena/{name}"
        elif link.readlink() != Path("..", name):
            yield f"arena/{name}:1: points to {link.readlink()}, not to ../{name}"


LIBRARY_RULES = (
    floors,
    two_way,
    bare_imports,
    concrete_in_rollout,
    file_sizes,
    function_sizes,
    global_randomness,
    names,
    unfinished,
    prints,
)
SCRIPT_RULES = (bare_imports, mocks)
