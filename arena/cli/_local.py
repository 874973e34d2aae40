"""Finds an environment package that lies beside the person, so that a new one works before it is installed."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from arena.core import registry
from arena.core.errors import UnknownName


def known_here(id: str) -> str:
    """The id, after importing the package of its namespace from the working folder where that is needed.

    For `my-env/Thing-v0` the package `my_env` is looked for in `.`, `./src`, `./my-env` and `./my-env/src`.

    Raises:
        UnknownName: no such environment, installed or here.
    """
    try:
        registry.registration(id)
    except UnknownName:
        if not import_here(id.rpartition(":")[2].partition("/")[0]):
            raise
        registry.registration(id)
    return id


def target_here(target: str) -> str:
    """As `known_here`, for what is evaluated: an environment, a named suite, or a suite file and what it names."""
    if target.endswith(".toml"):
        all_here(_named_in(Path(target)))
    elif "/" in target and target not in registry.suites():
        known_here(target)
    elif target not in registry.suites():
        import_here(target)
    return target


def all_here(ids: Iterable[str]) -> None:
    """As `known_here` for several; what is not found is left for the use of it to complain about."""
    for id in dict.fromkeys(ids):
        try:
            known_here(id)
        except UnknownName:
            continue


def import_here(name: str) -> bool:
    """Import the package of a namespace from the working folder; False if there is none."""
    package = name.replace("-", "_")
    for folder in (Path(), Path("src"), Path(name), Path(name, "src")):
        if package.isidentifier() and (folder / package / "__init__.py").is_file():
            sys.path.append(str(folder.resolve()))
            importlib.import_module(package)
            return True
    return False


def _named_in(path: Path) -> list[str]:
    """The environments that a suite file names; a file that cannot be read is complained about by who loads it."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("tasks", [])
    except (OSError, ValueError):
        return []
    return [str(entry["env"]) for entry in entries if isinstance(entry, dict) and "env" in entry]
