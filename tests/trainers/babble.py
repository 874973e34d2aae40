"""A game for models that know nothing: what is said is worth its letters, so any two replies differ."""

from __future__ import annotations

from arena.core.env import Env
from arena.core.registry import register


class Babble(Env):
    """Three turns of saying anything; the reward is the share of vowels."""

    instructions = "Say anything."

    def _reset(self, task):
        self.turn = 0
        return "Speak.", {"state_key": "0"}

    def _step(self, action):
        self.turn += 1
        reward = sum(action.lower().count(vowel) for vowel in "aeiou") / max(len(action), 1) + len(action) / 100
        done = self.turn == 3
        return "Go on.", reward, done, False, {"valid": True, "state_key": str(self.turn), "success": done}


register("babble/Babble-v0", "babble:Babble", summary="Saying anything.", max_turns=3)
