"""Finds an environment package that lies beside the person, so that a new one works before it is installed."""

from __future__ import annotations

import importlib
import sys
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
        return id
    except UnknownName:
        namespace = id.rpartition(":")[2].partition("/")[0]
        package = namespace.replace("-", "_")
        for folder in (Path(), Path("src"), Path(namespace), Path(namespace, "src")):
            if package.isidentifier() and (folder / package / "__init__.py").is_file():
                sys.path.insert(0, str(folder.resolve()))
                importlib.import_module(package)
                registry.registration(id)
                return id
        raise
