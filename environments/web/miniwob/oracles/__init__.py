"""Solutions of MiniWoB's pages, by what they ask for: each gives the next action from what the page holds now."""

from __future__ import annotations

from arena.environments.web.miniwob.oracles import clicking, writing
from arena.environments.web.miniwob.oracles._desk import Desk, Solve

__all__ = ["ORACLES", "Desk", "Solve"]

ORACLES: dict[str, Solve] = {**clicking.SOLUTIONS, **writing.SOLUTIONS}
"""Page -> its solution; a page without one is in the unproved suite."""
