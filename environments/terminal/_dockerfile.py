"""Dockerfiles, as far as they can be followed inside of a sandbox, where the image they start from is not to be had.

`FROM` is then our own base image (under Docker) or this machine's programs (under bubblewrap): Debian with Python and
git, as most tasks expect. What `apt-get install` names is installed into the base image, or must be on the machine;
`COPY`, `RUN`, `ENV` and `WORKDIR` are done in each new sandbox, by its user and without a network.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from arena.core.errors import UsageError

__all__ = ["Copy", "Recipe", "Run", "read_dockerfile"]

FAMILIES = ("debian", "ubuntu", "python", "buildpack-deps", "t-bench/ubuntu", "t-bench/python")
"""Images that ours stands in for: names that begin or end so, with any tag."""
WITHOUT_EFFECT = ("CMD", "ENTRYPOINT", "EXPOSE", "LABEL", "MAINTAINER", "USER", "SHELL", "VOLUME", "STOPSIGNAL")
APT = re.compile(r"(?:apt-get|apt)\s+(?:-\S+\s+)*(update|install|clean|autoremove|upgrade)\b(.*)")
CLEANING = re.compile(r"rm\s+-rf\s+/var/(lib/apt|cache)\S*\s*$")
HEREDOC = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?")


@dataclass(frozen=True)
class Copy:
    """Files of the build's folder that go into the sandbox."""

    sources: tuple[str, ...]
    target: str
    into: bool
    """Whether the target is a folder that they go into."""


@dataclass(frozen=True)
class Run:
    """A line for the shell."""

    command: str
    cwd: str


@dataclass
class Recipe:
    """What a Dockerfile says.

    Attributes:
        base: the image it starts from.
        stages: how many times it starts.
        workdir: the last one.
        packages: what apt-get shall install.
    """

    base: str = ""
    stages: int = 0
    workdir: str = "/"
    env: dict[str, str] = field(default_factory=dict)
    packages: list[str] = field(default_factory=list)
    steps: list[Copy | Run] = field(default_factory=list)

    @property
    def replaceable(self) -> bool:
        """Whether our base image can stand in for the one it starts from."""
        name = self.base.partition("@")[0].rpartition("/")[2].partition(":")[0]
        return self.stages == 1 and any(
            name == family or f"{family}-" in self.base or name.startswith(f"{family}-") for family in FAMILIES
        )


def read_dockerfile(path: Path) -> Recipe:
    """Read a Dockerfile.

    Raises:
        UsageError: an instruction that cannot be followed.
    """
    recipe = Recipe()
    for word, text in _instructions(path.read_text(encoding="utf-8")):
        if word == "FROM":
            recipe.base, recipe.stages = re.sub(r"^--\S+\s+", "", text).split()[0], recipe.stages + 1
        elif word == "WORKDIR":
            recipe.workdir = posixpath.normpath(posixpath.join(recipe.workdir, _filled(text, recipe.env)))
        elif word in ("ENV", "ARG"):
            recipe.env |= _variables(text, recipe.env, assigned=word == "ENV")
        elif word in ("COPY", "ADD"):
            recipe.steps.append(_copy(text, recipe))
        elif word == "RUN":
            _run(text, recipe)
        elif word not in WITHOUT_EFFECT:
            raise UsageError(f"{path}: the instruction {word} cannot be followed without the image {recipe.base!r}.")
    if not recipe.stages:
        raise UsageError(f"{path} does not begin with FROM.")
    return recipe


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        whole = line
        while whole.endswith("\\"):
            following = next(lines, "")
            while following.lstrip().startswith("#"):
                following = next(lines, "")
            whole = f"{whole[:-1]}\n{following}" if following else whole[:-1]
        for end in HEREDOC.findall(whole) if whole.lstrip().upper().startswith("RUN") else ():
            for following in lines:
                whole += f"\n{following}"
                if following.strip() == end:
                    break
        word, _, rest = whole.strip().partition(" ")
        yield word.upper(), rest.strip()


def _run(text: str, recipe: Recipe) -> None:
    if text.startswith("["):
        recipe.steps.append(Run(shlex.join(json.loads(text)), recipe.workdir))
        return
    if heredoc := HEREDOC.match(text):  # the lines are the script
        text = text.partition("\n")[2].rpartition(heredoc[1])[0]
        recipe.steps.append(Run(text, recipe.workdir))
        return
    kept = []
    for part in re.split(r"\s*&&\s*", text) if "apt" in text else [text]:
        plain = " ".join(part.split())
        if apt := APT.match(re.sub(r"^(?:\w+=\S+\s+)*", "", plain)):
            recipe.packages += [word for word in apt[2].split() if apt[1] == "install" and word[0] != "-"]
        elif not CLEANING.match(plain):
            kept.append(part)
    if kept:
        recipe.steps.append(Run(" && ".join(kept), recipe.workdir))


def _copy(text: str, recipe: Recipe) -> Copy:
    if "--from=" in text:
        raise UsageError("COPY --from takes a real build: bring the image that the Dockerfile starts from.")
    text = re.sub(r"^(?:--\S+\s+)+", "", text)
    words = json.loads(text) if text.startswith("[") else shlex.split(text)
    *sources, target = [_filled(word, recipe.env) for word in words]
    into = target.endswith("/") or len(sources) > 1 or target in (".", "..")
    return Copy(tuple(sources), posixpath.normpath(posixpath.join(recipe.workdir, target)), into)


def _variables(text: str, known: dict[str, str], assigned: bool) -> dict[str, str]:
    if "=" not in text.split(maxsplit=1)[0]:
        name, _, value = text.partition(" ")
        return {name: _filled(value.strip(), known)} if assigned else {}
    pairs = (word.partition("=") for word in shlex.split(text))
    return {name: _filled(value, known) for name, _, value in pairs}


def _filled(text: str, env: dict[str, str]) -> str:
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: env.get(found[1] or found[2], ""), text)
