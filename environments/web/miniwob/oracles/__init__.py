"""Solutions of MiniWoB's pages, by what they ask for: each gives the next action from what the page holds now."""

from __future__ import annotations

from arena.environments.web.miniwob.oracles import browsing, choosing, clicking, dragging, puzzles, writing
from arena.environments.web.miniwob.oracles._desk import Desk, Solve

__all__ = ["ORACLES", "Desk", "Solve"]

ORACLES: dict[str, Solve] = {
    **browsing.SOLUTIONS,
    **choosing.SOLUTIONS,
    **clicking.SOLUTIONS,
    **dragging.SOLUTIONS,
    **puzzles.SOLUTIONS,
    **writing.SOLUTIONS,
}
"""Page -> its solution; a page without one is in the unproved suite."""
