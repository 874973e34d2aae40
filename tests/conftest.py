"""What every test may use: `require`, `rotating`, the marks, and hypothesis without deadlines."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engine
import hypothesis
import pytest
from full_report import write_report
from rotation import rotating, rotation

__all__ = ["require", "rotating"]

# Before anything heavy is imported: no test asks the network for a model, and threads do not outnumber the cores.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell's background jobs ignore it, and all that they start does too: tests that press Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("laptop", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") or os.environ.get("ARENA_REQUIRE") else "laptop")

MARKS = {"slow": "takes more than a few seconds: runs only with ARENA_FULL=1 (make test-full)"}


def _runs(*command: str) -> bool:
    found = shutil.which(command[0]) is not None
    return found and subprocess.run(command, capture_output=True, check=False).returncode == 0


def _swe() -> bool:
    from arena.core.errors import ArenaError
    from arena.environments.swe import _sources

    try:
        _sources.packages_folder(_sources.PYTEST)
    except ArenaError:
        return False
    return True


def _cuda() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


PROBES: dict[str, tuple[Callable[[], bool], str]] = {
    "bwrap": (lambda: _runs("bwrap", "--ro-bind", "/", "/", "true"), "apt-get install bubblewrap"),
    "chromium": (lambda: any(map(shutil.which, ("chromium", "google-chrome"))), "apt-get install chromium"),
    "cuda": (_cuda, "a machine with an NVIDIA GPU, and pip install torch"),
    "docker": (engine.available, engine.INSTALL),
    "gvisor": (engine.has_gvisor, "apt-get install runsc, and run the tests as root with no DOCKER_HOST set"),
    "inspect": (lambda: Path(sys.prefix, "peers", "inspect", ".ready").exists(), "make peers"),
    "java": (lambda: _runs("java", "-version"), "apt-get install default-jre-headless"),
    "netns": (lambda: _runs("unshare", "-rn", "true"), "a kernel that allows user namespaces, and util-linux"),
    "swe": (_swe, "arena swe fetch swe-small"),
    "textworld": (lambda: importlib.util.find_spec("textworld") is not None, 'pip install "arena-gym[text]"'),
    "torch": (lambda: importlib.util.find_spec("torch") is not None, 'pip install "arena-gym[train]"'),
    "transformers": (lambda: importlib.util.find_spec("transformers") is not None, 'pip install "arena-gym[train]"'),
    "trl": (lambda: Path(sys.prefix, "peers", "trl", ".ready").exists(), "make peers"),
}
"""name -> (is it here?, how to get it)"""

ONLY_BY_NAME = {"cuda"}
"""What `ARENA_REQUIRE=all` does not ask of a machine; `ARENA_REQUIRE=all,cuda` does."""


@pytest.fixture(scope="session")
def require() -> Callable[[str], None]:
    """`require("bwrap")`: skip this test where a prerequisite is missing, or fail where `ARENA_REQUIRE` insists on it.

    Names other than those of `PROBES` are programs or importable packages.
    """
    found: dict[str, bool] = {}

    def needs(name: str) -> None:
        anything = (lambda: bool(shutil.which(name) or importlib.util.find_spec(name)), f"install {name}")
        probe, install = PROBES.get(name, anything)
        if name not in found:
            found[name] = probe()
        if found[name]:
            return
        message = f"{name} is not available. To get it: {install}"
        insisted = os.environ.get("ARENA_REQUIRE", "").split(",")
        if name in insisted or ("all" in insisted and name not in ONLY_BY_NAME):
            pytest.fail(f"{message} (ARENA_REQUIRE={os.environ['ARENA_REQUIRE']} does not let this test skip)")
        pytest.skip(message)

    return needs


@pytest.fixture(scope="session")
def tiny_model(require: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a language model with random weights: `hf:FOLDER`. Torch is given one thread."""
    require("transformers")
    import torch

    from arena.agents.models.tiny import build_tiny_model

    torch.set_num_threads(1)
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks; agree with worker processes on the rotation, across midnight, and on the Docker engine."""
    if not hasattr(config, "workerinput"):
        engine.prepare()
    for name, meaning in MARKS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    number = rotation()
    if number is not None:
        os.environ["ARENA_ROTATION"] = str(number)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the Docker engine, where the tests have started one."""
    if not hasattr(config, "workerinput"):
        engine.end()


def pytest_report_header() -> str:
    """Say which part of the large suites runs."""
    number = rotation()
    if number is None:
        return "arena: the large suites run whole (ARENA_FULL=1)"
    return (
        f"arena: rotation {number} of the large suites (repeat it with ARENA_ROTATION={number}; ARENA_FULL=1 runs all)"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave slow tests to the full run."""
    if rotation() is not None:
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow: runs with ARENA_FULL=1"))


_BEGUN = time.monotonic()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """A full run leaves its report in `docs/results/`."""
    if rotation() is None and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        write_report(terminalreporter.stats, time.monotonic() - _BEGUN)
