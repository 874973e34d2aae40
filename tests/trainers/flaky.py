"""Games whose sandbox dies, whose rewards are chosen, or that reward nothing."""

from __future__ import annotations

from collections import Counter

from arena.core.env import Env
from arena.core.errors import InfrastructureError
from arena.core.registry import register

PLAYED: Counter[int] = Counter()
"""Episodes begun, by seed; a test empties it."""

BROKEN: dict[int, list[int]] = {}
"""seed -> at which turn the episodes of that seed break, in the order in which they begin; then none does."""


class Flaky(Env):
    """Three turns; the reward of the last is `levels[seed % len(levels)]`, or the episode's number of that seed."""

    instructions = "Say anything."

    def __init__(self, levels=(), bug=False):
        super().__init__()
        self.levels, self.bug = levels, bug

    def _reset(self, task):
        self.seed, self.turn = self.np_random_seed, 0
        self.number = PLAYED[self.seed]
        PLAYED[self.seed] += 1
        breaking = BROKEN.get(self.seed, [])
        self.breaks_at = breaking[self.number] if self.number < len(breaking) else None
        return "Speak.", {"state_key": "0"}

    def _step(self, action):
        if self.turn == self.breaks_at:
            raise ZeroDivisionError("a bug") if self.bug else InfrastructureError("the sandbox died")
        self.turn += 1
        done = self.turn == 3
        worth = self.levels[self.seed % len(self.levels)] if self.levels else self.number % 2
        return "Go on.", float(worth) if done else 0.25, done, False, {"valid": self.turn != 2, "success": done}


class Worthless(Env):
    """Solved by its oracle's word, and never rewarded."""

    instructions = "Say please."
    oracle_from = "anywhere"

    def oracle_action(self):
        return "please"

    def _reset(self, task):
        return "Well?", {"state_key": "0"}

    def _step(self, action):
        said = action == "please"
        return "So.", 0.0, said, False, {"valid": True, "success": said, "score": float(said)}


register("flaky/Flaky-v0", "flaky:Flaky", summary="Breaks when told to.", max_turns=3)
register("flaky/Worthless-v0", "flaky:Worthless", summary="Rewards nothing.", max_turns=3)
