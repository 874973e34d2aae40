"""The page on adding an algorithm is true: its code runs, and its algorithm keeps the rules it names."""

from __future__ import annotations

import sys

import pytest
from pages import BLOCK, DOCS, run_page

PAGE = DOCS / "adding-an-algorithm.md"


@pytest.fixture
def importable(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("better", None)


def test_the_code_on_the_page_runs(importable, require):
    """A newcomer would copy code that does not work."""
    require("torch")
    assert run_page(PAGE, importable, {}) == 4


def test_the_algorithm_on_the_page_keeps_the_rules(importable):
    """The page's algorithm would be a bad example."""
    from arena.trainers import TurnTable

    code = next(block["code"] for block in BLOCK.finditer(PAGE.read_text(encoding="utf-8")) if block["file"])
    (importable / "better.py").write_text(code, encoding="utf-8")
    import better

    table = TurnTable.of(
        group=["alone", "equal", "equal", "left", "left"], episode=range(5), reward=[1.0, 1.0, 1.0, 1.0, float("nan")]
    )
    assert not better.advantages(table, better.Config()).any()
