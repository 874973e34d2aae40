"""The page on adding an environment is true: its code runs, and its environment keeps the contract."""

from __future__ import annotations

import sys

from pages import DOCS, run_page

from arena.core.checks import check


def test_the_environment_on_the_page_passes_the_check(tmp_path, monkeypatch):
    """A newcomer would copy an environment that breaks the contract."""
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run_page(DOCS / "adding-an-environment.md", tmp_path, {}) == 3
    report = check("cups/Coin-v0")
    sys.modules.pop("coin", None)
    assert [result for result in report.results if result.status == "failed"] == []
