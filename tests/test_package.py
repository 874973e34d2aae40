"""What is built and published: real files under `arena/` only, which work in an environment with nothing else in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = (
    "py.typed",
    "agents/prompts/chat.j2",
    "agents/models/prices.toml",
    "cli/scaffold/environment.py.j2",
    "cli/scaffold/pyproject.toml.j2",
    "environments/text/suites/quickstart.toml",
    "environments/text/suites/text-small.toml",
    "environments/text/words.txt",
    "evaluation/baselines.toml",
)
"""Some files that are no Python, without which something fails at a user's."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, so that building leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp("source") / "arena"
    unwanted = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "runs", "build", "dist")
    return shutil.copytree(ROOT, folder, symlinks=True, ignore=unwanted)


@pytest.fixture(scope="module")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that is built from it, as `python -m build` makes them."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def missing(names: Iterable[str], source: Path) -> list[str]:
    """Which files of the package the archive lacks."""
    inside = set(names)
    package = source / "arena"
    tops = [package, *(path for path in package.iterdir() if path.is_symlink())]
    files = {str(path.relative_to(source)) for top in tops for path in top.rglob("*") if path.is_file()}
    assert {f"arena/{name}" for name in DATA} <= files
    return sorted(files - inside)


def test_the_wheel_holds_real_files_under_arena_only(built: Path, source: Path):
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert {name.partition("/")[0].partition("-")[0] for name in names} == {"arena", "arena_gym"}
        assert {name.partition("/")[0] for name in names} >= {"arena"}
        links = [entry.filename for entry in archive.infolist() if (entry.external_attr >> 28) == 0xA]
        assert links == [], "a symlink in a wheel is installed as a text file"
        assert missing(names, source) == []
        own = "arena/environments/terminal/own/"  # tasks, whose tests are a part of them
        stray = [name for name in names if not name.startswith(own) and "tests" in name.split("/")]
        assert not [*stray, *(name for name in names if name.endswith(".pyc"))]
        scripts = next(name for name in names if name.endswith("entry_points.txt"))
        assert "arena = arena.cli:main" in archive.read(scripts).decode()


def test_the_sdist_holds_the_same_once(built: Path, source: Path):
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
        names = [member.name.partition("/")[2] for member in members]
        assert missing(names, source) == []
        assert [member.name for member in members if member.issym() or member.islnk()] == []
        assert not [name for name in names if name.startswith(("agents", "environments", "sandboxes", "trainers"))]
        assert "LICENSE" in names


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `arena` command of a new virtual environment that holds the wheel and what it depends on."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home / "venv", with_pip=True)
    constraints = ROOT / "constraints.txt"
    [wheel] = built.glob("*.whl")
    command = [str(home / "venv/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--constraint", str(constraints), str(wheel)], capture_output=True, text=True, check=False
    )
    if done.returncode and "ARENA_REQUIRE" not in os.environ and "connection" in done.stderr.lower():
        pytest.skip("needs a package index to install the dependencies from (ARENA_REQUIRE insists on it)")
    assert done.returncode == 0, done.stderr
    return home / "venv" / "bin" / "arena"


def test_an_installation_with_nothing_else_evaluates_replays_and_makes_environments(installed: Path, tmp_path: Path):
    """From a folder outside the repository, without torch, TextWorld or a test library."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
    environment["ARENA_CACHE"] = str(tmp_path / "cache")

    def arena(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [str(installed), *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done.stdout + done.stderr

    listed = json.loads(arena("list", "--json"))
    assert "quickstart" in [suite["name"] for suite in listed["suites"]]
    assert "arena/Wordle-v0" in arena("list")
    where = subprocess.run(
        [str(installed.parent / "python"), "-c", "import arena, arena.agents; print(arena.agents.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(installed.parents[1]))
    assert "40/40" in arena("eval", "guess-number", "-a", "oracle", "--min-score", "1", "-o", "runs/oracle")
    arena("eval", "lights-out", "-a", "chat", "-m", "scripted:replies=press 1 1", "-n", "3", "-o", "runs/chat")
    assert "no divergence" in arena("replay", "runs/oracle", "--execute")
    assert "no divergence" in arena("replay", "runs/chat", "--execute")
    arena("new", "my-env")
    assert ", 0 failed" in arena("check", "my-env/Thing-v0")
    assert 'pip install "arena-gym[text]"' in arena("eval", "textworld", "-a", "oracle", "-o", "runs/tw", code=3)
    assert 'pip install "arena-gym[' in arena("quickstart", code=3)
    arena("doctor")
