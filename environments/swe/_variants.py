"""Tests of many variants of one tree in one sandbox: what making tasks needs, and grading must not use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from arena.core.errors import SandboxUnavailable
from arena.environments.swe._manifest import Package
from arena.environments.swe._running import GRADER, OUTPUT, REPO, Report, outcomes_of, plan_of, spec_of, staged
from arena.environments.swe._sources import Tree
from arena.sandboxes import Sandbox

__all__ = ["Variant", "run_variants"]

SECONDS = 120.0
"""What one variant may take."""


@dataclass(frozen=True)
class Variant:
    """A tree with some files replaced, and what to run on it.

    Attributes:
        files: path -> content.
        only: the ids of the tests to run; None for all.
        details: how many characters to keep of what pytest says about each failure.
        trace: find out which functions each test calls.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    only: frozenset[str] | None = None
    details: int = 0
    trace: bool = False

    def to_json(self, files: Iterable[str]) -> dict[str, Any]:
        """What the program inside reads; `files` are those of all tests."""
        wanted = files if self.only is None else {test.partition("::")[0] for test in self.only}
        plan = {
            "tests": [f"{REPO}/{file}" for file in sorted(wanted)],
            "only": None if self.only is None else sorted(self.only),
            "details": self.details,
            "trace": self.trace,
        }
        return {"files": {f"{REPO}/{path}": content.decode() for path, content in self.files.items()}, "plan": plan}


async def run_variants(
    back_end: type[Sandbox],
    package: Package,
    tree: Tree,
    variants: Sequence[Variant],
    *,
    tests: Sequence[str],
    hash_seed: int = 0,
) -> list[Report]:
    """The report of each variant; `tests` are the files of all tests.

    Raises:
        SandboxUnavailable: they could not be run.
        InfrastructureError: pytest cannot be fetched.
    """
    if not variants:
        return []
    plan = plan_of(package.root, tests)
    plan |= {"seconds": SECONDS, "variants": [variant.to_json(tests) for variant in variants]}
    async with staged(tree, plan, package.needs) as places:
        repository = places.pop(REPO)
        spec = spec_of(places, SECONDS * len(variants), hash_seed, folders=(REPO,))
        async with await back_end.create(spec) as sandbox:
            await sandbox.upload(repository, REPO)
            command = ["python3", "-I", "-S", "-B", f"{GRADER}/variants.py", GRADER]
            done = await sandbox.exec(command, cwd=REPO, max_output=OUTPUT)
    lines = [json.loads(line) for line in done.text.splitlines()]
    if len(lines) != len(variants):
        raise SandboxUnavailable(f"The tests of variant {len(lines)} ended all: {done.error_text[-800:]}")
    return [outcomes_of(line["heard"], line["exit_code"], done.duration / len(lines)) for line in lines]
