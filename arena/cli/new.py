"""`arena new`: a package with an environment that passes the contract check at once."""

from __future__ import annotations

import keyword
import re
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from arena.cli._console import pairs, say
from arena.core.errors import UsageError

SUMMARY = "Make an environment package that passes the contract check at once."
EXAMPLES = ("arena new my-env && arena check my-env/Thing-v0", "arena new card-games --env Bridge --into ~/code")

_FILES = {
    "pyproject.toml.j2": "pyproject.toml",
    "README.md.j2": "README.md",
    "init.py.j2": "{package}/__init__.py",
    "environment.py.j2": "{package}/{module}.py",
    "suite.toml.j2": "{package}/suites/{name}.toml",
    "test_contract.py.j2": "tests/test_contract.py",
}

_TAKEN = {"arena", "gymnasium", "test", "tests"}


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the package, such as my-env.")],
    env: Annotated[str, typer.Option(metavar="NAME", help="Name of the environment, like a class.")] = "Thing",
    into: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder to make it in (this one).", show_default=False)
    ] = Path(),
) -> None:
    """Make an environment package: a small game, its suite and its contract test. Replace the game by yours."""
    folder = create(into / name, name, env)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        say(f"  {path}")
    say()
    pairs(
        {
            "check it": f"arena check {name}/{env}-v0",
            "play it": f"arena play {name}/{env}-v0",
            "evaluate on it": f"arena eval {name} -a random",
            "install it": f"pip install -e {folder}",
        }
    )


def create(folder: Path, name: str, env: str) -> Path:
    """Write the files of a new package.

    Raises:
        UsageError: a name that cannot be used, or a folder that is there already.
    """
    import jinja2

    package = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(package) or package in _TAKEN:
        raise UsageError(f"A package is named in small letters, digits and hyphens, such as my-env, not {name!r}.")
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", env) or env in ("Any", "Env", "None", "State", "StateSnapshots", "Tool"):
        raise UsageError(f"An environment is named like a class, such as Thing, not {env!r}.")
    if folder.exists():
        raise UsageError(f"{folder} is there already; choose another name or remove it.")
    module = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", env).lower()
    if keyword.iskeyword(module):
        raise UsageError(f"The environment {env} would live in {module}.py, which Python cannot import; rename it.")
    words = {"name": name, "package": package, "env": env, "module": module}
    templates = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    for source, target in _FILES.items():
        text = resources.files("arena.cli").joinpath("scaffold", source).read_text(encoding="utf-8")
        path = folder / target.format(**words)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(templates.from_string(text).render(words), encoding="utf-8")
    return folder
