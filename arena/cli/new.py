"""`arena new`: a package with an environment that passes the contract check at once."""

from __future__ import annotations

import keyword
import re
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from arena.cli._console import console
from arena.core.errors import UsageError

_FILES = {
    "pyproject.toml.j2": "pyproject.toml",
    "README.md.j2": "README.md",
    "init.py.j2": "{package}/__init__.py",
    "environment.py.j2": "{package}/{module}.py",
    "suite.toml.j2": "{package}/suites/{name}.toml",
    "test_contract.py.j2": "tests/test_contract.py",
}


def command(
    name: Annotated[str, typer.Argument(help="Name of the package, such as my-env.")],
    env: Annotated[str, typer.Option(help="Name of the environment.")] = "Thing",
    into: Annotated[Path, typer.Option(help="Folder to make it in.")] = Path(),
) -> None:
    """Make an environment package: a small game, its suite, its contract test. Replace the game by yours.

    Example: arena new my-env && arena check my-env/Thing-v0
    """
    folder = create(into / name, name, env)
    terminal = console()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        terminal.print(f"  {path}", markup=False)
    terminal.print(f"\ncheck it    arena check {name}/{env}-v0", markup=False)
    terminal.print(f"play it     arena play {name}/{env}-v0", markup=False)
    terminal.print(f"install it  pip install -e {folder}", markup=False)


def create(folder: Path, name: str, env: str) -> Path:
    """Write the files of a new package.

    Raises:
        UsageError: a name that cannot be used, or a folder that is there already.
    """
    import jinja2

    package = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name) or keyword.iskeyword(package) or package in ("arena", "gymnasium"):
        raise UsageError(f"A package is named in small letters, digits and hyphens, such as my-env, not {name!r}.")
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", env) or env in ("Env", "State", "StateSnapshots", "Tool"):
        raise UsageError(f"An environment is named like a class, such as Thing, not {env!r}.")
    if folder.exists():
        raise UsageError(f"{folder} is there already; choose another name or remove it.")
    module = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", env).lower()
    words = {"name": name, "package": package, "env": env, "module": module}
    templates = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    for source, target in _FILES.items():
        text = resources.files("arena.cli").joinpath("scaffold", source).read_text()
        path = folder / target.format(**words)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(templates.from_string(text).render(words))
    return folder
