"""The tasks of the learning benchmark, and the settings that all of its algorithms share.

Each task has a student of its own (a tiny model that knows the game's words), demonstrations that it is
cloned from, and a number of training steps. The settings were chosen on training and held-out tasks of
trial runs with GiGPO and GRPO; none was chosen for one algorithm alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from arena.trainers._student import AGENT, CONVERSING


@dataclass(frozen=True)
class LearningTask:
    """A game, and how much of it a run takes.

    Attributes:
        env, params, max_turns: the game.
        about: what it is a test of, in a few words.
        agent: what the student is shown.
        student: sizes of the student, as `build_student` takes them.
        demonstrations: episodes of the oracle that it is cloned from.
        passes: how often cloning goes through them.
        steps: of training.
        train_tasks: distinct training tasks, at most.
        held_out: tasks of an evaluation, the same ones for every run.
    """

    env: str
    params: dict[str, Any]
    max_turns: int
    about: str
    agent: str = AGENT
    student: dict[str, Any] = field(default_factory=dict)
    demonstrations: int = 20
    passes: int = 30
    steps: int = 24
    train_tasks: int = 1024
    held_out: int = 200

    @property
    def common(self) -> dict[str, Any]:
        """What every training of it is told."""
        return {
            "env": self.env,
            "params": self.params,
            "max_turns": self.max_turns,
            "agent": self.agent,
            "train_tasks": self.train_tasks,
            "eval_tasks": self.held_out,
        }


TASKS = {
    "keydoor": LearningTask(
        "arena/KeyDoor-v0",
        {"length": 2, "branching": 0, "keys": 1},
        10,
        "reward delayed, states recur",
    ),
    "maze": LearningTask(
        "arena/Maze-v0",
        {"size": 4, "walls": 0.5, "reward": "illegal_penalty"},
        12,
        "states recur",
    ),
    "wordle": LearningTask(
        "arena/WordleRedraw-v0",
        {"words": 12, "tries": 4},
        4,
        "a guess must follow from the last; with so few words, states recur",
        agent=CONVERSING,
        student={"pieces": "words"},
        passes=15,
    ),
    "coins": LearningTask(
        "arena/TWCoinCollector-v0",
        {"level": 3},
        12,
        "TextWorld's own words, so that the exits of a room have to be read",
        agent="chat:window=1,system=nothing.j2,user=actions.j2,max_tokens=2",
        student={"pieces": "words", "answer": 2, "episodes": 32, "vocabulary": 1500, "context": 384},
        passes=15,
        train_tasks=96,
        held_out=96,
        steps=12,
    ),
}

ALGORITHMS = ("gigpo", "grpo", "ppo", "rloo", "reinforce")

CLONING: dict[str, Any] = {
    "algorithm": "bc",
    "steps": 1,
    "optimiser": {"learning_rate": 2e-3, "final_share": 0.1},
}

LEARNING: dict[str, Any] = {
    "tasks": 16,
    "group_size": 8,
    "minibatches": 8,
    "optimiser": {"learning_rate": 4e-4, "final_share": 0.05},
}

ON_POLICY: dict[str, dict[str, Any]] = {"reinforce": {"minibatches": 1}}
"""REINFORCE has no ratio, so its estimate holds for the policy that sampled and for one optimiser step; with eight it
collapsed on the maze (0.65 to 0.25), which is what ratios and their clipping are for."""

SETTINGS: dict[str, dict[str, Any]] = {
    "reinforce": {"gamma": 0.95},
    "grpo": {"clip_high": 0.28},
    "ppo": {"gamma": 0.95, "clip_high": 0.28},
    "gigpo": {"gamma": 0.95, "clip_high": 0.28, "mode": "mean_std_norm"},
}
"""What differs from an algorithm's own defaults: the same discount wherever turns are discounted, the same
clipping, and advantages divided by a standard deviation (as GRPO's and PPO's are by default)."""
