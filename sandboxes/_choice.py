"""Which back end to use where nobody says."""

from __future__ import annotations

import os

from arena.core.errors import MissingPrerequisite, SandboxUnavailable, UsageError
from arena.sandboxes.bubblewrap import Bubblewrap
from arena.sandboxes.docker import Docker
from arena.sandboxes.interface import Sandbox

__all__ = ["BACK_ENDS", "choose_back_end"]

BACK_ENDS: dict[str, type[Sandbox]] = {"docker": Docker, "bubblewrap": Bubblewrap}
"""In order of preference."""
VARIABLE = "ARENA_SANDBOX"
_WORKED: set[tuple[str, str | None, str | None]] = set()
"""Back end, engine and image that have worked in this program: what goes wrong with them later is no prerequisite that
is missing but an infrastructure that has failed, and `create` says so."""


def choose_back_end(name: str | None = None, image: str | None = None) -> type[Sandbox]:
    """The class that makes sandboxes: the one named, or the best that works here.

    That is Docker where an engine answers and has the image, bubblewrap otherwise.

    Args:
        name: `docker` or `bubblewrap`; by default what the variable ARENA_SANDBOX says, if anything.
        image: the Docker image that will be used; the base image by default.

    Raises:
        UsageError: there is no back end of this name.
        MissingPrerequisite: the one named, or every one, cannot work here; says what each lacks.
    """
    name = name or os.environ.get(VARIABLE) or None
    if name is not None:
        if name not in BACK_ENDS:
            raise UsageError(f"There is no sandbox back end {name!r}: it is one of {', '.join(BACK_ENDS)}.")
        _check(name, image)
        return BACK_ENDS[name]
    missing: list[MissingPrerequisite] = []
    for candidate, back_end in BACK_ENDS.items():
        try:
            _check(candidate, image)
        except MissingPrerequisite as error:
            missing.append(error)
        else:
            return back_end
    reasons = "\n".join(str(error) for error in missing)
    raise MissingPrerequisite(f"No sandbox can be made here.\n{reasons}", "apt-get install bubblewrap")


def _check(name: str, image: str | None) -> None:
    from arena.sandboxes import _docker_engine, images

    known = (name, os.environ.get("DOCKER_HOST"), image)
    if known in _WORKED:
        return
    BACK_ENDS[name].preflight()
    if name == "docker":
        try:
            images.find(_docker_engine.client(), image)
        except SandboxUnavailable as error:
            raise MissingPrerequisite(str(error), _docker_engine.INSTALL) from error
    _WORKED.add(known)
