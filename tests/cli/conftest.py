"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest
from typed import Shell


@pytest.fixture
def arena(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """`arena("list", "suites")` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    return Shell(tmp_path, capsys)
