"""The page on web environments is true: its code runs."""

from __future__ import annotations

from pages import DOCS, run_page


def test_the_code_on_the_page_runs(require, tmp_path):
    require("playwright")
    require("chromium")
    assert run_page(DOCS / "web.md", tmp_path, {}) == 3
