"""A person plays, makes an environment, and holds it to the contract; `doctor` looks at the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typed import Shell, process

from arena.cli import doctor
from arena.core.outcome import Outcome
from arena.records import open_run


def the_run(folder: Path) -> Path:
    [run] = (folder / "runs").iterdir()
    return run


def test_a_person_plays_and_the_game_is_recorded(arena: Shell):
    person = process(
        "play", "arena/GuessNumber-v0", "--seed", 3, "--set", "high=8", "--set", "tries=4", cwd=arena.folder
    )
    out, err = person.communicate("?\nhint\nnine\n1\n", timeout=60)
    assert (person.returncode, err) == (0, "")
    assert "Find it in at most 4 guesses" in out
    assert "Legal actions: 1, 2, 3" in out
    assert "The oracle would play: " in out
    assert "not scored, 2 turns" in out
    episode = open_run(the_run(arena.folder)).episode(0)
    assert [turn.action for turn in episode.turns] == ["nine", "1"]
    assert (episode.task.seed, episode.task.params, episode.outcome) == (3, {"high": 8, "tries": 4}, Outcome.CANCELLED)
    assert f"arena replay {the_run(arena.folder).relative_to(arena.folder)}" in out
    assert arena("replay", the_run(arena.folder), "--execute").code == 0


def test_a_person_plays_against_an_agent_and_wins(arena: Shell):
    person = process("play", "arena/GuessNumber-v0", "--set", "high=4", "--set", "tries=4", cwd=arena.folder)
    out, _ = person.communicate("1\n2\n3\n4\n", timeout=60)
    assert "score 1.00" in out
    other = process("play", "arena/NoughtsAndCrosses-v0", "--player", "o=oracle", "-o", "xo", cwd=arena.folder)
    out, _ = other.communicate("", timeout=60)
    assert other.returncode == 0
    assert open_run(arena.folder / "xo").config["agents"]["o"] == "oracle"


def test_a_new_environment_works_at_once_from_the_same_folder(arena: Shell):
    made = arena("new", "my-env")
    assert made.code == 0
    assert "arena check my-env/Thing-v0" in made.out
    checked = process("check", "my-env/Thing-v0", cwd=arena.folder)
    out, err = checked.communicate(timeout=120)
    assert checked.returncode == 0, out + err
    assert ", 0 failed" in out
    assert "oracle_scores_one" in out
    for words in (
        ("eval", "my-env", "-a", "oracle", "--min-score", 1, "-o", "runs/suite"),
        ("eval", "my-env/Thing-v0", "-a", "random", "-o", "runs/env"),
        ("eval", "my-env/my_env/suites/my-env.toml", "-a", "random", "-o", "runs/file"),
        ("list", "my-env/Thing-v0"),
        ("replay", "runs/suite", "--execute"),
        ("replay", "runs/env", 0, "--fork", 0, "-a", "oracle"),
    ):
        typed = process(*words, cwd=arena.folder)
        out, err = typed.communicate(timeout=60)
        assert typed.returncode == 0, (words, out, err)


def test_what_is_made_passes_its_own_tests_and_is_clean(arena: Shell):
    """As its README says: `pytest`, from its folder, without an installation."""
    arena("new", "card-games", "--env", "LongBridge", "--into", "code")
    folder = arena.folder / "code" / "card-games"
    assert (folder / "card_games" / "long_bridge.py").is_file()
    assert "{{" not in "".join(path.read_text() for path in folder.rglob("*.*") if path.is_file())
    for words in (
        ("pytest", "-q", "-p", "no:cacheprovider"),
        ("ruff", "check", "--isolated", "."),
        ("ruff", "format", "--isolated", "--check", "."),
    ):
        done = subprocess.run([sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_what_is_there_is_not_overwritten(arena: Shell):
    (arena.folder / "my-env").mkdir()
    said = arena("new", "my-env")
    assert said.code == 2
    assert "my-env is there already" in said.err


def test_a_broken_promise_is_exit_code_1_with_what_to_do(arena: Shell):
    arena("new", "broken-env")
    source = arena.folder / "broken-env" / "broken_env" / "thing.py"
    source.write_text(source.read_text().replace("float(won), True, False", 'float("nan"), True, False'))
    checked = process("check", "broken-env/Thing-v0", "arena/GuessNumber-v0", "--json", cwd=arena.folder)
    out, err = checked.communicate(timeout=120)
    assert checked.returncode == 1
    broken, sound = json.loads(out)
    assert (broken["passed"], sound["passed"]) == (False, True)
    assert {result["status"] for result in sound["results"]} == {"passed", "skipped"}
    [rewards] = [result for result in broken["results"] if result["name"] == "rewards_are_finite"]
    assert rewards["status"] == "failed"
    assert "to do:" in rewards["detail"]
    assert "1 of 2 environments break the contract: broken-env/Thing-v0" in err


def test_the_doctor_names_what_is_missing_with_the_line_that_gets_it(arena: Shell, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setenv("ARENA_CACHE", str(arena.folder / "cache"))
    said = arena("doctor")
    assert said.code == 0
    assert "sk-very-secret" not in said.out
    assert "to get it: export ANTHROPIC_API_KEY=…" in said.out
    findings = {finding["name"]: finding for finding in json.loads(arena("doctor", "--json").out)}
    assert findings["OPENAI_API_KEY"]["ok"]
    assert findings["python"] == {
        "name": "python",
        "ok": True,
        "found": findings["python"]["found"],
        "fix": "",
        "needed": True,
    }
    assert all(finding["fix"] for finding in findings.values() if not finding["ok"] and finding["name"] != "cuda")


def test_a_cache_that_cannot_be_written_is_a_missing_prerequisite(arena: Shell, monkeypatch):
    (arena.folder / "file").write_text("")
    monkeypatch.setenv("ARENA_CACHE", str(arena.folder / "file"))
    said = arena("doctor")
    assert said.code == 3
    assert "MISSING cache" in said.out
    assert "to get it: set ARENA_CACHE to a folder you can write to" in said.out


@pytest.mark.parametrize("name", doctor.NEEDED)
def test_what_is_needed_is_looked_at(arena: Shell, name):
    assert name in {finding["name"] for finding in json.loads(arena("doctor", "--json").out)}
