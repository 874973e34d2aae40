"""`arena eval`, `compare` and `list` as a person and a program use them."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
from typed import Shell, process

SUITE = """
name = "two"
[[tasks]]
env = "arena/GuessNumber-v0"
n = 6
[[tasks]]
env = "arena/KeyDoor-v0"
n = 4
"""


def test_a_table_and_what_to_type_next(arena: Shell):
    said = arena("eval", "guess-number", "-a", "oracle", "-n", 12, "-o", "runs/a")
    assert said.code == 0
    assert re.search(r"arena/GuessNumber-v0 +1.000 \[0\.\d+, 1\.000\] +12/12 +12 success", said.out)
    assert said.out.endswith(
        "read it       arena replay runs/a\n"
        "run it again  arena replay runs/a --execute\n"
        "compare       arena compare runs/a OTHER\n"
    )
    assert said.err.startswith("0/12 episodes"), "nothing is seen until the first episode ends"
    assert "12/12 episodes · score 1.000" in said.err
    assert "\r" not in said.err, "progress is rewritten only on a terminal"
    for line in said.out.splitlines():
        if line.startswith(("read it", "run it")):
            assert arena(*line.partition("arena ")[2].split()).code == 0, "the next commands can be typed as they stand"


def test_json_is_all_there_is_on_standard_output(arena: Shell):
    said = arena("eval", "arena/GuessNumber-v0", "-a", "oracle", "-n", 3, "--json", "-o", "runs/a")
    summary = json.loads(said.out)
    assert (summary["folder"], summary["complete"]) == ("runs/a", True)
    assert summary["overall"]["score"]["mean"] == 1.0
    assert summary["run"]["attempts"] == 3


def test_without_a_folder_runs_are_named_by_time_and_never_overwritten(arena: Shell):
    for _ in range(2):
        assert arena("eval", "arena/GuessNumber-v0", "-n", 1).code == 0
    assert len(list((arena.folder / "runs").iterdir())) == 2
    arena("eval", "arena/GuessNumber-v0", "-n", 1, "-o", "runs/a", "-a", "oracle")
    again = arena("eval", "arena/GuessNumber-v0", "-n", 1, "-o", "runs/a", "-a", "oracle")
    assert again.code == 2
    assert "runs/a already holds a run. Resume it with --resume runs/a" in again.err


def test_options_come_from_a_file_then_the_command_then_set(arena: Shell):
    (arena.folder / "run.toml").write_text('target = "guess-number"\nagent = "oracle"\ntasks = 3\nrepeats = 5\n')
    said = arena("eval", "-c", "run.toml", "-k", 2, "--set", "seed=4", "--set", "limits.seconds=60", "-o", "runs/a")
    assert said.code == 0
    written = tomllib.loads((arena.folder / "runs/a/run.toml").read_text())["eval"]
    assert (written["tasks"], written["repeats"], written["seed"], written["limits"]["seconds"]) == (3, 2, 4, 60)
    repeated = arena("eval", "-c", "runs/a/run.toml", "-o", "runs/b")
    assert repeated.code == 0
    differences = arena("compare", "runs/a", "runs/b", "--json")
    assert json.loads(differences.out)["difference"]["mean"] == 0.0


def test_limits_are_options(arena: Shell):
    said = arena("eval", "guess-number", "-a", "oracle", "-n", 4, "--limit", "turns=2", "--json", "-o", "runs/a")
    assert json.loads(said.out)["overall"]["limits"] == {"turns": 3}, "the oracle needs one guess once"


def test_a_suite_file_is_a_target(arena: Shell):
    (arena.folder / "two.toml").write_text(SUITE)
    said = arena("eval", "two.toml", "-a", "oracle", "--json", "-o", "runs/a")
    environments = json.loads(said.out)["environments"]
    assert {env: section["asked"] for env, section in environments.items()} == {
        "arena/GuessNumber-v0": 6,
        "arena/KeyDoor-v0": 4,
    }


@pytest.mark.parametrize(("option", "value", "code"), [("score", 0.5, 1), ("score", 0.0, 0), ("coverage", 0.9, 0)])
def test_a_threshold_is_the_exit_code(arena: Shell, option, value, code):
    said = arena("eval", "guess-number", "-a", "random", "-n", 4, f"--min-{option}", value, "-o", "runs/a")
    assert said.code == code
    assert (f"is below --min-{option} {value:g}" in said.err) == bool(code)


def test_nothing_scored_is_below_every_threshold(arena: Shell):
    said = arena("eval", "guess-number", "-a", "typed:Said", "-n", 2, "-o", "runs/a")
    assert said.code == 2
    (arena.folder / "leaver.py").write_text(
        "from arena.core.errors import EpisodeStopped\n"
        "class Leaver:\n"
        "    def start(self, brief, seed): return self\n"
        "    async def act(self, observation): raise EpisodeStopped('that is enough')\n"
        "    def take(self, observation, action): pass\n"
        "    def end(self, observation, outcome): pass\n"
    )
    options = ("--min-score", 0.0, "--min-coverage", 0.5)
    said = arena("eval", "guess-number", "-a", "leaver:Leaver", "-n", 2, "-o", "runs/b", *options)
    assert said.code == 1
    assert "--min-score" in said.err
    assert "--min-coverage" in said.err
    assert "complete it  arena eval --resume runs/b" in said.out


def test_a_dry_run_runs_nothing(arena: Shell):
    said = arena("eval", "guess-number", "-a", "chat:window=2", "-m", "scripted:echo", "-k", 3, "--dry-run")
    assert said.code == 0
    assert "episodes  120: 40 tasks, 3 of each" in said.out
    assert "Nothing was run" in said.out
    assert not (arena.folder / "runs").exists()
    plan = json.loads(arena("eval", "guess-number", "--dry-run", "--json", "--limit", "turns=3").out)
    assert (plan["episodes"], plan["limits"], plan["tasks"]) == (40, {"turns": 3}, {"arena/GuessNumber-v0": 40})
    assert arena("eval", "guess-number", "-a", "chat:windw=2", "-m", "scripted:echo", "--dry-run").code == 2


def test_another_player_is_named(arena: Shell):
    lost = arena("eval", "arena/NoughtsAndCrosses-v0", "-a", "oracle", "--player", "o=oracle", "-n", 4, "--json")
    assert json.loads(lost.out)["agents"] == {"agent": "oracle", "others": "random", "o": "oracle"}


def test_a_resumed_run_is_completed_and_another_configuration_is_refused_with_the_difference(arena: Shell):
    arena("eval", "guess-number", "-a", "oracle", "-n", 2, "-o", "runs/a")
    assert arena("eval", "--resume", "runs/a").code == 0
    refused = arena("eval", "--resume", "runs/a", "-a", "random")
    assert refused.code == 2
    assert 'agents.agent: was "oracle", is now "random"' in refused.err


def test_two_runs_are_compared_in_pairs(arena: Shell):
    for agent in ("random", "oracle"):
        arena("eval", "guess-number", "-a", agent, "-n", 12, "-o", f"runs/{agent}")
    said = arena("compare", "runs/random", "runs/oracle", "--flips", 2)
    assert said.code == 0
    assert said.out.startswith("runs/oracle against runs/random, 12 tasks in pairs\n")
    assert "… and " in said.out
    assert said.out.rstrip().splitlines()[-1].endswith("the same")
    arena("eval", "keydoor", "-a", "oracle", "-n", 2, "-o", "runs/other")
    assert "share no scored task" in arena("compare", "runs/random", "runs/other").err


def test_lists_are_for_eyes_and_for_programs(arena: Shell):
    everything = json.loads(arena("list", "--json").out)
    assert set(everything) == {"environments", "suites", "agents", "models"}
    assert all(row["id"] in arena("list", "environments").out for row in everything["environments"])
    lines = arena("list").out.splitlines()
    assert lines == [line.rstrip() for line in lines], "no trailing blanks where it is piped"
    one = json.loads(arena("list", "arena/Maze-v0", "--json").out)
    assert one["parameters"]["size"] == 6
    assert "parameters  layout='generated', size=6" in arena("list", "arena/Maze-v0").out


def test_a_reader_who_has_seen_enough_is_no_error(tmp_path):
    listing = process("list", "--json", cwd=tmp_path)
    listing.stdout.close()
    listing.stdin.close()
    with listing.stderr:
        assert listing.stderr.read() == ""
    assert listing.wait(30) == 0


def test_a_server_that_does_not_answer_is_named_with_its_reason(arena, tmp_path):
    """A person would see how many episodes were lost, and not why."""
    model = "openai:x@http://127.0.0.1:9/v1,max_retries=1,wait=0.01"
    done = arena("eval", "guess-number", "-a", "chat", "-m", model, "-n", "2", "-o", tmp_path / "run")
    assert "Asking again in" in done.err
    assert "stamina" not in done.err
    assert "ModelUnavailable" in done.out
    assert "127.0.0.1:9" in done.out
