"""The page on adding an agent is true: its code runs."""

from __future__ import annotations

import sys

from pages import BLOCK, DOCS, run_page

PAGE = DOCS / "adding-an-agent.md"


def test_the_code_on_the_page_runs(tmp_path, monkeypatch):
    """A newcomer would copy code that does not work."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run_page(PAGE, tmp_path, {}) == 5
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(file.stem, None)


def test_the_agent_on_the_page_always_wins(tmp_path, monkeypatch):
    """The page's first agent would be a bad example."""
    import arena
    from arena.agents import build
    from arena.core.agent import Brief
    from arena.core.observation import Observation

    (tmp_path / "bisecting.py").write_text(BLOCK.search(PAGE.read_text(encoding="utf-8"))["code"], encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    agent = build("bisecting:Bisection,high=50")
    env = arena.make("arena/GuessNumber-v0", high=50)
    for seed in range(20):
        observation, info = env.reset(seed=seed)
        session, over = agent.start(Brief(""), 0), False
        while not over:
            acting = session.act(Observation.of(observation, info))
            try:
                acting.send(None)
            except StopIteration as decided:
                observation, _, over, _, info = env.step(decided.value.text)
        assert info["success"]
    del sys.modules["bisecting"]
