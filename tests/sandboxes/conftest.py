"""Both back ends, each as a parameter of the tests that ask for one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from arena.sandboxes import Bubblewrap, Docker

BACK_ENDS = {"bwrap": Bubblewrap, "docker": Docker}


@pytest.fixture(scope="module", params=BACK_ENDS)
def back_end(request, require):
    """The class that makes sandboxes; its tests skip where it cannot work."""
    require(request.param)
    return BACK_ENDS[request.param]


@pytest.fixture(scope="session", autouse=True)
def _own_folder():
    """What sandboxes keep on the host lies apart for each process, which may so count what it has left."""
    with tempfile.TemporaryDirectory(prefix="arena-sandboxes-") as name, pytest.MonkeyPatch.context() as patch:
        Path(name).chmod(0o711)
        patch.setenv("ARENA_SANDBOX_DIR", name)
        yield
