"""Runs the code of a documentation page, as a reader would copy it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r'^```python(?: title="(?P<file>[^"]+)")?\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)


def run_page(page: Path, folder: Path, shared: dict[str, Any]) -> int:
    """Run the Python blocks in order in one namespace; a block with a title is written to that file instead.

    Returns:
        How many blocks there were.
    """
    text = page.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    for block in blocks:
        # Padded, so that a failure names the line of the page.
        code = "\n" * text.count("\n", 0, block.start("code")) + block["code"]
        if block["file"]:
            (folder / block["file"]).write_text(code, encoding="utf-8")
        else:
            exec(compile(code, str(page), "exec"), shared)
    assert len(blocks) == text.count("```python"), "a block that the pattern does not see"
    return len(blocks)
