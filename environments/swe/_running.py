"""A tree's tests, run in a fresh sandbox where they cannot be changed, and told by a process that is not tested."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arena.core.errors import SandboxUnavailable
from arena.environments.swe._manifest import Wheel
from arena.environments.swe._sources import PYTEST, Tree, packages_folder, write_tree
from arena.sandboxes import ExecResult, Sandbox, SandboxSpec
from arena.sandboxes._held import temporary_folder

__all__ = ["Report", "run_tests"]

REPO, GRADER, TOOLS, NEEDS = "/repo", "/grader", "/pytest", "/needs"
"""Where things lie in the sandbox; all are read-only there and owned by another user."""
GOOD = ("passed", "skipped", "expected failure", "unexpected pass")
"""Outcomes with which pytest exits with 0."""
INSIDE = {"parent.py": "_inside_parent.py", "child.py": "_inside_child.py", "variants.py": "_inside_variants.py"}
OUTPUT = 128 << 20


@dataclass(frozen=True)
class Report:
    """What the tests did.

    Attributes:
        outcomes: test -> `passed`, `failed`, `skipped`, `expected failure` or `unexpected pass`.
        texts: what pytest said of those that did not pass, where that was asked for.
        calls: test -> the functions of the repository it calls, as (file, qualified name), where that was asked for.
        trouble: why the outcomes cannot be believed; empty where they can.
        seconds: from the request to the report.
    """

    outcomes: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    calls: dict[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    trouble: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> frozenset[str]:
        """The tests that passed."""
        return frozenset(test for test, outcome in self.outcomes.items() if outcome == "passed")


async def run_tests(
    back_end: type[Sandbox],
    tree: Tree,
    tests: Iterable[str],
    *,
    root: str = "",
    needs: Iterable[Wheel] = (),
    timeout: float = 120.0,
    hash_seed: int = 0,
) -> Report:
    """Run test files of a tree.

    Args:
        back_end: makes the sandbox.
        tree: the repository, tests included.
        tests: their files.
        root: the folder of the tree that imports start from.
        needs: what the tests import beside pytest.
        timeout: seconds for all of them.
        hash_seed: of Python's hashes.

    Raises:
        SandboxUnavailable: the tests could not be started.
        InfrastructureError: pytest cannot be fetched.
    """
    plan = plan_of(root, tests)
    async with staged(tree, plan, needs) as places:
        spec = spec_of(places, timeout, hash_seed)
        async with await back_end.create(spec) as sandbox:
            command = ["python3", "-I", "-S", "-B", f"{GRADER}/parent.py", GRADER]
            done = await sandbox.exec(command, cwd=REPO, max_output=OUTPUT)
    return read_report(done)


def plan_of(root: str, tests: Iterable[str]) -> dict[str, Any]:
    """What the programs inside are told: all tests of some files, outcomes only."""
    return {
        "root": REPO,
        "pytest": TOOLS,
        "import_from": [NEEDS, f"{REPO}/{root}".rstrip("/")],
        "tests": [f"{REPO}/{test}" for test in sorted(tests)],
        "details": 0,
        "only": None,
        "trace": False,
    }


def spec_of(
    places: Mapping[str, Path], timeout: float, hash_seed: int, folders: tuple[str, ...] = ("/work",)
) -> SandboxSpec:
    """A sandbox that tests run in."""
    return SandboxSpec(
        folders=folders,
        read_only={place: str(source) for place, source in places.items()},
        env={"PYTHONHASHSEED": str(hash_seed), "TZ": "UTC", "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=timeout,
    )


@asynccontextmanager
async def staged(tree: Tree, plan: dict[str, Any], needs: Iterable[Wheel]) -> AsyncIterator[dict[str, Path]]:
    """Folders of the host for the places in a sandbox: the repository, the programs with their plan, pytest, needs.

    Raises:
        InfrastructureError: pytest cannot be fetched.
    """
    pytest = await asyncio.to_thread(packages_folder, PYTEST)
    wheels = await asyncio.to_thread(packages_folder, tuple(needs))
    with temporary_folder() as folder:
        await asyncio.to_thread(_stage, folder, tree, plan)
        yield {REPO: folder / "repo", GRADER: folder / "grader", TOOLS: pytest, NEEDS: wheels}


def read_report(done: ExecResult) -> Report:
    """What the trusted process wrote.

    Raises:
        SandboxUnavailable: it was never there.
    """
    lines = done.text.split("\n")
    if len(lines[0]) != 64:
        raise SandboxUnavailable(f"The tests could not be started: {done.error_text[-800:] or lines[0][:200]}")
    if len(lines) < 4 or done.exit_code != 0:
        why = "ran out of time" if done.timed_out else "ran out of memory" if done.oom_killed else "were cut short"
        return Report(trouble=f"The tests {why}.", seconds=done.duration)
    promise, secret, report, signature = lines[:4]
    own = hmac.new(secret.encode(), report.encode(), hashlib.sha256).hexdigest()
    if hashlib.sha256(secret.encode()).hexdigest() != promise or not hmac.compare_digest(own, signature):
        return Report(trouble="Somebody else wrote into the report.", seconds=done.duration)
    told = json.loads(report)
    return outcomes_of(told["heard"], told["exit_code"], done.duration)


def outcomes_of(heard: str, exit_code: int, seconds: float) -> Report:
    """The per-test map, held against the exit code and against itself."""
    outcomes: dict[str, str] = {}
    texts: dict[str, str] = {}
    calls: dict[str, frozenset[tuple[str, str]]] = {}
    unread, end = 0, None
    trouble = ""
    for line in heard.splitlines():
        try:
            told: dict[str, Any] = json.loads(line)
            if end is not None:
                trouble = "Something was told after the end."
            elif "test" in told:
                if told["test"] in outcomes:
                    trouble = f"{told['test']} was told twice."
                outcomes[str(told["test"])] = str(told["outcome"])
                texts |= {told["test"]: told["text"]} if "text" in told else {}
            elif "calls" in told:
                calls[str(told["calls"])] = frozenset((file, name) for file, name in told["functions"])
            elif "unread" in told:
                unread += 1
                texts[str(told["unread"])] = str(told["text"])
            else:
                end = (told["end"], told["exit_code"])
        except (ValueError, KeyError, TypeError):
            trouble = "There was something between the outcomes that is none."
    bad = unread + sum(outcome not in GOOD for outcome in outcomes.values())
    if end is None:
        trouble = trouble or f"The tests ended early, with exit code {exit_code}."
    elif end != (len(outcomes), exit_code) or exit_code != (1 if bad else 0 if outcomes else 5):
        trouble = trouble or f"The exit code {exit_code} and the outcomes of the tests do not agree."
    return Report(outcomes, texts, calls, trouble, seconds)


def _stage(folder: Path, tree: Tree, plan: dict[str, Any]) -> None:
    write_tree(tree, folder / "repo")
    inside = {name: Path(__file__).with_name(source).read_bytes() for name, source in INSIDE.items()}
    own = {**inside, "pytest.ini": b"[pytest]\n", "plan.json": json.dumps(plan).encode()}
    write_tree(own, folder / "grader")
