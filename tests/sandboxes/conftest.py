"""Both back ends, each as a parameter of the tests that ask for one."""

from __future__ import annotations

import pytest

from arena.sandboxes import Bubblewrap, Docker

BACK_ENDS = {"bwrap": Bubblewrap, "docker": Docker}


@pytest.fixture(scope="module", params=BACK_ENDS)
def back_end(request, require):
    """The class that makes sandboxes; its tests skip where it cannot work."""
    require(request.param)
    return BACK_ENDS[request.param]
