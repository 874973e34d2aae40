"""Arena: a gym for LLM agents that act over many turns.

    import arena
    env = arena.make("arena/Wordle-v0")
    observation, info = env.reset(seed=1)
    observation, reward, terminated, truncated, info = env.step("crane")

Importing it registers the built-in environments, agents and models by name and loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import arena.agents
import arena.environments  # noqa: F401
from arena.core.env import AsyncEnv, Env, LegalActions, Oracle, Snapshots, ability
from arena.core.outcome import Outcome
from arena.core.registry import make, register, register_suites, suite, tasks
from arena.core.task import Suite, Task

if TYPE_CHECKING:
    from arena.core.episode import Episode, Turn
    from arena.evaluation import compare, evaluate
    from arena.records import Run, open_run

__version__ = "0.1.0"

_LAZY = {
    "Episode": "arena.core.episode",
    "Turn": "arena.core.episode",
    "Run": "arena.records",
    "open_run": "arena.records",
    "compare": "arena.evaluation",
    "evaluate": "arena.evaluation",
}

__all__ = [
    "AsyncEnv",
    "Env",
    "Episode",
    "LegalActions",
    "Oracle",
    "Outcome",
    "Run",
    "Snapshots",
    "Suite",
    "Task",
    "Turn",
    "ability",
    "compare",
    "evaluate",
    "make",
    "open_run",
    "register",
    "register_suites",
    "suite",
    "tasks",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'arena' has no attribute {name!r}")
