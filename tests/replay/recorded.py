"""Environments to record and to execute again, some of which come out differently on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import arena
from arena import Env
from arena.core.episode import Episode
from arena.core.task import Suite, Task
from arena.evaluation import EvalConfig, evaluate_async
from arena.evaluation.evaluate import in_any_thread
from arena.records import Run

LENGTH = 10


class Ledger(Env):
    """Ten turns, each with its own text, reward, validity and state. `changed` makes another environment of it."""

    instructions = "Say anything, ten times."
    changed = ""
    clock = 0

    def __init__(self, length: int = LENGTH) -> None:
        self.length = length

    def _reset(self, task: str | None) -> tuple[str, dict[str, Any]]:
        self.count = 0
        return "page 0", {"instance": str(self.np_random_seed), "state_key": "0"}

    def _step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        if Ledger.changed == "raises" and self.count == 7:
            raise RuntimeError("the ink ran dry")
        text = f"page {self.count + 1}, written on {action}"
        if Ledger.changed == "text" and self.count == 2:
            text += "!"
        self.count += 1
        over = self.count == self.length
        info = {"valid": self.count % 2 == 0, "state_key": str(self.count), "success": over, "score": 0.5}
        return text, self.count / 10, over, False, info


class Clock(Ledger):
    """Every text tells a time that no second run can repeat."""

    def _step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        Ledger.clock += 1
        text, *rest = super()._step(action)
        return f"{text} after {Ledger.clock} ms", *rest


arena.register("recorded/Ledger-v0", "recorded:Ledger")
arena.register("recorded/Clock-v0", "recorded:Clock", volatile={r"after \d+ ms": "it tells the time"})
arena.register("recorded/ClockUndeclared-v0", "recorded:Clock")
arena.register("recorded/Live-v0", "recorded:Clock", replay="none: it asks a live server")


def record(env: str, folder: Path, agent: str = "scripted:text=ink", n: int = 1, **options: Any) -> Run:
    """Episodes of an environment, recorded in a run."""
    params = options.pop("params", {})
    suite = Suite(env, tuple(Task(env, seed, params, None, options.get("max_turns")) for seed in range(1, n + 1)))
    config = EvalConfig.read({"target": env, "agent": agent, "retries": 0, **options})
    return in_any_thread(evaluate_async(config, out=folder, suite=suite)).run


def one(env: str, folder: Path, **options: Any) -> Episode:
    """A recorded episode."""
    return record(env, folder, **options).episode(0)
