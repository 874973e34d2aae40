"""Runs in the sandbox: pytest over the tests of a plan, telling each outcome to the process above through a pipe.

It starts without site-packages, `.pth` files, environment variables and `sitecustomize`; the folders that may be
imported from come last, so that nothing in a repository shadows the standard library or pytest.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


class Teller:
    """A pytest plug-in: one JSON line per test when it is over, with the worst of its phases."""

    def __init__(self, mouth: int, details: int, only: list[str] | None) -> None:
        self.mouth = mouth
        self.details = details
        self.only = None if only is None else set(only)
        self.outcomes: dict[str, str] = {}
        self.texts: dict[str, str] = {}

    def tell(self, **line: Any) -> None:
        """Write a line."""
        data = json.dumps(line).encode() + b"\n"
        while data:
            data = data[os.write(self.mouth, data) :]

    def pytest_runtest_logreport(self, report: Any) -> None:
        """One phase of a test is over."""
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "expected failure" if report.skipped else "unexpected pass"
        worst = self.outcomes.setdefault(report.nodeid, "passed")
        if worst == "passed" and outcome != "passed":
            self.outcomes[report.nodeid] = outcome
            self.texts[report.nodeid] = report.longreprtext[-self.details :] if self.details else ""
        if report.when == "teardown":
            about = {"text": self.texts[report.nodeid]} if self.texts.get(report.nodeid) else {}
            self.tell(test=report.nodeid, outcome=self.outcomes[report.nodeid], **about)

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        """Keep the tests that were asked for, where not all were."""
        if self.only is not None:
            dropped = [item for item in items if item.nodeid not in self.only]
            items[:] = [item for item in items if item.nodeid in self.only]
            config.hook.pytest_deselected(items=dropped)

    def pytest_collectreport(self, report: Any) -> None:
        """A file could not be read as tests: everything in it is missing."""
        if report.failed:
            self.tell(unread=report.nodeid, text=report.longreprtext[-self.details :] if self.details else "")


class Tracer:
    """A pytest plug-in: tells which functions of the repository each test calls."""

    def __init__(self, teller: Teller, root: str) -> None:
        self.teller = teller
        self.root = f"{root}/"
        self.called: set[tuple[str, str]] = set()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        self.called = set()
        sys.setprofile(self.note)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test has ended."""
        sys.setprofile(None)
        self.teller.tell(calls=nodeid, functions=sorted(self.called))

    def note(self, frame: Any, event: str, argument: Any) -> None:
        """A function is called."""
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(self.root):
            name = getattr(code, "co_qualname", code.co_name).partition(".<locals>")[0]
            self.called.add((code.co_filename[len(self.root) :], name))


def prepare(folder: str) -> dict[str, Any]:
    """Read the plan and make pytest and what is tested importable, in this order."""
    plan: dict[str, Any] = json.loads(Path(folder, "plan.json").read_text())
    sys.path += [plan["pytest"]]
    import pytest  # noqa: F401  before anything of the repository can be found

    sys.path += plan["import_from"]
    os.environ["PYTHONPATH"] = os.pathsep.join(plan["import_from"])
    return plan


def run(folder: str, plan: dict[str, Any], mouth: int) -> int:
    """Run the tests of a plan and tell the end; returns pytest's exit code."""
    import pytest

    teller = Teller(mouth, plan["details"], plan["only"])
    plugins = [teller, *([Tracer(teller, plan["root"])] if plan["trace"] else [])]
    options = ["-c", f"{folder}/pytest.ini", f"--rootdir={plan['root']}", "--import-mode=append", "--no-header", "-q"]
    options += ["-p", "no:cacheprovider", "-p", "no:faulthandler", "--capture=sys", "--basetemp=/tmp/run"]
    # Rewritten asserts say more and cost most of the time: they are for those who read what is said. What tests import
    # from their own folders asserts too.
    told = ["--tb=short", "-o", "python_files=test_*.py *_test.py test/*.py tests/*.py"]
    options += told if plan["details"] else ["--tb=native", "--assert=plain"]
    code = int(pytest.main([*options, "--continue-on-collection-errors", *plan["tests"]], plugins=plugins))
    teller.tell(end=len(teller.outcomes), exit_code=code)
    return code


def main(folder: str, mouth: int) -> int:
    """Run the tests that `folder`/plan.json names; returns pytest's exit code."""
    os.set_inheritable(mouth, False)
    return run(folder, prepare(folder), mouth)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
