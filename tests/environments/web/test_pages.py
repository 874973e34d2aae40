"""What an agent sees of a page, what it can do to it, and what a page can do to its episode."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

pytest.importorskip("playwright")

import traps  # noqa: F401  (registers its environments)

import arena
from arena.agents import build
from arena.core.env import LegalActions, ability
from arena.core.episode import Episode
from arena.core.outcome import Outcome
from arena.core.task import Task
from arena.rollout import Engine, Job


@pytest.fixture(autouse=True)
def _browser(require):
    require("chromium")


@pytest.fixture
def parts(request):
    env = arena.make("trap/Parts-v0", **getattr(request, "param", {}))
    env.reset(seed=1)
    yield env
    env.close()


SEEN = """\
Page: Parts (https://site.test/)
[1] heading "Parts"
"One two"
[2] link "three"
[3] textbox "Name"
[4] checkbox "Agree" not checked
[5] Date "Day"
[6] combobox "Size" value="small" options: small | large | huge
[7] button "Send"
[8] button "Never" disabled
[9] div "A reacting box"
[10] button "Under"
"lid"
[11] table
  "Colour | red"
  "Weight | 2 kg"
"first"
[12] button "In a frame"
[13] button "Upload" value="No file chosen"
(Not shown: 1 below the window: scroll(0, 576); 4 hidden beside it or inside of areas that scroll)"""


def ref(text, words):
    """The number of the element whose line has these words."""
    return next(line.split("]")[0].strip(" [") for line in text.splitlines() if words in line)


def test_a_page_is_told_in_few_words(parts):
    """Agents pay for every word, and act by what they read."""
    text = parts.step("noop()")[0]
    assert text == SEEN


def test_what_goes_wrong_is_said_in_a_sentence(parts):
    wrong = {
        'click("99")': "There is no element [99] on this page.",
        'click("8")': "Element [8] is disabled.",
        'click("10")': 'Element [10] is covered by div "lid".',
        'fill("7", "x")': "Element [7] is no field that holds text.",
        'fill("5", "soon")': 'Element [5] takes a date, and "soon" is none.',
        'fill("6", "x")': "Element [6] is a list: use select_option.",
        'select_option("6", "medium")': 'Element [6] has no option "medium". Its options are: small | large | huge.',
        'select_option("6", "huge")': 'Element [6] has the option "huge", but it is disabled.',
        'select_option("7", "a")': "Element [7] is no list of options: click it instead.",
        'check("7")': "Element [7] is neither a checkbox nor a radio button.",
        'press("3", "Entre")': 'Unknown key: "Entre"',
        'goto("https://example.org/")': "https://example.org/ is outside of this episode: only https://site.test",
        'goto("file:///etc/passwd")': "'file:///etc/passwd' is no web address.",
        "go_back()": "There is no page to go back to.",
        "tab_close()": "This is the only tab; it stays open.",
        "tab_focus(3)": "There is no tab 3: they are numbered from 0 to 0.",
        'upload_file("13", "a.txt")': "there are no files in this environment",
        "more()": "There is no more",
        "noop(-1)": "noop waits 0 to 60000 milliseconds",
        'click("1", "left", ["Hyper"])': "'Hyper' is no modifier",
    }
    for action, sentence in wrong.items():
        text, reward, terminated, truncated, info = parts.step(action)
        assert sentence in info["error"], action
        assert text.startswith(f"Error: {info['error']}"), action
        assert (info["valid"], reward, terminated, truncated) == (False, 0.0, False, False), action


def test_the_form_is_filled_in_and_sent(parts):
    text, *_ = parts.step('fill("3", "Ada")\ncheck("4")\nfill("5", "2026-02-03")\nselect_option("6", "large")')
    assert '[3] textbox "Name" value="Ada"' in text
    assert '[4] checkbox "Agree" checked' in text
    assert 'value="large" focused' in text
    _, reward, terminated, _, info = parts.step('[{"tool": "click", "arguments": {"bid": "7"}}]')
    assert (reward, terminated, info["success"], info["score"]) == (1.0, True, True, 1.0)
    assert info["executed"] == 'click(bid="7")'
    assert len(info["results"]) == 1
    assert parts.unwrapped.inner.sent == {"name": "Ada", "yes": "on", "size": "large"}


def test_the_mouse_the_keyboard_tabs_and_history(parts):
    do = lambda action: parts.step(action)[0]  # noqa: E731
    assert do('click("9")').startswith("Page: hit")
    assert 'button "pressed"' in do('click("12")')
    assert 'value="Oslo"' in do('focus("3")\nkeyboard_press("O")\nkeyboard_type("slo")')
    assert "Page: /two" in do('click("2")')
    assert "Page: Parts" in do("go_back()")
    assert "Page: /two" in do("go_forward()")
    assert "Tab 1, this one" in do("new_tab()")
    assert "Tab 1, this one: /x" in do('goto("https://site.test/x")')
    assert "Tab 0, this one: /two" in do("tab_focus(0)")
    assert "Page: /x" in do("tab_close()")


def test_what_is_cut_is_said_and_can_be_seen(parts):
    env = arena.make("trap/Parts-v0", text=400)
    env.reset(seed=1)
    text = env.step('goto("/long")')[0]
    assert len(text) < 700
    assert "more lines: more() shows them" in text
    further = env.step("more()")[0]
    assert "lines before these" in further
    assert "Paragraph 0 of" in text
    assert "Paragraph 0 of" not in further
    below = env.step("scroll(0, 576)")[0]
    assert "above the window: scroll(0, -576)" in below
    env.close()


def test_the_image_shows_the_numbers():
    env = arena.make("trap/Parts-v0", screenshot=True, marks=True, html=True)
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    assert observation["image"].shape == (720, 1280, 3)
    assert "<h1>Parts</h1>" in observation["text"]
    plain = arena.make("trap/Parts-v0", screenshot=True)
    bare, _ = plain.reset(seed=1)
    again, _ = plain.reset(seed=2)
    assert np.array_equal(bare["image"], again["image"])
    assert not np.array_equal(bare["image"], observation["image"])
    env.close()
    plain.close()


def test_legal_actions_leave_out_what_cannot_be_reached(parts):
    legal = ability(parts, LegalActions).legal_actions()
    assert 'click("7")' in legal
    assert 'click("12")' in legal
    assert 'select_option("6", "large")' in legal
    assert not {'click("8")', 'click("10")'} & set(legal)


NAMED = {
    "loops": (Outcome.TRUNCATED, "page_time"),
    "opens windows": (Outcome.TRUNCATED, "tabs"),
    "fills memory": (Outcome.TRUNCATED, "page_memory"),
    "prints": (Outcome.TRUNCATED, "page_print"),
    "prints in a frame": (Outcome.TRUNCATED, "page_print"),
    "asks for the camera": (Outcome.TRUNCATED, "page_camera"),
    "crashes": (Outcome.FAILURE, None),
    "asks": (Outcome.SUCCESS, None),
}
REASONS = {
    "loops": "hung",
    "opens windows": "tabs",
    "fills memory": "memory",
    "prints": "printed",
    "prints in a frame": "printed",
    "asks for the camera": "camera",
    "crashes": "crashed",
}
"""What `info["page"]` says."""


@pytest.mark.parametrize("trap", NAMED)
def test_a_bad_page_ends_its_own_episode_by_name_and_harms_no_other(trap):
    """One page would cost the run its other episodes, or be scored as a failure of the infrastructure."""
    press = 'scripted:actions=["click(1)", "noop()", "noop()", "click(2)"]'

    async def together():
        bad: list[Episode] = []
        good: list[Episode] = []
        one = Engine({"agent": build(press)}, retries=0, on_episode=bad.append)
        others = Engine({"agent": build("oracle")}, retries=0, concurrency=2, on_episode=good.append)
        await asyncio.gather(
            one.run([Job(Task("trap/Trap-v0", 1, {"trap": trap}, None, 8))]),
            others.run([Job(Task("arena/Browser-v0", 2**31 + seed, {}, None, 12)) for seed in range(3)]),
        )
        return bad[0], good

    episode, beside = asyncio.run(together())
    assert (episode.outcome, episode.limit) == NAMED[trap], episode.failure
    if trap != "asks":
        assert episode.score == 0.0
        assert episode.turns[-1].info["page"] == REASONS[trap]
    assert [other.outcome for other in beside] == [Outcome.SUCCESS] * 3
    assert all(other.score == 1.0 for other in beside)
