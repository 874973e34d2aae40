"""Runs in a browser as a user types them: evaluated with intervals, executed again, small on the disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("playwright")
pytest.importorskip("miniwob")

from arena.cli._app import run as typed
from arena.core.episode import ImagePart
from arena.core.outcome import Outcome
from arena.environments.web.workplace._site import ORIGINS
from arena.records import open_run


@pytest.fixture(autouse=True)
def _browser(require):
    require("chromium")


def arena(*words: object) -> int:
    return typed([str(word) for word in words])


def test_the_small_suite_is_solved_by_its_oracle_and_not_by_chance(tmp_path, capsys):
    """Nobody could tell whether a model's score is that of somebody who can do the tasks, or of nobody at all."""
    scores = {}
    for agent in ("oracle", "random"):
        assert arena("eval", "miniwob-small", "-a", agent, "-j", 4, "--json", "-o", tmp_path / agent) == 0
        summary = json.loads(capsys.readouterr().out)
        assert summary["complete"]
        scores[agent] = summary["overall"]["score"]
    assert scores["oracle"]["mean"] == 1.0
    assert scores["random"]["low"] <= scores["random"]["mean"] <= scores["random"]["high"]
    assert scores["random"]["high"] < 0.9


@pytest.mark.parametrize("name", ["Browser", "MiniWoB", "Shop", "ShopPages", "WebTasks"])
def test_what_was_recorded_comes_out_the_same_when_it_is_executed_again(name, tmp_path):
    """A replay that differs by chance says nothing about the one that differs because of a change."""
    for agent in ("oracle", "random"):
        out = tmp_path / agent
        assert arena("eval", f"arena/{name}-v0", "-a", agent, "-n", 1, "--limit", "turns=5", "-o", out) == 0
        assert arena("replay", out, "--execute") == 0


PATHS = ("/", "/compose", "/contacts", "/projects", "/threads/1", "/threads/2", "/letters/1", "/letters/2")
WAYS = [f'goto("{ORIGINS[site]}{path}")' for path in PATHS for site in ("Forum", "Mail", "Tracker")]


def test_thirty_turns_with_screenshots_take_less_than_two_megabytes(tmp_path):
    """A thousand recorded episodes would fill a disk; what is seen twice is kept once."""
    actions = json.dumps([*WAYS, *WAYS[:6]])
    words = ("eval", "arena/WebTasks-v0", "-a", f"scripted:actions={actions}", "-n", 1, "--limit", "turns=30")
    assert arena(*words, "--set", "params.screenshot=true", "-o", tmp_path / "run") == 0
    with open_run(tmp_path / "run") as run:
        [episode] = run.episodes()
    assert (episode.outcome, episode.limit, len(episode.turns)) == (Outcome.TRUNCATED, "turns", 30)
    seen = [part.sha256 for turn in episode.turns for part in turn.observation if isinstance(part, ImagePart)]
    assert len(seen) == 30
    kept = [path for path in (tmp_path / "run" / "blobs").rglob("*") if path.is_file()]
    assert len(kept) == len({*seen, *(p.sha256 for p in episode.final_observation if isinstance(p, ImagePart))})
    assert len(kept) < 31, "the same screen was kept twice"
    assert size(tmp_path / "run") < 2_000_000


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
