"""WebTasks without a browser: the applications answer, every task can be done, and near misses are worth nothing."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright")

from paper import Paper

from arena.environments.web.workplace._moves import next_action
from arena.environments.web.workplace._world import Impossible
from arena.environments.web.workplace.env import TASKS, drawn

SEEDS = range(6)


def begun(name, seed=0):
    """A task in the first applications that allow it."""
    for number in range(seed * 1000, seed * 1000 + 100):
        try:
            return Paper(*drawn(name, number))
        except Impossible:
            continue
    raise AssertionError(f"{name} is possible nowhere")


def played(paper, turns=30):
    """Follow the oracle to the end; how many turns it took."""
    made, taken = 0, 0
    while made < len(paper.goal.moves):
        action, number = next_action(paper.goal.moves[made:], paper.reader.things)
        assert number, f"{paper.goal.moves[made]} cannot be made on {paper.url}"
        paper.act(action)
        made, taken = made + number, taken + 1
    return taken


@pytest.fixture
def close():
    opened = []
    yield opened.append
    for paper in opened:
        paper.world.database.close()


@pytest.mark.parametrize("name", TASKS)
def test_every_task_can_be_done_and_is_not_done_before(name, close):
    """The oracle's moves reach score 1 through links and forms alone, in turns to spare; nothing at all scores 0."""
    for seed in SEEDS:
        paper = begun(name, seed)
        close(paper)
        assert paper.score() == 0.0, (seed, paper.goal.text)
        assert played(paper) <= 26
        assert paper.score() == 1.0, (seed, paper.goal.text, paper.ending())
