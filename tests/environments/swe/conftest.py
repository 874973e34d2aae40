"""A package small enough to break by hand, with its manifest, its archive and what runs its tests in the cache."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from arena.environments.swe import _manifest, _sources
from arena.environments.swe._manifest import Edit, Package, SweTask, by_file
from arena.environments.swe._trees import Case, case_of
from arena.sandboxes import Bubblewrap, Docker, Sandbox

BACK_ENDS = {"bwrap": Bubblewrap, "docker": Docker}

CODE = '''"""Small sums."""

from tiny.scale import scaled


def total(numbers):
    """The sum of some numbers."""
    result = 0
    for number in numbers:
        result = result + number
    return result


def mean(numbers):
    """The mean of some numbers; 0 of none."""
    return scaled(total(numbers), len(numbers)) if numbers else 0
'''
SCALE = "def scaled(value, by):\n    return value / by\n"
TESTS = """import pytest

import tiny


@pytest.mark.parametrize(("numbers", "expected"), [((), 0), ((1, 2), 3), ((5,), 5)])
def test_total(numbers, expected):
    assert tiny.total(numbers) == expected


class TestMean:
    def test_of_two(self):
        assert tiny.mean([1, 3]) == 2

    def test_of_none(self):
        assert tiny.mean([]) == 0


def test_documented():
    assert tiny.total.__doc__
"""
FILES = {
    "README.md": "Tiny\n",
    "setup.cfg": "[tool:pytest]\naddopts = -q\n",
    "tests/conftest.py": "",
    "tests/test_tiny.py": TESTS,
    "tiny/__init__.py": CODE,
    "tiny/scale.py": SCALE,
}
ALL = (
    *("tests/test_tiny.py::test_total[numbers0-0]", "tests/test_tiny.py::test_total[numbers1-3]"),
    *("tests/test_tiny.py::test_total[numbers2-5]", "tests/test_tiny.py::TestMean::test_of_two"),
    *("tests/test_tiny.py::TestMean::test_of_none", "tests/test_tiny.py::test_documented"),
)
BUG = Edit("tiny/__init__.py", "result = result + number", "result = result - number")
FAILING = tuple(sorted((ALL[1], ALL[2], ALL[3])))
TASK = SweTask("tiny-000", "one edit", 0, (BUG,), FAILING, "tiny does not add.\n\n```\n> assert 3 == -3\n```")


def archive_of(files: dict[str, str]) -> bytes:
    """A source archive."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"tiny-1.0/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


@dataclass(frozen=True)
class Tiny:
    """The case, and the folder of its manifest."""

    case: Case
    folder: Path


@pytest.fixture(scope="session")
def tiny(require, tmp_path_factory) -> Tiny:
    """The tiny package with one bug; its archive lies in the cache like one that was fetched."""
    require("swe")
    folder = tmp_path_factory.mktemp("tiny")
    content = archive_of(FILES)
    sha256 = hashlib.sha256(content).hexdigest()
    (folder / "tiny.tar.gz").write_bytes(content)
    _sources.keep_archive(folder / "tiny.tar.gz", sha256)
    package = Package("tiny", "1.0", sha256, "", "eval", by_file(ALL), (), (TASK,))
    _manifest.save(package, folder / "manifests" / "tiny.json")
    return Tiny(case_of(package, TASK), folder / "manifests")


@pytest.fixture(scope="session", params=BACK_ENDS)
def back_end(request, require) -> type[Sandbox]:
    """The class that makes sandboxes; its tests skip where it cannot work."""
    require(request.param)
    return BACK_ENDS[request.param]
