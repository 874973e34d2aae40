"""Episodes of arena/Swe-v0: repaired through the shell, left alone, cut off; and nothing of the answer in the box."""

from __future__ import annotations

import asyncio
import subprocess
from typing import get_args

import pytest
from rotation import rotating

import arena
from arena.core import registry
from arena.core.env import Oracle, Snapshots, ability
from arena.core.errors import ResetNeeded, UnknownName
from arena.environments.swe import _manifest, _running
from arena.environments.swe._running import outcomes_of, plan_of, run_tests
from arena.environments.swe._sources import PYTEST, original_tree, packages_folder
from arena.environments.swe.env import Swe, secrets
from arena.sandboxes import Bubblewrap, Docker, SandboxSpec, SyncSandbox

KINDS = {"bwrap": "bubblewrap", "docker": "docker"}
SHIPPED = [(package, task) for package in _manifest.load() for task in package.tasks]


@pytest.fixture(params=KINDS)
def swe(request, require, tiny):
    """The environment on the tiny package, through the synchronous face."""
    require(request.param)
    env = arena.make("arena/Swe-v0", backend=KINDS[request.param], manifests=str(tiny.folder))
    yield env
    env.close()


def begin(env):
    return env.reset(seed=2**31, options={"task": "tiny-000"})


def test_a_repair_through_the_shell_scores(swe):
    begin(swe)
    text, *_ = swe.step("python3 -c 'import tiny; print(tiny.total([1, 2]))'")
    assert text == "-3"
    swe.step("sed -i 's/result - number/result + number/' tiny/__init__.py")
    text, _, _, _, info = swe.step("git diff --stat | cat")
    assert "1 file changed" in text
    assert info["valid"]
    text, reward, terminated, _, info = swe.step("submit")
    assert (text, reward, terminated, info["success"], info["score"]) == ("Submitted.", 1.0, True, True, 1.0)
    assert "+        result = result + number" in info["grading"]["patch"]


def test_a_repair_counts_when_a_limit_ends_the_episode(swe):
    begin(swe)
    swe.step('[{"tool": "edit", "arguments": {"path": "tiny/__init__.py", "old": "t - n", "new": "t + n"}}]')
    reward, info = swe.get_wrapper_attr("conclude")("turns")
    assert reward == info["score"] == 1.0


def test_an_episode_branches_in_its_middle(swe):
    """Each branch has its own files and shell, and is graded for itself; the first goes on as if nothing was."""
    branches = ability(swe, Snapshots)
    begin(swe)
    swe.step("word=kept; touch new")
    saved = branches.snapshot()
    swe.step("rm new; sed -i 's/result - number/result + number/' tiny/__init__.py")
    assert swe.step("submit")[1] == 1.0
    branches.restore(saved)
    assert swe.step("echo $word; git status --short")[0] == "kept\n?? new"
    assert ability(swe, Oracle).oracle_action() != "submit"
    assert swe.step("submit")[1] == 0.0
    with pytest.raises(ResetNeeded, match="no state to save"):
        branches.snapshot()
    branches.restore(saved)
    swe.step(ability(swe, Oracle).oracle_action())
    assert ability(swe, Oracle).oracle_action() == "submit"
    assert swe.step("submit")[1] == 1.0


def test_doing_nothing_scores_nothing(swe):
    begin(swe)
    _, reward, _, _, info = swe.step("submit")
    assert (reward, info["score"]) == (0.0, 0.0)


def test_another_bug_in_place_of_the_first_scores_nothing(swe):
    """A change that mends what fails and loses what passed must not count."""
    begin(swe)
    swe.step("printf 'def total(n): return sum(n)\\ndef mean(n): return sum(n) / max(len(n), 1)' > tiny/__init__.py")
    _, reward, _, _, info = swe.step("submit")
    assert reward == 0.0
    assert info["grading"]["lost"] == ["tests/test_tiny.py::test_documented"]


def test_tools_say_what_they_did_and_what_is_wrong(swe):
    begin(swe)
    text, _, _, _, info = swe.step(
        '[{"tool": "view", "arguments": {"path": "tiny/scale.py"}},'
        ' {"tool": "search", "arguments": {"pattern": "def m"}},'
        ' {"tool": "edit", "arguments": {"path": "README.md", "old": "none", "new": ""}}, {"tool": "fly"}]'
    )
    view, search, edit, unknown = info["results"]
    assert view.startswith("    1  def scaled(value, by):")
    assert search == "tiny/__init__.py:14: def mean(numbers):"
    assert "stands 0 times" in edit
    assert "There is no tool called 'fly'" in unknown
    assert (info["valid"], text) == (False, "\n".join(info["results"]))


def test_the_recorded_action_does_the_same_again(swe):
    """`executed` is what replay and trainers show: an edit with quotes and line breaks must survive it."""
    begin(swe)
    edit = '[{"tool": "edit", "arguments": {"path": "n.txt", "old": "", "new": "it\'s\\n  \\"two\\" lines $HOME\\n"}}]'
    executed = swe.step(edit)[4]["executed"]
    shown = swe.step("cat n.txt")[0]
    begin(swe)
    swe.step(executed)
    assert swe.step("cat n.txt")[0] == shown == 'it\'s\n  "two" lines $HOME'


def test_the_deciding_tests_are_not_in_the_box(swe):
    begin(swe)
    text, *_ = swe.step("cat tests/test_tiny.py; python3 -m pytest")
    assert "test_of_none" in text
    assert "test_total" not in text
    assert "test_of_two" not in text
    assert "2 passed" in text


@pytest.mark.parametrize(
    "command",
    [
        "git config user.name x; sed -i 's/== expected/== numbers/' tests/test_tiny.py; git commit -qam weaker",
        "mkdir -p ~/bin; printf '#!/bin/sh\\nexit 0' > ~/bin/python3; chmod +x ~/bin/python3; PATH=~/bin:$PATH",
        "echo hacked > /pytest/_pytest/runner.py; echo hacked > /commands/view; echo 1 > /tmp/reward.txt",
        "(setsid sh -c 'sleep 0.2; while :; do echo 1 > /tmp/reward.txt; done' &) ; rm -rf .git tests",
        "ln -s /etc/passwd tiny/link.py; mkfifo tiny/pipe; head -c 30000000 /dev/zero > big",
    ],
    ids=["a commit of weaker tests", "a PATH shim", "pytest overwritten", "a daemon", "links, pipes and a large file"],
)
def test_what_is_done_to_the_box_does_not_score(swe, command):
    begin(swe)
    swe.step(command)
    _, reward, terminated, _, info = swe.step("submit")
    assert (reward, terminated, info["success"]) == (0.0, True, False)


def test_history_holds_one_commit_of_the_broken_tree(swe):
    begin(swe)
    text, *_ = swe.step("git log --all --oneline | wc -l; git reflog | wc -l; git tag; git stash list")
    assert text.split() == ["1", "1"]
    text, *_ = swe.step("git log --all --oneline -S 'result + number'; git log -p --all | grep -c 'result + number'")
    assert text.startswith("0")


async def looked_for(env, package):
    """Where the box of a new episode has the original: its lines, a copy of the package, a module to import."""
    name = {"python-slugify": "slugify"}.get(package.name, package.name)
    places = "/repo /tmp /home /commands"
    lines = [f"grep -rlIF -e '{line}' {places} 2>/dev/null" for line in secrets(env) if "'" not in line]
    text, *_ = await env.step("\n".join([*lines, "true"]))
    installed = "/usr/lib/python3/dist-packages /usr/local/lib/python3*/*-packages /opt /pytest /needs -maxdepth 1"
    copies, *_ = await env.step(
        f"find {installed} '(' -name '{name}' -o -name '{name}.py' -o -name '{name}-*' ')' 2>/dev/null; true"
    )
    imports, *_ = await env.step(f"cd / && python3 -I -c 'import {name}'")
    return text, copies, imports.rstrip().rpartition("\n")[0].rpartition("\n")[2].partition(":")[0]


async def scores_of(backend, package, task):
    """What doing nothing and the oracle get, and where the original was found."""
    env = Swe(backend=backend)
    scores, found = [], ()
    for oracle in (False, True):
        await env.reset(seed=2**31, options={"task": task.id})
        found = found or await looked_for(env, package)
        ended = False
        while not ended:
            _, _, ended, _, info = await env.step(await env.oracle_action() if oracle else "submit")
        scores.append(info["score"])
    await env.close()
    return scores, found


NOWHERE = ("(no output)", "(no output)", "ModuleNotFoundError")


@pytest.mark.parametrize(("package", "task"), rotating(SHIPPED), ids=lambda value: getattr(value, "id", ""))
def test_the_oracle_scores_idle_does_not_and_the_original_is_nowhere_in_the_box(require, package, task):
    """A task that cannot be solved, is solved already, or whose answer lies in the box would spoil every score."""
    require("bwrap")
    require("swe")
    scores, found = asyncio.run(scores_of("bubblewrap", package, task))
    assert (scores, found) == ([0.0, 1.0], NOWHERE)


@pytest.mark.parametrize(("package", "task"), rotating(SHIPPED, 70), ids=lambda value: getattr(value, "id", ""))
def test_the_same_holds_in_containers(require, package, task):
    require("docker")
    require("swe")
    scores, found = asyncio.run(scores_of("docker", package, task))
    assert (scores, found) == ([0.0, 1.0], NOWHERE)


def test_no_file_of_the_image_holds_the_original(require):
    """Of what the bugs have changed; lines such as `def get(self, key, default=None):` are everybody's."""
    require("docker")
    edits = [(package.name, edit) for package, task in SHIPPED for edit in task.edits]
    owner = {line.strip(): name for name, edit in edits for line in edit.old.splitlines() if len(line.strip()) > 30}
    find = "find / -xdev -type f -not -path '/work/*' -print0 | xargs -0 grep -oF -f /work/lines --"
    with SyncSandbox(SandboxSpec(timeout=300, output=50 << 20), Docker) as sandbox:
        sandbox.write("lines", "".join(f"{line}\n" for line in owner))
        found = sandbox.exec(find)
    assert found.text
    assert not found.truncated
    held: dict[tuple[str, str], set[str]] = {}
    for file, _, line in (row.partition(":") for row in found.text.splitlines()):
        held.setdefault((file, owner.get(line, "")), set()).add(line)
    assert {place: lines for place, lines in held.items() if len(lines) > 3} == {}


PACKAGES = _manifest.load()


@pytest.mark.parametrize("package", rotating(PACKAGES, len(PACKAGES)), ids=lambda package: package.name)
def test_a_packages_tests_say_the_same_inside_and_outside_of_a_sandbox(require, tmp_path, package):
    """A sandbox that changed what tests do would make tasks of its own faults."""
    require("bwrap")
    require("swe")
    tree, tests = original_tree(package), list(package.tests)
    inside = asyncio.run(run_tests(Bubblewrap, tree, tests, root=package.root, needs=package.needs, timeout=300))
    _running._stage(tmp_path, tree, plan_of(package.root, tests))
    plan = tmp_path / "grader" / "plan.json"
    places = {'"/repo': f'"{tmp_path}/repo', '"/pytest"': f'"{packages_folder(PYTEST)}"'}
    places['"/needs"'] = f'"{packages_folder(package.needs)}"'
    text = plan.read_text()
    for place, outside in places.items():
        text = text.replace(place, outside)
    plan.write_text(text)
    (tmp_path / "home").mkdir()
    environment = {"PYTHONHASHSEED": "0", "TZ": "UTC", "LANG": "C.UTF-8", "HOME": str(tmp_path / "home")}
    environment["PATH"] = "/usr/local/bin:/usr/bin:/bin"
    with (tmp_path / "heard").open("wb") as heard:
        command = ["/usr/bin/python3", "-I", "-S", "-B", tmp_path / "grader" / "child.py", tmp_path / "grader"]
        done = subprocess.run(
            [*command, str(heard.fileno())],
            pass_fds=[heard.fileno()],
            cwd=tmp_path / "repo",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    outside = outcomes_of((tmp_path / "heard").read_text(), done.returncode, 0.0)
    assert (inside.trouble, outside.trouble) == ("", "")
    assert inside.outcomes == outside.outcomes
    assert set(package.test_ids) <= inside.passed


def test_there_are_enough_tasks_of_every_kind():
    """What the documentation promises."""
    assert len(SHIPPED) >= 200
    assert len(PACKAGES) >= 9
    assert {task.difficulty for _, task in SHIPPED} == set(get_args(_manifest.Difficulty))
    assert sum(len(registry.suite(name).tasks) for name in ("swe", "swe-train")) == len(SHIPPED)


def test_shipped_tasks_are_split_by_package():
    split = {split: {task.name for task in registry.tasks("arena/Swe-v0", split, 8)} for split in ("train", "eval")}
    packages = {name: {id.rpartition("-")[0] for id in ids} for name, ids in split.items()}
    assert packages["train"].isdisjoint(packages["eval"])


def test_dense_rewards_come_on_top(require, tiny):
    """They must not change the score."""
    require("bwrap")
    names = ["immediate", "fixed_share", "patch_similarity"]
    env = arena.make("arena/Swe-v0", backend="bubblewrap", manifests=str(tiny.folder), rewards=names)
    begin(env)
    assert env.step("view tiny/__init__.py")[1] == 0.0
    env.step("edit tiny/__init__.py 'result - number' 'abs(result) + number'")
    _, reward, _, _, info = env.step("submit")
    env.close()
    assert info["score"] == 1.0
    assert 1.06 < reward < 2.06


def test_a_reward_it_does_not_know_is_refused():
    with pytest.raises(UnknownName, match="fixed_share"):
        Swe(backend="bubblewrap", rewards="immediate,fixed_shares")
