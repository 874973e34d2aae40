"""Which tasks a step takes: kinds by the curriculum, tasks without repetition, and what a suite trains on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from arena.core import registry
from arena.core.errors import UsageError
from arena.core.task import Task
from arena.trainers._config import TrainConfig
from arena.trainers._loop_options import CurriculumOptions
from arena.trainers._tasks import TaskStream, is_suite, kind_of, training_tasks

POOL = [Task("arena/Maze-v0", seed, {"size": size}, None, 20) for size in (3, 4, 5) for seed in range(10)]


def stream(pool=POOL, seed=0, **options):
    return TaskStream(pool, CurriculumOptions.model_validate(options), seed)


def config(**values):
    return TrainConfig.read({"algorithm": "grpo", "env": "arena/Maze-v0", "model": "m", "tasks": 2, **values})


def test_every_task_has_its_turn_before_any_comes_again():
    """Drawn with replacement, a third of the tasks would never be seen in one round."""
    one = stream([task for task in POOL if task.params["size"] == 3])
    first = [task for step in range(5) for task in one.take(2, step)]
    second = [task for step in range(5) for task in one.take(2, step)]
    assert len(set(first)) == len(set(second)) == 10
    assert first != second


def test_the_tasks_of_a_step_differ():
    """Two groups of one task would share their key in the record."""
    found = stream().take(29, 1)
    assert len(set(found)) == 29
    more = stream().take(29, 1, used=found[:5])
    assert len(more) == 25
    assert not set(more) & set(found[:5])


def test_a_bandit_takes_what_teaches():
    """The whole point of a curriculum: kinds with advantages become likelier."""
    bandit = stream(name="bandit", by="size", temperature=0.1)
    bandit.learn([(task, 1.0 if task.params["size"] == 4 else 0.0) for task in POOL])
    sizes = [task.params["size"] for step in range(20) for task in bandit.take(3, step)]
    assert sizes.count(4) > 50
    assert bandit.metrics()["kinds"]["size=4"] > 0.9


def test_a_kind_that_is_used_up_leaves_its_share_to_the_others():
    bandit = stream(name="bandit", by="size", temperature=0.01)
    bandit.learn([(task, float(task.params["size"] == 4)) for task in POOL])
    sizes = [task.params["size"] for task in bandit.take(15, 1)]
    assert sizes.count(4) == 10


@pytest.mark.parametrize("name", ["uniform", "ucb", "bandit"])
def test_a_stream_goes_on_from_its_state(name):
    """A resumed run that took other tasks would not end with the same numbers."""
    one, other = stream(name=name), stream(name=name)
    rng = np.random.default_rng(0)
    for step in range(1, 5):
        one.learn([(task, float(rng.random())) for task in one.take(3, step)])
    other.restore(json.loads(json.dumps(one.state())))
    assert [one.take(3, step) for step in range(5, 9)] == [other.take(3, step) for step in range(5, 9)]


def test_the_horizon_limits_turns_by_step_and_never_adds_any():
    growing = stream(horizon=((0, 5), (2, 10), (3, 50)))
    assert [growing.take(1, step)[0].max_turns for step in (1, 2, 3, 4)] == [5, 5, 10, 20]


def test_kinds():
    task = Task("arena/Maze-v0", 7, {"size": 5}, None, 20)
    assert kind_of(task, "params") == "arena/Maze-v0[size=5]"
    assert kind_of(task, "env") == "arena/Maze-v0"
    assert kind_of(task, "size") == "size=5"
    assert kind_of(task, "task") == kind_of(replace(task, max_turns=3), "task")


def test_variants_are_trained_on_alike():
    pool = training_tasks(config(curriculum={"variants": [{"size": 3}, {"size": 5}]}, train_tasks=8))
    assert [task.params["size"] for task in pool] == [3] * 4 + [5] * 4
    assert all(task.split == "train" for task in pool)


def test_a_suite_trains_on_new_tasks_of_its_environments():
    """Trained on the suite's own tasks, the evaluation on them would be worth nothing."""
    assert is_suite("text-small")
    assert not is_suite("arena/Maze-v0")
    pool = training_tasks(config(env="text-small", train_tasks=60))
    suite = registry.suite("text-small")
    assert {task.env for task in pool} == set(suite.envs)
    assert {task.split for task in pool} == {"train"}
    assert {task.split for task in suite.tasks} == {"eval"}


WRONG = {
    "parameters of a suite": ({"env": "text-small", "params": {"size": 3}}, "tasks have their own parameters"),
    "one kind": ({"curriculum": {"name": "bandit"}}, "nothing to choose from"),
    "no such parameter": ({"curriculum": {"by": "width"}}, "curriculum.by=width is no parameter"),
    "a horizon that begins late": ({"curriculum": {"horizon": [[3, 5]]}}, "begin at step 0"),
    "an unknown option": ({"curriculum": {"nam": "ucb"}}, "did you mean 'name'"),
    "a curriculum for cloning": ({"algorithm": "bc", "curriculum": {"name": "ucb"}}, "assigns no credit"),
    "smoothing without a bonus": ({"smoothing": {"weight": 0.1}}, "give entropy_bonus too"),
    "a corridor upside down": ({"smoothing": {"low": 2, "high": 1}}, "must lie below the ceiling"),
    "filtering single episodes": (
        {"algorithm": "reinforce", "group_size": 1, "shaping": {"keep_groups": 0.5}},
        "group size of 2",
    ),
}


@pytest.mark.parametrize(("values", "said"), WRONG.values(), ids=WRONG)
def test_options_that_would_do_nothing_are_refused(values, said):
    """An option that is accepted and ignored costs a run before anyone notices."""
    with pytest.raises(UsageError, match=said):
        _begun(values)


def _begun(values):
    one = config(**values)
    return TaskStream(training_tasks(one), one.curriculum, 0)


def test_a_suite_with_training_seeds_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n[[tasks]]\nenv = "arena/Maze-v0"\nseeds = [1, 2]\n')
    with pytest.raises(UsageError, match="would not be held out"):
        training_tasks(config(env=str(path)))
