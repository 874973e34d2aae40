"""WebTasks in a real browser: every task, and what only a browser can show."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("playwright")

from rotation import rotating

from arena.agents import build
from arena.core.outcome import Outcome
from arena.core.seeds import EVAL_SEEDS
from arena.core.task import Task
from arena.environments.web.workplace._site import ORIGINS
from arena.environments.web.workplace.env import TASKS, TURNS, WebTasks
from arena.rollout import Engine, Job


@pytest.fixture(autouse=True)
def _browser(require):
    require("chromium")


def played(agent, names):
    """Episodes of some tasks, by name."""
    episodes = []

    async def play():
        engine = Engine({"agent": build(agent)}, retries=0, on_episode=episodes.append, concurrency=2)
        tasks = [Task("arena/WebTasks-v0", EVAL_SEEDS + place, {}, name, TURNS) for place, name in enumerate(names)]
        await engine.run([Job(task) for task in tasks])

    asyncio.run(play())
    return {episode.task.name: episode for episode in episodes}


def test_the_oracle_does_every_task():
    """A link or field that only the parser of the other tests can find would make a task impossible."""
    episodes = played("oracle", TASKS)
    assert {name: (episode.outcome, episode.score) for name, episode in episodes.items()} == dict.fromkeys(
        TASKS, (Outcome.SUCCESS, 1.0)
    )


def test_saying_that_it_is_done_is_not_enough():
    names = rotating(TASKS, 20)
    said = played('scripted:actions=["noop()", "send_msg_to_user(\\"Done.\\")"]', names)
    assert [said[name].score for name in names] == [0.0] * len(names)
    assert all(len(episode.turns) == 2 for episode in said.values()), "a message ends the episode"


def test_what_is_shown_is_judged_where_the_agent_stands():
    """Pages, address and text are those of the browser, tabs included."""

    async def play():
        env = WebTasks()
        await env.reset(seed=EVAL_SEEDS, options={"task": "forum-open-thread"})
        thread = env.goal.evaluators[0].url
        await env.step(f'goto("{thread}")')
        assert (await env.there(env.judge())).score == 1.0
        await env.step("new_tab()")
        assert (await env.there(env.judge())).score == 0.0
        await env.step(f'goto("{ORIGINS["Mail"]}/")')
        await env.step("tab_focus(0)")
        *_, reward, terminated, _, info = await env.step('send_msg_to_user("Here it is.")')
        await env.close()
        return reward, terminated, info["score"]

    assert asyncio.run(play()) == (1.0, True, 1.0)


def test_an_episode_begins_in_the_pages_of_another_and_sees_nothing_of_it():
    """Tabs, history, a half-written text or what was posted would be left over from the episode before."""

    async def play():
        env, other = WebTasks(), WebTasks()
        other.reuse = None
        await env.reset(seed=EVAL_SEEDS, options={"task": "mail-send"})
        await env.step(f'goto("{ORIGINS["Mail"]}/compose")')
        subject = next(one.ref for one in env.eyes.view.elements.values() if one.name == "Subject")
        await env.step(f'fill("{subject}", "half a sub")')
        await env.step("new_tab()")
        seen, _ = await env.reset(seed=EVAL_SEEDS + 1, options={"task": "mail-reply"})
        fresh, _ = await other.reset(seed=EVAL_SEEDS + 1, options={"task": "mail-reply"})
        reused = not env.session.fresh
        back = (await env.step("go_back()"))[4]["error"]
        await env.close()
        await other.close()
        return seen == fresh, reused, back

    assert asyncio.run(play()) == (True, True, "There is no page to go back to.")
