"""Inspect's own conformance suite for our sandboxes; `test_inspect.py` runs it where Inspect can be imported."""

from __future__ import annotations

import pytest
from inspect_ai._util.entrypoints import ensure_entry_points
from inspect_ai.util._sandbox.registry import registry_find_sandboxenv
from inspect_ai.util._sandbox.self_check import *  # noqa: F403

pytestmark = pytest.mark.anyio
NO_NEW_USERS = "test_exec_as_user"
"""It adds a user, which takes a root that may write to /etc."""


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module", params=["arena-docker", "arena-bubblewrap"])
async def sandbox(request, anyio_backend):
    """Found as `sandbox="arena-docker"` finds it, by the entry point."""
    ensure_entry_points()
    kind = registry_find_sandboxenv(request.param)
    environments = await kind.sample_init("conformance", None, {})
    yield environments["default"]
    await kind.sample_cleanup("conformance", None, environments, False)


@pytest.fixture
def sandbox_env(request, sandbox):
    if request.node.originalname == NO_NEW_USERS:
        request.node.add_marker(pytest.mark.xfail(reason="no user can be added", strict=True))
    return sandbox
