"""Seeds are the same in any process, and keep training and evaluation apart."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from arena.core.seeds import EVAL_SEEDS, derive, split_of_instance, split_of_seed, task_seeds

parts = st.lists(st.one_of(st.text(), st.integers()), max_size=4)


@given(parts, parts)
def test_different_parts_give_different_seeds(one, other):
    """Two names that collide would make two episodes the same."""
    assert (derive(*one) == derive(*other)) == (one == other)
    assert 0 <= derive(*one) < 2**63


def test_a_derived_seed_is_the_same_in_another_process():
    """A seed that depended on the hash seed would make no run repeatable."""
    code = "from arena.core.seeds import derive; print(derive('a', 7, 'é'))"
    environment = {**os.environ, "PYTHONHASHSEED": "99"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert int(done.stdout) == derive("a", 7, "é")


@given(st.integers(0, 2**40), st.integers(1, 50))
def test_task_seeds_lie_in_their_split_without_repeats(seed, n):
    """A seed in both splits would train on an evaluation task."""
    for split, low, high in (("train", 0, EVAL_SEEDS), ("eval", EVAL_SEEDS, 2 * EVAL_SEEDS)):
        found = list(itertools.islice(task_seeds(split, seed), n))
        assert len(set(found)) == n
        assert all(low <= number < high and split_of_seed(number) == split for number in found)
        assert found == list(itertools.islice(task_seeds(split, seed), n + 5))[:n]


def test_a_quarter_of_the_instances_is_for_evaluation():
    """A share far from a quarter would leave a small game without evaluation instances."""
    share = sum(split_of_instance(str(number)) == "eval" for number in range(4000)) / 4000
    assert 0.22 < share < 0.28
