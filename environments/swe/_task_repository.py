"""Our tasks written as a task repository of SWE-bench 5, which its own harness builds, checks and evaluates.

A task's folder holds the broken package without the tests that decide, what runs the tests, and a Dockerfile that makes
an image of both without a network; `test.patch` brings the deciding tests in, and `gold.patch` takes the bug back.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shlex
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from arena.core.errors import MissingPrerequisite, UsageError
from arena.environments.swe._box import COMMIT, DATES
from arena.environments.swe._instances import FILES, INSTALL, STATEMENT, TESTS, WORKDIR
from arena.environments.swe._logs import BEGIN, END, reader
from arena.environments.swe._manifest import Package, SweTask
from arena.environments.swe._sources import PYTEST, Tree, fetch_archive
from arena.environments.swe._trees import Case, case_of, patch

__all__ = ["DATASET", "write_repository"]

DATASET = "arena/swe"
PARSER = "parse_log_pytest_v2"
SPLITS = {"eval": "test", "train": "train"}
PACKAGES = "/opt/packages"
OPTIONS = (
    "-rA --tb=no --color=no --import-mode=append --capture=sys --continue-on-collection-errors "
    "-p no:cacheprovider -p no:faulthandler"
)
DOCKERFILE = """FROM {base}
COPY wheels {packages}/wheels
RUN for wheel in {packages}/wheels/*.whl; do python3 -m zipfile -e "$wheel" {packages} || exit 1; done
ADD repository.tar.gz {folder}
WORKDIR {folder}
ENV PYTHONPATH={path} PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 TZ=UTC
RUN export {dates} && {commit}
"""
EVAL = """#!/bin/bash
set -uxo pipefail
cd {folder}
git config --global --add safe.directory {folder}
git checkout HEAD -- {files}
git apply --whitespace=nowarn - <<'{end_of_patch}'
{patch}
{end_of_patch}
: '{begin}'
python3 -m pytest {options} -c /dev/null --rootdir={folder} {tests}
: '{end}'
git checkout HEAD -- {files}
"""


def write_repository(folder: Path, tasks: Iterable[tuple[Package, SweTask]], base: str) -> Iterator[str]:
    """Write tasks, or add them to a task repository; yields the name of each once it is there.

    Args:
        folder: of the repository.
        tasks: which, with their packages.
        base: the image that the tasks' images start from: any with Python 3, git and bash.

    Raises:
        MissingPrerequisite: PyYAML is not installed.
        InfrastructureError: a source cannot be fetched.
    """
    try:
        import yaml
    except ImportError:
        raise MissingPrerequisite("Task repositories need PyYAML.", INSTALL) from None
    folder.mkdir(parents=True, exist_ok=True)
    about = {"datasets": [DATASET], "splits": sorted(SPLITS.values())}
    (folder / "sweb.yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
    for package, task in tasks:
        case = case_of(package, task)
        texts = {name: text.encode() for name, text in _texts(case, base).items()}
        texts["task.yaml"] = yaml.safe_dump(_about(case), allow_unicode=True).encode()
        texts["repository.tar.gz"] = _archive(case.handed_out)
        place = folder / "tasks" / task.id
        shutil.rmtree(place, ignore_errors=True)
        (place / "wheels").mkdir(parents=True)
        for wheel in (*PYTEST, *package.needs):
            source = fetch_archive(f"{wheel.name}=={wheel.version}", wheel.sha256, wheel=True)
            shutil.copyfile(source, place / "wheels" / f"{wheel.name}-{wheel.version}-py3-none-any.whl")
        for name, content in texts.items():
            (place / name).write_bytes(content)
        yield task.id


def _about(case: Case) -> dict[str, Any]:
    """What stands in task.yaml."""
    package, task = case.package, case.task
    return {
        "base_commit": commit_of(case.handed_out),
        "datasets": [DATASET],
        "difficulty": task.difficulty,
        "eval_type": "pass_and_fail",
        "image": f"swebench/sweb.eval.x86_64.{task.id}:latest".lower().replace("__", "_1776_"),
        "instance_id": task.id,
        "log_parser": PARSER,
        "repo": f"pypi/{package.name}",
        "split": SPLITS[package.split],
        "version": package.version,
    }


def _texts(case: Case, base: str) -> dict[str, str]:
    """The other files that are text: name -> content."""
    import json

    package, task = case.package, case.task
    told = {test for test in package.test_ids if _can_be_told(test)}
    failing = [test for test in task.fail_to_pass if test in told]
    if not failing:
        raise UsageError(f"{task.id}: none of its tests has a name that SWE-bench's reader of pytest's lines can read.")
    passing = [test for test in package.pass_to_pass(task) if test in told]
    test_patch = patch(case.handed_out, case.broken)
    changed = sorted(path for path in case.broken if case.broken[path] != case.handed_out.get(path))
    path = [f"{WORKDIR}/{package.root}".rstrip("/"), PACKAGES]
    script = EVAL.format(
        folder=WORKDIR,
        files=shlex.join(changed),
        patch=test_patch.rstrip("\n"),
        end_of_patch=f"EOF_{hashlib.sha256(test_patch.encode()).hexdigest()[:12]}",
        begin=BEGIN,
        end=END,
        options=OPTIONS,
        tests=shlex.join(sorted(package.tests)),
    )
    dates = " ".join(f"{name}={value}" for name, value in DATES.items())
    return {
        FILES["eval_script"]: script,
        FILES["patch"]: patch(case.broken, case.original),
        FILES["test_patch"]: test_patch,
        STATEMENT: f"{task.statement}\n",
        TESTS: json.dumps({"FAIL_TO_PASS": failing, "PASS_TO_PASS": passing}, indent=2, ensure_ascii=False) + "\n",
        "Dockerfile": DOCKERFILE.format(
            base=base,
            packages=PACKAGES,
            folder=WORKDIR,
            path=":".join(path),
            dates=dates,
            commit=COMMIT.replace("\n", " && "),
        ),
    }


def _can_be_told(test: str) -> bool:
    """Whether its name comes through pytest's summary and SWE-bench's reader whole."""
    lines = f"{BEGIN}\nPASSED {test}\n{END}", f"{BEGIN}\nFAILED {test} - assert 1 == 2\n{END}"
    read = reader(PARSER)
    return [read(line.partition("\n")[2].rpartition("\n")[0]) for line in lines] == [{test: "PASSED"}, {test: "FAILED"}]


def _archive(tree: Tree) -> bytes:
    """A tree as .tar.gz; equal trees give equal bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in sorted(tree.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def commit_of(tree: Tree) -> str:
    """The name that git gives to the one commit of a tree, as a task's box and image make it."""
    when = int(datetime.fromisoformat(DATES["GIT_COMMITTER_DATE"]).timestamp())
    person = f"agent <agent@localhost> {when} +0000"
    text = f"tree {_git_tree(tree).hex()}\nauthor {person}\ncommitter {person}\n\nThe package\n"
    return _git_name("commit", text.encode()).hex()


def _git_tree(tree: Tree) -> bytes:
    """The name of a folder's tree: its files and folders in git's order."""
    folders: dict[str, dict[str, bytes]] = {}
    entries: list[tuple[str, bytes]] = []
    for path, content in tree.items():
        name, below, rest = path.partition("/")
        if below:
            folders.setdefault(name, {})[rest] = content
        else:
            entries.append((name, b"100644 " + name.encode() + b"\0" + _git_name("blob", content)))
    for name, inside in folders.items():
        entries.append((f"{name}/", b"40000 " + name.encode() + b"\0" + _git_tree(inside)))
    return _git_name("tree", b"".join(entry for _, entry in sorted(entries, key=lambda pair: pair[0].encode())))


def _git_name(kind: str, content: bytes) -> bytes:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content, usedforsecurity=False).digest()
