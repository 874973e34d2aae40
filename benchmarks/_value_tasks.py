"""The tasks of the value benchmark, the data that they are learned from, and what each algorithm is told.

The settings were chosen on trial runs on the first task; none was chosen for a later one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from arena.core.seeds import Split
from arena.trainers._student import AGENT, CONVERSING
from benchmarks._learning_tasks import TASKS as LEARNING_TASKS
from benchmarks._learning_tasks import LearningTask


@dataclass(frozen=True)
class ValueTask:
    """A game, and the recorded episodes that it is learned from.

    Attributes:
        env, params, max_turns: the game.
        about: what it is a test of, in a few words.
        agents: who played the data, with their shares.
        episodes: of the data.
        agent: what the student is shown.
        student: sizes of the student, as `build_student` takes them.
        held_out: tasks of an evaluation, the same ones for every run.
        split: what they are drawn from. Elsewhere than in "eval", they are new episodes of what the data is about.
        told: algorithm -> what it is told here besides `TOLD`.
    """

    env: str
    params: dict[str, Any]
    max_turns: int
    about: str
    agents: dict[str, float]
    episodes: int = 400
    agent: str = AGENT
    student: dict[str, Any] = field(default_factory=dict)
    held_out: int = 200
    split: Split = "eval"
    told: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def common(self) -> dict[str, Any]:
        """What every training of it is told; nothing is played in one, so few tasks are drawn for it."""
        told = {"env": self.env, "params": self.params, "max_turns": self.max_turns, "agent": self.agent}
        return {**told, "train_tasks": 16}

    @property
    def played(self) -> dict[str, Any]:
        """What every evaluation of it is told."""
        told = {"params": self.params, "max_turns": self.max_turns, "tasks": self.held_out}
        return {**told, **drawn_from(self.split)}


def drawn_from(split: Split) -> dict[str, Any]:
    """What an evaluation is told to draw its tasks: of the training split, others than those of any training."""
    return {"split": split, "task_seed": 0 if split == "eval" else 1_000_000}


_MIXED = {"oracle": 0.1, "noisy:epsilon=0.7": 0.5, "random": 0.4}
_THINGS = {"objects": 24, "questions": 10}
_QUESTIONS: dict[str, Any] = {"vocabulary": 3000, "context": 1024, "answer": 5}
_ASKING = "chat:system=nothing.j2,max_tokens=6"

TASKS = {
    "maze": ValueTask(
        "arena/Maze-v0", {"layout": "double_t"}, 30, "one sees where one is", _MIXED, episodes=200, held_out=100
    ),
    "maze-partial": ValueTask(
        "arena/MazePartial-v0",
        {"layout": "double_t"},
        30,
        "one sees the walls next to one and remembers the rest",
        _MIXED,
        episodes=200,
        agent=CONVERSING,
        student={"context": 1024},
        held_out=100,
    ),
    "wordle": ValueTask(
        "arena/WordleRedraw-v0",
        {"words": 12, "tries": 4},
        4,
        "what is known follows from all guesses so far",
        _MIXED,
        agent=CONVERSING,
        student={"pieces": "words"},
    ),
    "questions": ValueTask(
        "arena/TwentyQuestions-v0",
        _THINGS,
        10,
        "which of 24 things is meant, by 193 questions and guesses",
        {"oracle": 0.1, "noisy:epsilon=0.3": 0.5, "noisy:epsilon=0.7": 0.4},
        episodes=1000,
        agent=_ASKING,
        student=_QUESTIONS,
        split="train",
        told={"bc": {"epochs": 24}, "filtered_bc": {"epochs": 80}},
    ),
    "maze-new": ValueTask(
        "arena/Maze-v0", {"size": 4, "walls": 0.5}, 12, "every held-out maze is one that nobody has seen", _MIXED
    ),
}

OFFLINE = ("bc", "filtered_bc", "mc", "ilql", "offline_archer")
"""`bc` imitates all of the data, `filtered_bc` its best 30 %; the others go on from the model that `bc` made."""

CLONING: dict[str, Any] = {
    "algorithm": "bc",
    "steps": 1,
    "epochs": 8,
    "minibatches": 25,
    "optimiser": {"learning_rate": 2e-3, "final_share": 0.1},
}

TOLD: dict[str, dict[str, Any]] = {
    "bc": {},
    "filtered_bc": {"settings": {"keep": 0.3}, "epochs": 27},
    "mc": {
        "algorithm": "mc",
        "steps": 100,
        "minibatches": 8,
        "checkpoint_every": 50,
        "settings": {"batch": 16, "cql": 0.1},
    },
    "ilql": {
        "algorithm": "ilql",
        "steps": 450,
        "minibatches": 4,
        "checkpoint_every": 100,
        "settings": {"batch": 8, "cql": 0.1, "polyak": 0.1},
    },
    "offline_archer": {
        "algorithm": "offline_archer",
        "steps": 20,
        "minibatches": 8,
        "optimiser": {"learning_rate": 1e-3, "final_share": 0.1},
        "settings": {"critic_warmup": 6, "critic_updates": 40, "beta": 3.0, "max_weight": 20.0, "expectile": 0.7},
    },
}
"""What each is told besides its defaults. `filtered_bc` goes through its 30 % as much oftener as they are fewer, so
that both clones see about as many turns. What `mc` and `ilql` are told was chosen on seed 99 of the first task, which
is in no table: with 160 optimiser steps, as they first had, their Q was flat; ILQL's targets are read anew every four
optimiser steps and follow twenty times as fast as the paper's, since each reading carries a value one square on; the
conservative term weighs ten times as much, as so few steps have to lower every token that nobody ever said."""

BETA = 4
"""How far Q leads the sampling of `mc` and `ilql`."""

CANDIDATES = (2, 4, 8)
"""Of best-of-n: the model is that of `bc`, the critic that of `offline_archer`. With one it is `bc` itself."""

ONLINE_TASKS = {
    "keydoor": LEARNING_TASKS["keydoor"],
    "maze": LEARNING_TASKS["maze"],
    "questions": LearningTask(
        "arena/TwentyQuestions-v0",
        _THINGS,
        10,
        "which of 24 things is meant, by 193 questions and guesses",
        agent=_ASKING,
        student=_QUESTIONS,
        demonstrations=21,
        passes=25,
        steps=12,
        train_tasks=21,
    ),
}

ON_POLICY = ("reinforce", "grpo", "gigpo", "ppo")

_ARCHER: dict[str, Any] = {
    "algorithm": "archer",
    "group_size": 2,
    "optimiser": {"learning_rate": 4e-4, "final_share": 0.1},
    "settings": {"critic_warmup": 6, "critic_updates": 40, "n_steps": 2, "whiten": True, "bootstrap": False},
    "kl": 0.1,
}

ARCHERS: dict[str, dict[str, Any]] = {
    "archer": _ARCHER,
    "archer_hl": {**_ARCHER, "settings": {**_ARCHER["settings"], "critic_loss": "hl_gauss"}},
}
"""ArCHer plays a quarter of the others' episodes a step, in twice as many steps: its sample efficiency is what is asked
about, and its critic learns from all that was played before."""

SAMPLED = ("questions",)
"""Online tasks whose success is that of the episodes they sample: who has never heard of a thing cannot name it, so
things are not held out."""

BINS = {"keydoor": (-1.0, 2.0), "maze": (-2.0, 2.0)}
"""Online tasks on which ArCHer is run with HL-Gauss too -> the range of its bins, around the returns."""


def archers_on(task: str) -> tuple[str, ...]:
    """Which kinds of ArCHer are run on an online task."""
    return tuple(name for name in ARCHERS if name == "archer" or task in BINS)


def archer_told(task: str, name: str) -> dict[str, Any]:
    """What ArCHer is told on a task.

    On twenty questions its critic reads all that was asked before, five times as many tokens as in a maze, so that it
    is shown half as many turns at a time. With the other tasks' learning rate the actor unlearned there in two steps
    what the clone knew (seed 99, which is in no table: success 0.45 -> 0.10).
    """
    told, settings = ARCHERS[name], dict(ARCHERS[name]["settings"])
    if task == "questions":
        settings["critic_batch"] = 32
        told = {**told, "optimiser": {"learning_rate": 1e-4, "final_share": 0.1}}
    if name == "archer_hl":
        settings["low"], settings["high"] = BINS[task]
    return {**told, "settings": settings, "steps": 2 * ONLINE_TASKS[task].steps}
