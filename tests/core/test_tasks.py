"""Tasks have keys that tell them apart; suite files are read exactly or refused with the reason."""

from __future__ import annotations

import json

import gymnasium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.core import registry
from arena.core.errors import BadSuite
from arena.core.seeds import EVAL_SEEDS
from arena.core.task import Task, load_suite

GAME = "suites/Game-v0"

params = st.dictionaries(st.from_regex(r"[a-z]{1,3}", fullmatch=True), st.integers() | st.text() | st.booleans())
tasks = st.builds(
    Task,
    env=st.sampled_from(["a/B-v0", "a/C-v1"]),
    seed=st.integers(0, 2**32),
    params=params,
    name=st.none() | st.from_regex(r"[a-z]{1,4}", fullmatch=True),
    max_turns=st.none() | st.integers(1, 99),
)


@pytest.fixture(autouse=True)
def _game():
    registry.register(GAME, "nowhere:Game", max_turns=9)
    yield
    registry._environments.pop(GAME)
    gymnasium.registry.pop(GAME)


@pytest.fixture
def suite(tmp_path):
    def load(text):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return load_suite(path)

    return load


@given(tasks, tasks)
def test_keys_tell_tasks_apart(one, other):
    """Two tasks with one key would overwrite each other's records."""
    one_text, other_text = (json.dumps(task.to_json(), sort_keys=True) for task in (one, other))
    assert (one.key == other.key) == (one_text == other_text)


@given(tasks)
def test_a_task_survives_json(task):
    assert Task(**task.to_json()) == task
    assert hash(Task(**task.to_json())) == hash(task)


def test_the_order_of_parameters_is_no_part_of_the_task():
    assert Task("a/B-v0", 1, {"x": 1, "y": 2}).key == Task("a/B-v0", 1, {"y": 2, "x": 1}).key


def test_equal_tasks_have_equal_keys_and_hashes():
    """A table of tasks would find a task, or miss it, by where it came from."""
    listed, read_back = (Task("a/B-v0", 1, {"rooms": rooms}) for rooms in ((1, 2), [1, 2]))
    assert listed == read_back
    assert len({listed, read_back}) == 1
    assert Task("a/B-v0", 1, {"x": 1}) != Task("a/B-v0", 1, {"x": 1.0}), "their keys differ"
    assert listed != listed.key


def test_a_suite_names_one_environment_one_way(suite):
    """Drawn tasks under another id would be another environment in tables, and could not be imported again."""
    entry = f'[[tasks]]\nenv = "json:{GAME}"\n'
    assert suite(f"{entry}seeds = [1]\n{entry}n = 1").envs == (f"json:{GAME}",)


def test_drawn_and_named_tasks(suite):
    """The first form draws from the environment's source, the second names its seeds."""
    found = suite(
        f"""
        description = "für alle"
        proved = true
        [[tasks]]
        env = "{GAME}"
        n = 3
        [[tasks]]
        env = "{GAME}"
        params = {{size = 5}}
        seeds = [1, 2]
        names = ["a", "b"]
        max_turns = 4
        """
    )
    assert (found.name, found.proved, found.envs, len(found.tasks)) == ("mine", True, (GAME,), 7)
    assert all(task.seed >= EVAL_SEEDS and task.max_turns == 9 for task in found.tasks[:3])
    assert found.tasks[3:] == tuple(Task(GAME, seed, {"size": 5}, name, 4) for name in "ab" for seed in (1, 2))


def test_the_hash_follows_the_tasks(suite):
    """`--resume` compares it: a changed suite must not be taken for the old one."""
    entry = f'[[tasks]]\nenv = "{GAME}"\nseeds = [1, 2]\n'
    assert suite(entry).hash == suite('description = "new words"\n' + entry).hash
    assert suite(entry).hash != suite(entry.replace("1, 2", "2, 1")).hash


ENTRY = f'[[tasks]]\nenv = "{GAME}"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tasks =", "cannot be read"),
        ("", "no \\[\\[tasks\\]\\]"),
        ("tasks = [1]", "where a \\[\\[tasks\\]\\] table is expected"),
        (f"speed = 3\n{ENTRY}", "unknown keys \\['speed'\\]"),
        ("[[tasks]]\nn = 3", "no env"),
        ('[[tasks]]\nenv = "suites/Gane-v0"', "Did you mean 'suites/Game-v0'"),
        (f"{ENTRY}turns = 3", "unknown keys \\['turns'\\]"),
        (f"{ENTRY}n = '3'", "n = '3'.*expected int"),
        (f"{ENTRY}n = 0", "n=0"),
        (f"{ENTRY}n = true", "n = True"),
        (f"{ENTRY}split = 'test'", "split='test'"),
        (f"{ENTRY}seeds = [1]\nn = 2", "seeds and n"),
        (f"{ENTRY}names = ['a']", "names without seeds"),
        (f"{ENTRY}seeds = ['a']", "whole numbers"),
        (f"{ENTRY}seeds = [1]\nmax_turns = 0", "max_turns"),
        (f"{ENTRY}seeds = [1, 1]", "more than once"),
    ],
)
def test_a_suite_that_cannot_be_used_says_why(suite, text, words):
    """A suite that is misread would measure something else."""
    with pytest.raises(BadSuite, match=words) as caught:
        suite(text)
    assert "mine.toml" in str(caught.value)


def test_a_missing_file_is_a_bad_suite(tmp_path):
    with pytest.raises(BadSuite, match="cannot be read"):
        load_suite(tmp_path / "none.toml")
