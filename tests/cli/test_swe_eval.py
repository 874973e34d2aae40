"""Software engineering from the command line: what each agent gets, and that its episodes come out the same again."""

from __future__ import annotations

import json
import shlex

import pytest
from typed import Shell

from arena.core import registry
from arena.environments.swe import _manifest


@pytest.fixture(params=["docker", "bwrap"])
def back_end(request, require, monkeypatch):
    """What every sandbox is made by."""
    require(request.param)
    require("swe")
    monkeypatch.setenv("ARENA_SANDBOX", {"bwrap": "bubblewrap"}.get(request.param, request.param))


def mean(said) -> float:
    """The score of a run that is complete."""
    summary = json.loads(said.out)
    assert summary["complete"]
    return summary["overall"]["score"]["mean"]


@pytest.mark.parametrize("back_end", ["docker"], indirect=True)
def test_the_oracle_gets_all_of_swe_small_idle_none_and_one_real_repair_exactly_one(arena: Shell, back_end):
    """The suite's promise; and a grade that gave more than the one bug that was repaired would be worth nothing."""
    names = [task.name for task in registry.suite("swe-small").tasks]
    task = next(task for task in map(named, names) if len(task.edits) == 1)
    (edit,) = task.edits
    repair = f"python3 - <<'END'\np = {edit.file!r}\ns = open(p).read()\nassert s.count({edit.new!r}) == 1\n"
    repair += f"open(p, 'w').write(s.replace({edit.new!r}, {edit.old!r}))\nEND"
    (arena.folder / "actions.json").write_text(json.dumps(["git status --short", repair, "submit"]))
    assert mean(arena("eval", "swe-small", "-a", "oracle", "-j", 2, "--json", "-o", "runs/oracle")) == 1.0
    assert mean(arena("eval", "swe-small", "-a", "idle", "-j", 2, "--json", "-o", "runs/idle")) == 0.0
    one = mean(arena("eval", "swe-small", "-a", "scripted:actions=actions.json", "-j", 2, "--json", "-o", "runs/one"))
    assert one == 1 / len(names)


def named(name):
    """The task of a name."""
    return _manifest.task_named(name)[1]


LOOKS = [
    "date; date -R; date +%H:%M",
    "ls -la",
    "mktemp; mktemp -d",
    "sleep 0.01 & wait",
    "python3 -m pytest -q --durations=3",
    "python3 -c 'print(object())'",
    "git log -1; git status",
    "cd / && pwd",
]
"""Commands, most of which say something else each time."""


@pytest.mark.parametrize("env", ["arena/Swe-v0", "arena/Terminal-v0"])
def test_episodes_come_out_the_same_again(arena: Shell, back_end, env):
    """Times, process numbers and temporary names may differ, and nothing else."""
    task = registry.suite("swe-small" if "Swe" in env else "terminal-small").tasks[0].name
    actions = [look for look in LOOKS if "Swe" in env or not look.startswith(("git", "python3 -m"))]
    (arena.folder / "actions.json").write_text(json.dumps([*actions, f"echo {shlex.quote(task)}", "submit"]))
    suite = f'name = "one"\n[[tasks]]\nenv = "{env}"\nseeds = [{2**31}]\nnames = ["{task}"]\n'
    (arena.folder / "one.toml").write_text(suite)
    arena("eval", "one.toml", "-a", "scripted:actions=actions.json", "-o", "runs/a")
    said = arena("replay", "runs/a", "--execute")
    assert said.code == 0, said.out + said.err


def test_pytests_slowest_tests_may_be_hidden():
    """Those under 5 ms are counted instead of listed, so that a busy machine lists more of them."""
    head, one, tail = "slowest\n", "s call a.py::b\n", "9 passed"
    hidden = "durations < 0.005s hidden.  Use -vv to show these durations.)\n"
    texts = [
        f"{head}\n(3 {hidden}{tail}",
        f"{head}0.01{one}\n(2 {hidden}{tail}",
        f"{head}0.02{one}0.01s setup a.py::c\n0.01{one}{tail}",
    ]
    assert len({registry.registration("arena/Swe-v0").stable(text) for text in texts}) == 1
