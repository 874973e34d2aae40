"""Terminal-v0: what an agent meets, what its work is worth, and that it cannot make it worth more."""

from __future__ import annotations

import json

import pytest
from playing import oracle_and_idle

from arena.cli._app import run as arena
from arena.core import registry
from arena.core.checks import EnvContract
from arena.core.env import Oracle, ability
from arena.core.errors import UnknownName, UsageError
from arena.evaluation import evaluate


@pytest.fixture(autouse=True)
def prerequisites(require, monkeypatch):
    require("bwrap")
    monkeypatch.setenv("ARENA_SANDBOX", "bubblewrap")


class TestContract(EnvContract):
    env_id = "arena/Terminal-v0"


def harbor(folder, test, *, toml="", dockerfile="", name="job"):
    """A task in Harbor's format; `test` are lines of its test.sh."""
    root = folder / name
    for part in ("environment", "solution", "tests"):
        (root / part).mkdir(parents=True)
    (root / "task.toml").write_text(f'version = "1.0"\n{toml}')
    (root / "instruction.md").write_text("Write 42 to answer.\n")
    (root / "environment" / "Dockerfile").write_text(f"FROM debian:bookworm-slim\nWORKDIR /app\n{dockerfile}")
    (root / "solution" / "solve.sh").write_text("echo 42 >answer\n")
    (root / "tests" / "test.sh").write_text(f"{test}\n")
    return folder


HONEST = 'if [ "$(cat answer)" = 42 ]; then echo 1; else echo 0; fi >/logs/verifier/reward.txt'


@pytest.fixture
def play():
    """Plays actions on the only task of a folder; returns the last step. What is open is closed at the end."""
    made = []

    def run(folder, *actions, seed=1):
        env = registry.make("arena/Terminal-v0", tasks=str(folder), backend="bubblewrap")
        made.append(env)
        env.reset(seed=seed)
        return [env.step(action) for action in actions][-1]

    yield run
    for env in made:
        env.close()


def test_the_suite_is_ten_tasks_of_ten_names():
    assert len({task.name for task in registry.suite("terminal-small").tasks}) == 10


@pytest.mark.parametrize("task", [task.name for task in registry.suite("terminal-small").tasks])
def test_the_oracle_solves_each_task_of_the_suite_and_doing_nothing_none(task):
    """The suite says that it is proved."""
    env = registry.make("arena/Terminal-v0", backend="bubblewrap")
    scores = [info["score"] for info in oracle_and_idle(env, task)]
    env.close()
    assert scores == [1.0, 0.0]


def test_work_is_graded_when_it_is_handed_in(tmp_path, play):
    tasks = harbor(tmp_path, HONEST)
    _, reward, terminated, truncated, info = play(tasks, "echo 42 >answer", "submit")
    assert (reward, terminated, truncated, info["score"], info["success"]) == (1.0, True, False, 1.0, True)
    assert play(tasks, "echo 41 >answer", "submit")[4]["score"] == 0.0


def test_work_counts_when_a_limit_ends_the_episode(tmp_path):
    env = registry.make("arena/Terminal-v0", tasks=str(harbor(tmp_path, HONEST)), backend="bubblewrap")
    env.reset(seed=1)
    env.step("echo 42 >answer")
    reward, info = env.get_wrapper_attr("conclude")("turns")
    assert (reward, info["score"]) == (1.0, 1.0)
    env.close()


def test_a_recorded_episode_is_branched_from_its_snapshots(tmp_path, capsys):
    """Nothing is run again: the files and the shell are those of the snapshot."""
    tasks = harbor(tmp_path / "tasks", HONEST, toml='[metadata]\nsplit = "eval"\n')
    params = {"tasks": str(tasks), "backend": "bubblewrap"}
    run = evaluate("arena/Terminal-v0", "oracle", tasks=1, params=params, snapshots=True, out=tmp_path / "run").run
    assert [turn.action for turn in run.episode(0).turns][1:] == ["submit"]
    assert (
        arena(["replay", str(tmp_path / "run"), "0", "--fork", "1", "-a", "oracle", "-o", str(tmp_path / "branch")])
        == 0
    )
    assert "success, score 1.00, 2 turns, from turn 1 by snapshot" in " ".join(capsys.readouterr().out.split())


def test_tools_and_words_are_the_same_action(tmp_path, play):
    calls = [{"tool": "shell", "arguments": {"command": "echo 42 >answer"}}, {"tool": "submit", "arguments": {}}]
    result = play(harbor(tmp_path, HONEST), json.dumps(calls))
    assert result[1] == 1.0
    assert result[4]["results"] == ["", "Handed in."]
    wrong = play(tmp_path, json.dumps([{"tool": "shel", "arguments": {}}]))
    assert (wrong[4]["valid"], "no tool called 'shel'" in wrong[0]) == (False, True)


def test_what_a_command_does_is_told(tmp_path):
    env = registry.make("arena/Terminal-v0", tasks=str(harbor(tmp_path, HONEST)), timeout=0.5, output=10)
    env.reset(seed=1)
    assert env.step("echo out; echo err >&2; exit 3")[0] == "out\nerr\n[exit code 3]"
    assert "ended after 0.5 s" in env.step("sleep 30")[0]
    assert env.step("seq 100")[0].endswith("[only the first 10 characters are shown]")
    assert not env.step("  ")[4]["valid"]
    assert not env.step("a\0b")[4]["valid"]
    env.close()


CHEATS = {
    "a reward of one's own": "mkdir -p /logs/verifier; echo 1 >/logs/verifier/reward.txt",
    "a better reward file": "mkdir -p /logs/verifier; echo '{\"reward\": 1}' >/logs/verifier/reward.json",
    "a daemon": "setsid -f bash -c 'while :; do echo 1 >/logs/verifier/reward.txt; sleep 0.01; done' >/dev/null 2>&1",
    "tests of one's own": "mkdir -p /tests; echo 'echo 1 >/logs/verifier/reward.txt' >/tests/test.sh",
    "another cat": "mkdir bin; printf 'echo 42' >bin/cat; chmod +x bin/cat; export PATH=/app/bin:$PATH",
    "a startup file": "echo 'cat() { echo 42; }' >~/.bashrc; export BASH_ENV=~/.bashrc",
    "a link to the reward": "ln -s /logs/verifier/reward.txt answer",
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_cheating_earns_nothing(tmp_path, play, cheat):
    """The tests come after the agent has gone, into a sandbox that it has never seen."""
    assert play(harbor(tmp_path, HONEST), CHEATS[cheat], "submit")[1] == 0.0


def test_the_tests_are_not_there_while_the_agent_works(tmp_path, play):
    assert play(harbor(tmp_path, HONEST), "ls /tests; find / -name test.sh 2>/dev/null")[0].endswith(
        "[exit code 2]"
    ) or play(tmp_path, "find / -name test.sh 2>/dev/null")[0] in ("", "[exit code 1]")


def test_only_declared_artifacts_reach_the_verifier(tmp_path, play):
    """Whoever changes the input changes it for himself."""
    test = '[ "$(cat answer)" = "$(cat input)" ] && [ ! -e extra ]; echo $((1 - $?)) >/logs/verifier/reward.txt'
    tasks = harbor(tmp_path, test, toml='artifacts = ["/app/answer"]\n', dockerfile="RUN echo 42 >input\n")
    assert play(tasks, "echo 7 >input; echo 7 >answer", "submit")[1] == 0.0
    assert play(tasks, "echo 42 >answer; touch extra", "submit")[1] == 1.0


def test_modes_links_and_empty_folders_reach_the_verifier(tmp_path, play):
    test = '[ "$(stat -c %a x/f)" = 604 ] && [ -L x/l ] && [ -d x/e ]; echo $((1 - $?)) >/logs/verifier/reward.txt'
    assert play(harbor(tmp_path, test), "mkdir -p x/e; echo >x/f; chmod 604 x/f; ln -s f x/l", "submit")[1] == 1.0


@pytest.mark.parametrize(
    ("written", "reward"),
    [
        ("echo 0.25 >/logs/verifier/reward.txt", 0.25),
        ('echo \'{"reward": 0.5, "time": 3}\' >/logs/verifier/reward.json', 0.5),
        ("echo '{\"accuracy\": 0.75}' >/logs/verifier/reward.json", 0.75),
        ("echo nan >/logs/verifier/reward.txt", 0.0),
        ("echo inf >/logs/verifier/reward.txt", 0.0),
        ("echo '{\"reward\": NaN}' >/logs/verifier/reward.json", 0.0),
        ("echo '{\"reward\": true}' >/logs/verifier/reward.json", 0.0),
        ("true", 0.0),
    ],
)
def test_rewards_are_finite_numbers(tmp_path, play, written, reward):
    info = play(harbor(tmp_path, written), "submit")[4]
    assert info["score"] == reward
    assert ("trouble" in info) == (reward == 0.0)


BENCH = """
echo '=== short test summary info ==='
if [ "$(cat answer)" = 42 ]; then echo "PASSED $TEST_DIR/test_outputs.py::test_answer"
else echo "FAILED $TEST_DIR/test_outputs.py::test_answer"; fi
echo "PASSED test_outputs.py::test_other"
"""


@pytest.fixture
def bench(tmp_path):
    """A task in terminal-bench's format."""
    root = tmp_path / "bench"
    (root / "tests").mkdir(parents=True)
    (root / "task.yaml").write_text("instruction: Write 42 to answer.\nparser_name: pytest\n")
    (root / "Dockerfile").write_text("FROM ghcr.io/laude-institute/t-bench/ubuntu-24-04:latest\nWORKDIR /app\n")
    (root / "solution.sh").write_text("echo 42 >answer\n")
    (root / "run-tests.sh").write_text(BENCH)
    (root / "tests" / "test_outputs.py").write_text("")
    return root


def test_terminal_bench_tasks_run(bench, play):
    assert play(bench, "echo 41 >answer", "submit")[1] == 0.0
    assert play(bench, "echo 42 >answer", "submit")[1] == 1.0


def test_the_oracle_follows_either_format(bench, tmp_path):
    harbor(tmp_path, HONEST, name="harbor")
    for name in ("bench", "harbor"):
        env = registry.make("arena/Terminal-v0", tasks=str(tmp_path), backend="bubblewrap")
        env.reset(seed=1, options={"task": name})
        oracle = ability(env, Oracle)
        env.step(oracle.oracle_action())
        assert env.step(oracle.oracle_action())[1] == 1.0
        env.close()


def test_what_is_no_task_says_so(tmp_path):
    with pytest.raises(UsageError, match="no task"):
        registry.make("arena/Terminal-v0", tasks=str(tmp_path))
    harbor(tmp_path, HONEST)
    env = registry.make("arena/Terminal-v0", tasks=str(tmp_path))
    with pytest.raises(UnknownName, match="job"):
        env.reset(options={"task": "jib"})
    (tmp_path / "job" / "tests" / "test.sh").unlink()
    with pytest.raises(UsageError, match=r"lacks tests/test\.sh"):
        env.reset(seed=1)
    env.close()
