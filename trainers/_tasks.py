"""The training tasks: where they come from, what kinds there are, and which a step takes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.core import registry
from arena.core.errors import UsageError
from arena.core.seeds import derive, task_seeds
from arena.core.task import Task
from arena.trainers._curriculum import Bandit, TurnHorizon, Ucb, Uniform, curriculum, draw

if TYPE_CHECKING:
    from arena.trainers._config import TrainConfig
    from arena.trainers._loop_options import CurriculumOptions


def is_suite(target: str) -> bool:
    """Whether it names a suite (or the file of one) rather than an environment."""
    return target.endswith(".toml") or target in registry.suites() or "/" not in target


def training_tasks(config: TrainConfig) -> list[Task]:
    """The pool: at most `train_tasks` training tasks, as many of each environment and variant as of the others.

    Of a suite they are new tasks of its environments, with its parameters and turn limits: the suite's own are
    held out for the evaluations.

    Raises:
        UsageError: variants or parameters with a suite, a suite with tasks to train on, or too few tasks.
    """
    kinds = _kinds_of_suite(config) if is_suite(config.env) else _kinds_of_environment(config)
    share = -(-config.train_tasks // len(kinds))
    pool = [task for kind in kinds for task in _drawn(kind, share, config.seed)]
    if config.max_turns is not None:
        pool = [replace(task, max_turns=config.max_turns) for task in pool]
    if len(pool) < config.tasks:
        raise UsageError(
            f"{config.env} has {len(pool)} training tasks, and a step takes {config.tasks} different ones: lower "
            f"--tasks to at most {len(pool)}."
        )
    return pool


def _kinds_of_environment(config: TrainConfig) -> list[Task]:
    known = registry.registration(config.env)
    variants = config.curriculum.variants or ({},)
    return [Task(known.id, 0, {**config.params, **variant}, None, known.max_turns) for variant in variants]


def _kinds_of_suite(config: TrainConfig) -> list[Task]:
    suite = registry.suite(config.env)
    if config.params or config.curriculum.variants:
        raise UsageError(f"{config.env} is a suite, whose tasks have their own parameters; drop params and variants.")
    shared = sum(task.split == "train" for task in suite.tasks)
    if shared:
        raise UsageError(
            f"{shared} of the {len(suite.tasks)} tasks of {config.env} have training seeds, so an evaluation on them "
            'would not be held out. Draw them with split = "eval" in the suite, or train on one environment.'
        )
    found = {(task.env, task.max_turns, repr(sorted(task.params.items()))): task for task in suite.tasks}
    return [replace(task, seed=0, name=None) for task in found.values()]


def _drawn(kind: Task, most: int, seed: int) -> list[Task]:
    """At most so many training tasks of an environment with its parameters: as many as it has."""
    known, params = registry.registration(kind.env), dict(kind.params)
    if known.source is None:
        return [replace(kind, seed=number) for number in islice(task_seeds("train", seed), most)]
    found = islice(registry.load(known.source)("train", seed, **params), most)
    return [task if kind.max_turns is None else replace(task, max_turns=kind.max_turns) for task in found]


def environments(pool: Iterable[Task]) -> tuple[str, ...]:
    """The environments of the tasks, in the order they first occur."""
    return tuple(dict.fromkeys(task.env for task in pool))


def kind_of(task: Task, by: str) -> str:
    """The kind of a task, as `curriculum.by` divides them; the turn limit never matters."""
    if by == "env":
        return task.env
    if by == "task":
        return replace(task, max_turns=None).key
    if by == "params":
        return Task(task.env, 0, task.params).key.rpartition("@")[0]
    return f"{by}={task.params.get(by)}"


class TaskStream:
    """Which tasks the next groups are of: kinds by the curriculum, and of each kind one task after the other.

    A kind's tasks come in a random order, and in a new one when all had their turn.

    Args:
        pool: all of them.
        options: the curriculum's.
        seed: of the orders and the draws.
    """

    def __init__(self, pool: Sequence[Task], options: CurriculumOptions, seed: int) -> None:
        self._options, self._seed = options, seed
        self._tasks: dict[str, list[Task]] = {}
        for task in pool:
            self._tasks.setdefault(kind_of(task, options.by), []).append(task)
        if options.by not in ("params", "env", "task") and not any(options.by in task.params for task in pool):
            named = sorted({name for task in pool for name in task.params})
            raise UsageError(
                f"curriculum.by={options.by} is no parameter of the training tasks, which have "
                f"{', '.join(named) or 'none'}; or it is params, env or task."
            )
        if options.name != "uniform" and len(self._tasks) < 2:
            raise UsageError(
                f"All training tasks are of one kind by {options.by}, so curriculum.name={options.name} has nothing to "
                'choose from. Give it several: curriculum.variants=[{"size": 3}, {"size": 5}], a suite, or '
                "curriculum.by=task."
            )
        self._taken = dict.fromkeys(self._tasks, 0)
        self._orders: dict[str, tuple[int, np.ndarray[Any, Any]]] = {}
        self._horizon = TurnHorizon(options.horizon) if options.horizon else None
        self.curriculum = _begun(options, list(self._tasks))

    def take(self, number: int, step: int, used: Collection[Task] = ()) -> list[Task]:
        """Tasks for a step, different ones; fewer where no more are left.

        Args:
            number: how many.
            step: from 1.
            used: tasks that the step has already.
        """
        generator = np.random.default_rng(derive(self._seed, "kinds", step, len(used)))
        taken = {kind_of(task, "task") for task in used}
        room = {
            kind: sum(kind_of(task, "task") not in taken for task in tasks) if taken else len(tasks)
            for kind, tasks in self._tasks.items()
        }
        chosen = []
        for kind in draw(self.curriculum, min(number, sum(room.values())), generator, room):
            task = self._next(kind, taken)
            taken.add(kind_of(task, "task"))
            chosen.append(self._limited(task, step))
        return chosen

    def learn(self, magnitudes: Iterable[tuple[Task, float]]) -> None:
        """Take in the mean absolute advantage of each episode that was played."""
        found: dict[str, list[float]] = {}
        for task, magnitude in magnitudes:
            found.setdefault(kind_of(task, self._options.by), []).append(magnitude)
        self.curriculum.learn(found)

    def metrics(self) -> dict[str, Any]:
        """How likely each kind is, where there is a choice to be shown."""
        if len(self._tasks) < 2 or self._options.by == "task":
            return {}
        likely = zip(self.curriculum.kinds, self.curriculum.probabilities().tolist(), strict=True)
        return {"kinds": dict(likely)}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON."""
        return {"curriculum": self.curriculum.state(), "taken": dict(self._taken)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.curriculum = curriculum(state["curriculum"])
        self._taken.update(state["taken"])

    def _next(self, kind: str, taken: Collection[str]) -> Task:
        """The next task of a kind that is not `taken`; there is one."""
        tasks = self._tasks[kind]
        while True:
            turn, place = divmod(self._taken[kind], len(tasks))
            self._taken[kind] += 1
            task = tasks[int(self._order(kind, turn)[place])]
            if kind_of(task, "task") not in taken:
                return task

    def _order(self, kind: str, turn: int) -> np.ndarray[Any, Any]:
        if self._orders.get(kind, (-1,))[0] != turn:
            generator = np.random.default_rng(derive(self._seed, "tasks", kind, turn))
            self._orders[kind] = turn, generator.permutation(len(self._tasks[kind]))
        return self._orders[kind][1]

    def _limited(self, task: Task, step: int) -> Task:
        if self._horizon is None:
            return task
        turns = self._horizon.turns(step - 1)
        return replace(task, max_turns=turns if task.max_turns is None else min(turns, task.max_turns))


def _begun(options: CurriculumOptions, kinds: list[str]) -> Uniform | Ucb | Bandit:
    if options.name == "ucb":
        return Ucb(kinds, options.temperature or 0.1, options.window)
    if options.name == "bandit":
        return Bandit(kinds, options.rate, options.temperature or 1.0)
    return Uniform(kinds)


__all__ = ["TaskStream", "environments", "is_suite", "kind_of", "training_tasks"]
