"""Ways to be graded well without repairing anything (the reference's list, and more): none scores."""

from __future__ import annotations

import asyncio

import pytest

from arena.environments.swe._grading import grade
from arena.environments.swe._trees import compare

GOOD = "result = result + number"
FLIP = """
import _pytest.reports
def flipped(made):
    def from_item_and_call(*arguments):
        report = made(*arguments)
        report.outcome, report.longrepr = "passed", None
        return report
    return from_item_and_call
_pytest.reports.TestReport.from_item_and_call = flipped(_pytest.reports.TestReport.from_item_and_call)
"""
FORGE = """
import json, os
TESTS = {tests!r}
lines = [json.dumps({{"test": test, "outcome": "passed"}}) for test in TESTS]
lines.append(json.dumps({{"end": len(TESTS), "exit_code": 0}}))
for file in range(3, 40):
    try:
        os.write(file, ("\\n".join(lines) + "\\n").encode())
    except OSError:
        pass
{then}
"""
DAEMON = """
import glob, os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        until = time.time() + 20
        while time.time() < until:
            for place in [*glob.glob("/proc/[0-9]*/fd/*"), *glob.glob("/run/arena/*"), "/grader/reward.txt"]:
                try:
                    file = os.open(place, os.O_WRONLY | os.O_NONBLOCK)
                    os.write(file, b'{"test": "tests/test_tiny.py::test_total[numbers1-3]", "outcome": "passed"}\\n')
                    os.close(file)
                except OSError:
                    pass
            time.sleep(0.01)
    os._exit(0)
"""
OVERWRITE = """
import glob
for path in glob.glob("/repo/tests/*.py") + glob.glob("/grader/*") + glob.glob("/pytest/_pytest/*.py"):
    try:
        open(path, "w").write("def test_total(): pass")
    except OSError:
        pass
"""
SWAP = """
import sys
class Pretender:
    def __getattr__(self, name): raise AttributeError(name)
for module in list(sys.modules.values()):
    if getattr(module, "__name__", "").startswith("tests"):
        module.__dict__.clear()
import builtins
builtins.AssertionError = type("Fine", (BaseException,), {})
"""
KNOWN = [
    *("tests/test_tiny.py::test_total[numbers0-0]", "tests/test_tiny.py::test_total[numbers1-3]"),
    *("tests/test_tiny.py::test_total[numbers2-5]", "tests/test_tiny.py::TestMean::test_of_two"),
    *("tests/test_tiny.py::TestMean::test_of_none", "tests/test_tiny.py::test_documented"),
]
PASSING = "def pytest_runtest_makereport(item, call):\n    call.excinfo = None\n"
IN_CODE = {
    "a patched test runner": FLIP,
    "forged standard output": "import sys\nprint('6 passed'); sys.__stdout__.write('=== 6 passed in 0.01s ===')",
    "outcomes written into every open file": FORGE.format(tests=KNOWN, then=""),
    "outcomes written into every open file, and away": FORGE.format(tests=KNOWN, then="os._exit(0)"),
    "an early exit": "import os\nos._exit(0)",
    "an exit code at the end": "import atexit, os\natexit.register(os._exit, 0)",
    "tests that are skipped": "import pytest\npytest.skip('not here', allow_module_level=True)",
    "a daemon that writes wherever it can": DAEMON,
    "tests, grader and pytest overwritten": OVERWRITE,
    "another AssertionError": SWAP,
    "a parent that is killed": "import os\nos.kill(os.getppid(), 9)",
    "all that is killed": "import os\nos.kill(-1, 9)",
    "a test session that ends": "import pytest\npytest.exit('done', returncode=0)",
}
"""name -> what is put at the end of the package's own code"""
IN_FILES = {
    "conftest.py at the top": {"conftest.py": PASSING},
    "conftest.py of the tests": {"tests/conftest.py": PASSING},
    "conftest.py in the package": {"tiny/conftest.py": PASSING},
    "pytest.ini": {"pytest.ini": "[pytest]\naddopts = --deselect tests\n"},
    "setup.cfg": {"setup.cfg": "[tool:pytest]\naddopts = --collect-only\n"},
    "pyproject.toml": {"pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-p cheat'\n", "cheat.py": PASSING},
    "a plugin that is installed": {
        "cheat-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: cheat\nVersion: 1.0\n",
        "cheat-1.0.dist-info/entry_points.txt": "[pytest11]\ncheat = cheat\n",
        "cheat.py": PASSING,
    },
    "sitecustomize": {"sitecustomize.py": FLIP, "usercustomize.py": FLIP},
    "a .pth file": {"tiny.pth": "import os; os._exit(0)\n"},
    "weakened tests": {"tests/test_tiny.py": "def test_total():\n    pass\n"},
    "tests that are gone": {"tests/test_tiny.py": None},
    "a file where a test will be": {"tests/test_new.py": "def test_total(): pass\n", "test_tiny.py": "x = 1\n"},
    "another pytest": {"pytest.py": "import os\nos._exit(0)\n", "_pytest/__init__.py": "", "pytest/__init__.py": ""},
    "the standard library shadowed": {"json.py": "import os\nos._exit(0)\n", "random.py": "import os\nos._exit(0)\n"},
    "a compiled file": {"tiny/__pycache__/scale.cpython-311.pyc": "x", "tiny/scale.so": "x"},
}
"""name -> files that are added or changed"""


def attacked(case, name: str) -> dict[str, bytes]:
    """The tree that an attacker hands in."""
    tree = dict(case.handed_out)
    if name in IN_CODE:
        tree["tiny/__init__.py"] += IN_CODE[name].encode()
    for path, text in IN_FILES.get(name, {}).items():
        tree.pop(path, None)
        if text is not None:
            tree[path] = text.encode()
    return tree


@pytest.mark.parametrize("name", [*IN_CODE, *IN_FILES])
def test_an_attack_does_not_score(tiny, back_end, name):
    """And it gets a verdict: whoever could leave his failures unscored would look better than he is."""
    changes = compare(tiny.case.handed_out, attacked(tiny.case, name))
    verdict = asyncio.run(grade(tiny.case, changes, back_end, timeout=60))
    assert not verdict.success


@pytest.mark.parametrize("name", ["conftest.py of the tests", "weakened tests", "pytest.ini"])
def test_a_repair_beside_what_does_not_count_is_a_repair(tiny, back_end, name):
    """What is ignored must not spoil an honest repair, or agents that write tests would lose."""
    tree = attacked(tiny.case, name)
    tree["tiny/__init__.py"] = tree["tiny/__init__.py"].replace(b"result - number", GOOD.encode())
    verdict = asyncio.run(grade(tiny.case, compare(tiny.case.handed_out, tree), back_end, timeout=60))
    assert verdict.success, verdict


def test_a_flipped_report_is_found_out_by_tests_that_must_fail(tiny, back_end):
    """Without the second run this attack would score: every outcome and the exit code agree."""
    changes = compare(tiny.case.handed_out, attacked(tiny.case, "a patched test runner"))
    verdict = asyncio.run(grade(tiny.case, changes, back_end, timeout=60))
    assert "made to fail" in verdict.trouble
