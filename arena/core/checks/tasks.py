"""Checks on tasks: where they come from, that they can be solved, and that doing nothing does not solve them."""

from __future__ import annotations

import contextlib
from typing import Literal

from arena.core import registry
from arena.core.checks import _play
from arena.core.checks._report import NotApplicable, Violation
from arena.core.checks._subject import Subject
from arena.core.env import Oracle, ability
from arena.core.seeds import Split
from arena.core.task import Task

_SPLITS: tuple[Split, Split] = ("train", "eval")


def tasks_are_reproducible(subject: Subject) -> None:
    """Its tasks are the same each time, the first of a longer list are those of a shorter one, and none comes twice."""
    for split in _SPLITS:
        many = [task.key for task in subject.drawn(split, 20)]
        few = [task.key for task in registry.tasks(subject.id, split, max(1, len(many) // 2), 0, subject.params)]
        if many[: len(few)] != few or many != [task.key for task in subject.drawn(split, 20)]:
            raise Violation(
                "tasks(split, n, seed) gives the same tasks every time, and a prefix of any longer list",
                f"the {split} tasks differ between two calls",
                "derive them from `seed` with arena.core.seeds.task_seeds",
            )
        if twice := next((key for key in many if many.count(key) > 1), None):
            raise Violation("no task comes twice", f"{twice} comes {many.count(twice)} times", "yield each task once")


def splits_are_disjoint(subject: Subject) -> str:
    """Training and evaluation tasks share no key, no seed and no generated instance."""
    tasks = {split: subject.drawn(split, subject.some(25, 200)) for split in _SPLITS}
    for split, drawn in tasks.items():
        if stray := next((task for task in drawn if task.split != split), None):
            raise _overlap(f"the {split} task {stray.key} has a seed of the other split")
    content = [{(task.name, task.seed, str(sorted(task.params.items()))) for task in tasks[s]} for s in _SPLITS]
    if shared := content[0] & content[1]:
        raise _overlap(f"{len(shared)} tasks are in both, such as {sorted(map(str, shared))[0]}")
    instances: dict[str, Task] = {}
    seen = 0
    for task in subject.rounds(tasks["train"], 0.5):
        if name := _instance(subject, task):
            instances[name] = task
            seen += 1
    for task in subject.rounds(tasks["eval"], 0.5):
        if (name := _instance(subject, task)) in instances:
            raise _overlap(f"{instances[str(name)].key} and {task.key} are both the instance {name!r}")
    return "" if seen else "compared by seed only: reset's info names no `instance`"


def oracle_scores_one(subject: Subject) -> str:
    """The oracle scores 1 on the tasks of its proved suite, within their turn limits."""
    return _prove(
        subject, "oracle", 1.0, "a task that even the oracle cannot solve measures nothing: repair one of them"
    )


def doing_nothing_scores_zero(subject: Subject) -> str:
    """An agent that does nothing scores 0 on the tasks of its proved suite."""
    return _prove(
        subject, "idle", 0.0, "grade what was achieved: a state that is right before the first action earns 0"
    )


def _prove(subject: Subject, kind: Literal["oracle", "idle"], expected: float, remedy: str) -> str:
    suite = subject.registration.suite
    declared = suite is not None and registry.suite(suite).proved
    if suite is not None and not declared:
        raise NotApplicable(f"its suite {suite} is marked unproved")
    if kind == "oracle" and ability(subject.make(), Oracle) is None:
        if declared:
            raise Violation("a proved suite has an oracle", f"{subject.id} has none", "write one, or mark it unproved")
        raise NotApplicable("it has no oracle, and no suite that claims to be proved")
    tasks = subject.proved if subject.deep else subject.proved[:3]
    if not tasks:
        raise Violation(f"its suite {suite} has tasks of it", "none", "add tasks, or register another suite")
    for task in tasks:
        env = subject.make(task)
        score, turns = _play.proof(env, task, kind)
        with contextlib.suppress(Exception):
            env.close()
        if score != expected:
            who = "the oracle" if kind == "oracle" else "doing nothing"
            raise Violation(
                f"{who} scores {expected:g} on every task", f"{score:g} on {task.key} after {turns} turns", remedy
            )
    return f"{len(tasks)} tasks"


def _instance(subject: Subject, task: Task) -> str | None:
    env = subject.make(task)
    _, info = _play.start(env, task)
    env.close()
    return info.get("instance")


def _overlap(found: str) -> Violation:
    return Violation(
        "training and evaluation tasks share nothing",
        found,
        "draw seeds with arena.core.seeds.task_seeds, and content with self.draw(make, digest)",
    )
