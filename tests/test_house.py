"""The rules of DESIGN section 1 hold in the whole source tree, and each rule catches what it is for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import house
import pytest

ROOT = Path(__file__).parents[1]

HEAVY = [
    "PIL",
    "anyio",
    "docker",
    "httpx",
    "matplotlib",
    "playwright",
    "pydantic",
    "pytest",
    "ray",
    "rich",
    "scipy",
    "textworld",
    "torch",
    "transformers",
    "typer",
]


def report(violations):
    violations = list(violations)
    assert not violations, "\n" + "\n".join(violations)


@pytest.mark.parametrize("rule", house.LIBRARY_RULES, ids=lambda rule: rule.__name__)
def test_library(rule):
    report(rule(house.library(ROOT)))


@pytest.mark.parametrize("rule", house.SCRIPT_RULES, ids=lambda rule: rule.__name__)
def test_tests_and_benchmarks(rule):
    report(rule(house.scripts(ROOT)))


def test_symlinks():
    report(house.links(ROOT))


def test_import_arena_loads_nothing_heavy():
    """A slow `import arena` would be paid by every worker process and every `arena --help`."""
    code = f"import sys, arena; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    loaded = done.stdout.split()
    assert not loaded, f"arena/__init__.py:1: import arena loads {', '.join(loaded)}; import them where they are used"


FILLER = "\n".join(f"line_{number} = {number}" for number in range(310))
LONG_FUNCTION = "def long():\n" + "    x = 1\n" * 85
BROKEN = [
    (house.floors, "arena/core/a.py", "from arena.records import open_run"),
    (house.floors, "arena/records/a.py", "def f():\n    import arena.sandboxes"),
    (house.floors, "arena/records/a.py", "from ..agents.chat import Chat"),
    (house.floors, "environments/a.py", "from arena.rollout import run"),
    (house.floors, "agents/models/a.py", "from arena import make"),
    (house.floors, "arena/novel/a.py", "from arena.core import env"),
    (house.bare_imports, "arena/core/a.py", "from agents.models import openai"),
    (house.bare_imports, "trainers/a.py", "import environments"),
    (house.concrete_in_rollout, "arena/rollout/a.py", "from arena.agents.chat import Chat"),
    (house.file_sizes, "arena/core/a.py", "x = 1\n" * 401),
    (house.file_sizes, "arena/core/a.py", FILLER),
    (house.function_sizes, "arena/core/a.py", LONG_FUNCTION),
    (house.function_sizes, "arena/core/a.py", "async def long():\n" + "    x = 1\n" * 41),
    (house.global_randomness, "arena/core/a.py", "import random as r\nr.seed(1)"),
    (house.global_randomness, "arena/core/a.py", "import numpy as np\nnp.random.seed(1)"),
    (house.global_randomness, "arena/core/a.py", "from torch import manual_seed\nmanual_seed(1)"),
    (house.global_randomness, "arena/core/a.py", "from random import choice\nchoice([1])"),
    (house.global_randomness, "arena/core/a.py", "from numpy import random\nrandom.normal()"),
    (house.names, "arena/core/utils.py", ""),
    (house.names, "arena/core/text_helpers.py", ""),
    (house.names, "arena/core/a.py", "class EpisodeManager: ..."),
    (house.unfinished, "arena/core/a.py", "x = 1  # TO" + "DO: later"),
    (house.prints, "arena/core/a.py", "print('here')"),
    (house.prints, "arena/cli/a.py", "print('here')"),
    (house.mocks, "arena/core/a.py", "from unittest import mock"),
]


@pytest.mark.parametrize(("rule", "path", "code"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_each_rule_catches_its_breach(tmp_path, rule, path, code):
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(code)
    violations = list(rule(house.library(tmp_path)))
    assert violations
    assert all(violation.startswith(f"{path}:") for violation in violations)


def test_two_way_imports_are_caught(tmp_path):
    for package, other in (("records", "rollout"), ("rollout", "records")):
        (tmp_path / "arena" / package).mkdir(parents=True)
        (tmp_path / "arena" / package / "a.py").write_text(f"from arena.{other} import a")
    assert len(list(house.two_way(house.library(tmp_path)))) == 1


def test_wrong_links_are_caught(tmp_path):
    (tmp_path / "arena").mkdir()
    (tmp_path / "arena" / "agents").symlink_to(tmp_path / "agents")
    assert len(list(house.links(tmp_path))) == len(house.LINKED)


def test_own_generators_are_allowed(tmp_path):
    (tmp_path / "arena/core").mkdir(parents=True)
    code = "import random\nimport numpy as np\nr = random.Random(1)\nr.seed(2)\nr.choice([1])\nnp.random.default_rng(1)"
    (tmp_path / "arena/core/a.py").write_text(code)
    assert not list(house.global_randomness(house.library(tmp_path)))
