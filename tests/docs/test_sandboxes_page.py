"""The page on sandboxes is true: its code runs."""

from __future__ import annotations

from pages import DOCS, run_page


def test_the_code_on_the_page_runs(require, tmp_path):
    require("bwrap")
    require("docker")
    assert run_page(DOCS / "sandboxes.md", tmp_path, {}) == 3
