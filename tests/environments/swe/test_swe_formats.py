"""Tasks of others: rows of SWE-bench and SWE-smith, task repositories, Harbor's folders; and ours written for them."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from playing import oracle_and_idle

import arena
from arena.core.errors import MissingPrerequisite, UnknownName, UsageError
from arena.environments.swe._box import COMMIT, DATES
from arena.environments.swe._image_box import eval_script
from arena.environments.swe._instances import read_instances
from arena.environments.swe._logs import BEGIN, END, judge_log, outcomes_in
from arena.environments.swe._sources import write_tree
from arena.environments.swe._task_repository import commit_of, write_repository
from arena.environments.swe._trees import patch

NONE, TOLD = "tests/test_tiny.py::TestMean::test_of_none", "tests/test_tiny.py::test_documented"
ROW = {
    "instance_id": "tiny__tiny-1",
    "repo": "tiny/tiny",
    "base_commit": "abc",
    "version": "1.0",
    "problem_statement": "It does not add.",
    "hints_text": "",
    "patch": "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x\n+y\n",
    "test_patch": "diff --git a/tests/test_a.py b/tests/test_a.py\n--- a/tests/test_a.py\n+++ b/tests/test_a.py\n",
    "FAIL_TO_PASS": ["tests/test_a.py::test_x"],
    "PASS_TO_PASS": ["tests/test_a.py::test_y[a b]", "tests/test_a.py::test_z"],
}
SMITH = {
    "instance_id": "tiny__tiny.abc.combine_file__1",
    "repo": "swesmith/tiny__tiny.abc",
    "image_name": "swesmith/tiny:abc",
    "FAIL_TO_PASS": [NONE],
    "PASS_TO_PASS": [TOLD],
}


def written(folder, name, rows):
    """A file of rows in the format that its name says."""
    path = folder / name
    if name.endswith(".parquet"):
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif name.endswith(".jsonl"):
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.parquet"])
@pytest.mark.parametrize("as_json", [False, True], ids=["lists", "lists as JSON"])
def test_every_format_of_rows_gives_the_same_task(require, tmp_path, name, as_json):
    if name.endswith(".parquet"):
        require("pyarrow")
    row = {key: json.dumps(value) if as_json and isinstance(value, list) else value for key, value in ROW.items()}
    (instance,) = read_instances(written(tmp_path, name, [row])).values()
    assert instance.fail_to_pass == ("tests/test_a.py::test_x",)
    assert instance.pass_to_pass == ("tests/test_a.py::test_y[a b]", "tests/test_a.py::test_z")
    assert instance.images == (
        "sweb.eval.x86_64.tiny__tiny-1:latest",
        "swebench/sweb.eval.x86_64.tiny_1776_tiny-1:latest",
    )
    assert (instance.solution, instance.bug, instance.statement) == (ROW["patch"], "", "It does not add.")


def test_what_swe_smith_calls_patch_is_the_bug(tmp_path):
    (instance,) = read_instances(written(tmp_path, "smith.json", [{**SMITH, "patch": ROW["patch"]}])).values()
    assert (instance.bug, instance.solution, instance.images[0]) == (ROW["patch"], "", "swesmith/tiny:abc")
    assert "1 of the repository's tests fail" in instance.statement


def test_rows_that_are_none_say_what_is_wrong(tmp_path):
    with pytest.raises(UsageError, match="FAIL_TO_PASS"):
        read_instances(written(tmp_path, "a.json", [{**ROW, "FAIL_TO_PASS": []}]))
    with pytest.raises(UsageError, match=r"Row 0 .* KeyError: 'patch'"):
        read_instances(written(tmp_path, "b.json", [SMITH]))
    (tmp_path / "c.csv").write_text("")
    with pytest.raises(UsageError, match=r"\.parquet are read"):
        read_instances(tmp_path / "c.csv")
    (other,) = read_instances(written(tmp_path, "d.json", [{**ROW, "FAIL_TO_PASS": ["test_x (app.Tests)"]}])).values()
    with pytest.raises(UsageError, match="`eval_script` and `log_parser`"):
        eval_script(other)


def log(*lines, code=0):
    """What a script of SWE-bench's prints."""
    return "\n".join(["+ noise", f"+ : '{BEGIN}'", *lines, f"+ : '{END}'", f">>>>> Test Exit Code: {code}", ""])


@pytest.mark.parametrize(
    ("parser", "line", "test", "outcome"),
    [
        ("parse_log_pytest", "FAILED a.py::t[1] - assert 0", "a.py::t[1]", "FAILED"),
        ("parse_log_pytest_options", "PASSED a.py::t[/tmp/x/b.txt]", "a.py::t[/b.txt]", "PASSED"),
        ("parse_log_pytest_v2", "PASSED a.py::t[one two]", "a.py::t[one two]", "PASSED"),
        ("parse_log_pytest_v2", "\x1b[32mPASSED\x1b[0m a.py::t", "a.py::t", "PASSED"),
        ("parse_log_pytest_v2", "a.py::t ERROR", "a.py::t", "ERROR"),
        ("parse_log_pytest_verbose", "a.py::t SKIPPED (why) [ 3%]", "a.py::t", "SKIPPED"),
        ("parse_log_django", "test_x (app.Tests) ... noise\nok", "test_x (app.Tests)", "PASSED"),
        ("parse_log_django", "test_x (app.Tests) ... skipped 'why'", "test_x (app.Tests)", "SKIPPED"),
        ("parse_log_django", "FAIL: test_x (app.Tests)", "test_x", "FAILED"),
        ("parse_log_sympy", "test_x F", "test_x", "FAILED"),
        ("parse_log_sympy", "____ a/b.py:test_x ____", "a/b.py:test_x", "FAILED"),
        ("parse_log_seaborn", "a.py::t PASSED [ 3%]", "a.py::t", "PASSED"),
        ("parse_log_matplotlib", "PASSED a.py::t[MouseButton.LEFT]", "a.py::t[1]", "PASSED"),
    ],
)
def test_logs_are_read_as_swe_bench_reads_them(parser, line, test, outcome):
    assert outcomes_in(log(*line.split("\n")), parser) == {test: outcome}


def test_a_kind_of_log_that_nobody_reads_is_named():
    with pytest.raises(UnknownName, match="parse_log_pytest"):
        outcomes_in("", "parse_log_pitest")


def test_a_log_counts_only_where_all_of_it_agrees(tmp_path):
    (instance,) = read_instances(written(tmp_path, "rows.json", [ROW])).values()
    good = ["PASSED tests/test_a.py::test_x", "PASSED tests/test_a.py::test_y[a b]", "SKIPPED tests/test_a.py::test_z"]
    assert judge_log(instance, log(*good)) == (1.0, (), "")
    assert judge_log(instance, log(*good[:2]))[1] == ("tests/test_a.py::test_z",)
    assert judge_log(instance, log("SKIPPED tests/test_a.py::test_x", *good[1:]))[0] == 0.0
    assert "exited with 1" in judge_log(instance, log(*good, code=1))[2]
    assert "No test" in judge_log(instance, log())[2]
    assert "end" in judge_log(instance, "\n".join(good))[2]


@pytest.fixture
def repository(tiny, tmp_path):
    """The tiny task as a task repository, from an image with a name of its own."""

    def write(base):
        folder = tmp_path / "repository"
        assert list(write_repository(folder, [(tiny.case.package, tiny.case.task)], base)) == ["tiny-000"]
        return folder

    return write


def test_what_is_written_is_read_as_the_same_task(tiny, repository):
    folder = repository("some/base:1")
    (instance,) = read_instances(folder).values()
    case = tiny.case
    assert (instance.id, instance.repo, instance.version) == ("tiny-000", "pypi/tiny", "1.0")
    assert instance.statement == case.task.statement
    assert instance.fail_to_pass == case.task.fail_to_pass
    assert instance.pass_to_pass == case.package.pass_to_pass(case.task)
    assert instance.solution == patch(case.broken, case.original)
    assert instance.test_patch == patch(case.handed_out, case.broken)
    assert instance.images[0] == "swebench/sweb.eval.x86_64.tiny-000:latest"
    assert instance.build == folder / "tasks" / "tiny-000"


def test_it_has_what_swe_bench_5_checks_before_it_goes_on(repository):
    """The rules of `swebench task check` (5.0.2): files, keys, types, marks, the image's name."""
    import yaml

    folder = repository("some/base:1")
    task = folder / "tasks" / "tiny-000"
    files = {"task.yaml", "tests.json", "Dockerfile", "gold.patch", "test.patch", "eval.sh", "problem_statement.md"}
    assert files <= {path.name for path in task.iterdir()}
    about, config = yaml.safe_load((task / "task.yaml").read_text()), yaml.safe_load((folder / "sweb.yaml").read_text())
    keys = {"instance_id", "repo", "version", "base_commit", "split", "image", "log_parser", "eval_type", "datasets"}
    assert keys <= set(about)
    assert set(about["datasets"]) <= set(config["datasets"])
    assert about["split"] in config["splits"]
    tests = json.loads((task / "tests.json").read_text())
    assert all(isinstance(test, str) for key in ("FAIL_TO_PASS", "PASS_TO_PASS") for test in tests[key])
    script = (task / "eval.sh").read_text()
    assert script.index(BEGIN) < script.index(END)
    assert (task / "gold.patch").read_text().startswith("diff --git ")


def test_the_commit_is_the_one_that_git_makes(require, tiny, tmp_path):
    require("git")
    write_tree(tiny.case.handed_out, tmp_path)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path.parent), **DATES}
    command = f"{COMMIT} && git rev-parse HEAD"
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == commit_of(tiny.case.handed_out)


def test_tasks_of_images_say_what_they_lack(require, repository):
    """No container, no image: an error with the line that helps, and no score."""
    require("bwrap")
    env = arena.make("arena/Swe-v0", tasks=str(repository("some/base:1")), backend="bubblewrap")
    with pytest.raises(MissingPrerequisite, match="image"):
        env.reset(seed=2**31, options={"task": "tiny-000"})
    with pytest.raises(UnknownName, match="tiny-000"):
        env.reset(seed=2**31, options={"task": "tiny-001"})
    env.close()


def scores(env, id):
    """What the oracle and doing nothing get, and what the grading of each said."""
    return [(info["score"], info["grading"]["trouble"]) for info in oracle_and_idle(env, id)]


def test_harbors_folders_are_tasks_too(require, tmp_path):
    require("bwrap")
    root = tmp_path / "job"
    for part in ("environment", "solution", "tests"):
        (root / part).mkdir(parents=True)
    (root / "task.toml").write_text('version = "1.0"\n')
    (root / "instruction.md").write_text("Make total add.\n")
    dockerfile = "FROM debian:bookworm-slim\nWORKDIR /app\nCOPY sums.py .\n"
    (root / "environment" / "Dockerfile").write_text(dockerfile)
    (root / "environment" / "sums.py").write_text("def total(a, b):\n    return a - b\n")
    (root / "solution" / "solve.sh").write_text("edit sums.py 'a - b' 'a + b'\n")
    test = "import sums\nopen('/logs/verifier/reward.txt', 'w').write(str(int(sums.total(1, 2) == 3)))\n"
    (root / "tests" / "test.sh").write_text(f"python3 - <<'END'\n{test}END\n")
    env = arena.make("arena/Swe-v0", tasks=str(tmp_path), backend="bubblewrap")
    assert [score for score, _ in scores(env, "job")] == [1.0, 0.0]
    env.close()


@pytest.fixture
def docker(require):
    require("docker")
    from arena.sandboxes import images

    return images.base_name()


def test_images_are_built_used_and_graded(docker, tiny, repository, tmp_path):
    """A task repository's own image, a row of SWE-bench's and one of SWE-smith's that name it, and a missing one."""
    folder = repository(docker)
    env = arena.make("arena/Swe-v0", tasks=str(folder), backend="docker")
    assert scores(env, "tiny-000") == [(1.0, ""), (0.0, "Nothing that counts was changed.")]
    env.reset(seed=2**31, options={"task": "tiny-000"})
    env.step("printf 'def pytest_runtest_makereport(item, call):\\n    call.excinfo = None\\n' >conftest.py")
    env.step("echo >>tests/test_tiny.py; echo '# looked at' >>tiny/scale.py")
    history = env.step("git log --oneline | wc -l")[0]
    info = env.step("submit")[4]
    env.close()
    assert (history, info["score"], info["grading"]["ignored"]) == ("1", 0.0, ["conftest.py", "tests/test_tiny.py"])

    (own,) = read_instances(folder).values()
    row = {**ROW, "image": own.images[0], "patch": own.solution, "test_patch": own.test_patch, "eval_script": ""}
    row |= {"FAIL_TO_PASS": list(own.fail_to_pass), "PASS_TO_PASS": list(own.pass_to_pass)}
    lost = {"tiny/__init__.py": tiny.case.handed_out["tiny/__init__.py"].replace(b"else 0", b"else 1")}
    bug = patch(tiny.case.handed_out, {**tiny.case.handed_out, **lost})
    smith = {**SMITH, "image_name": own.images[0], "patch": bug, "log_parser": "parse_log_pytest_verbose"}
    missing = {**ROW, "instance_id": "missing-1"}
    env = arena.make(
        "arena/Swe-v0", tasks=str(written(tmp_path, "rows.jsonl", [row, smith, missing])), backend="docker"
    )
    assert [score for score, _ in scores(env, row["instance_id"])] == [1.0, 0.0]
    assert [score for score, _ in scores(env, smith["instance_id"])] == [1.0, 0.0]
    with pytest.raises(MissingPrerequisite, match=r"no image for the task missing-1"):
        env.reset(seed=2**31, options={"task": "missing-1"})
    env.close()
