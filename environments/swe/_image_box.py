"""Boxes made of the images that rows name, and the grading of what was done in one.

The agent's changes are put into a fresh container of the same image; there the row's own script brings the deciding
tests in and runs them, and its log is read as SWE-bench reads it. That log is written by the tested code's
process, so it can be forged: only packages are graded as `arena.environments.swe._grading` says.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping
from functools import lru_cache

from arena.core.errors import EnvironmentFailure, MissingPrerequisite, UsageError
from arena.environments.swe._box import COMMANDS, Box, commit, write_commands
from arena.environments.swe._grading import Verdict
from arena.environments.swe._instances import WORKDIR, Instance
from arena.environments.swe._logs import BEGIN, END, EXIT_CODE, judge_log, reader
from arena.environments.swe._sources import write_tree
from arena.environments.swe._trees import Changes
from arena.environments.terminal._boxes import Plan, plan_of_image, unpack
from arena.sandboxes import Docker, Sandbox, SandboxSpec, images
from arena.sandboxes._held import temporary_folder

__all__ = ["eval_script", "grade_in_image", "image_of", "open_image"]

GIB = 1 << 30
OUTPUT = 128 << 20
EVAL = "/eval"
PREFIX = ("#!/bin/bash", "set -uxo pipefail")
APPLY = "git apply --whitespace=nowarn {0} || patch --batch --forward -p1 -i {0}"
WRITTEN = """cd {folder}
if [ -f /opt/miniconda3/bin/activate ]; then source /opt/miniconda3/bin/activate; conda activate testbed; fi
{apply}: '{begin}'
python3 -m pytest -rA --tb=no -p no:cacheprovider {files}
: '{end}'"""


async def open_image(back_end: type[Sandbox], instance: Instance) -> tuple[Box, Mapping[str, bytes]]:
    """A box with the repository of the task's image, its bug brought in, and the files as they are handed out.

    Raises:
        MissingPrerequisite: no Docker, or no such image.
        SandboxUnavailable: the container did not come up.
        EnvironmentFailure: the row's bug does not fit its image.
    """
    with temporary_folder() as folder:
        write_commands(folder / "commands")
        sandbox = await _fresh(back_end, instance, {COMMANDS: f"{folder}/commands"})
    try:
        await sandbox.exec(["rm", "-rf", ".git"])
        box = Box(sandbox, await sandbox.shell(), WORKDIR)
        handed_out = await box.result()
        await commit(sandbox)
    except BaseException:
        await sandbox.close()
        raise
    return box, handed_out


async def grade_in_image(back_end: type[Sandbox], instance: Instance, changes: Changes, timeout: float) -> Verdict:
    """Grade changes in a fresh container.

    Raises:
        SandboxUnavailable: the infrastructure failed, so there is no verdict.
    """
    if not changes.counted:
        return Verdict(False, trouble="Nothing that counts was changed.")
    with temporary_folder() as folder:
        (folder / "given").mkdir()
        (folder / "given" / "eval.sh").write_text(eval_script(instance), encoding="utf-8")
        (folder / "given" / "test.patch").write_text(instance.test_patch, encoding="utf-8")
        written = {path: content for path, content in changes.counted.items() if content is not None}
        write_tree(written, folder / "changes")
        (folder / "changes").mkdir(exist_ok=True)
        async with await _fresh(back_end, instance, {EVAL: str(folder / "given")}) as sandbox:
            gone = [f"{WORKDIR}/{path}" for path, content in changes.counted.items() if content is None]
            if gone:
                await sandbox.exec(["rm", "-f", "--", *gone])
            await sandbox.upload(folder / "changes", WORKDIR)
            done = await sandbox.exec(["bash", f"{EVAL}/eval.sh"], timeout=timeout, max_output=OUTPUT, merge=True)
    if done.timed_out:
        return Verdict(False, trouble="The tests ran out of time.", seconds=done.duration)
    fixed, lost, trouble = judge_log(instance, done.text)
    success = fixed == 1.0 and not lost and not trouble
    return Verdict(success, fixed, lost[:10], len(lost), trouble, done.duration)


def eval_script(instance: Instance) -> str:
    """The script that runs a task's tests: the row's own, or pytest on the files of its tests.

    It prints the exit code of the tests behind the last mark, as SWE-bench's harness has it.

    Raises:
        UsageError: there is none, and the tests are not pytest's; or nobody here reads its log.
    """
    reader(instance.log_parser)
    text = instance.eval_script
    if not text:
        if not all("::" in test for test in instance.fail_to_pass):
            raise UsageError(
                f"{instance.id} names tests that are not pytest's, such as {instance.fail_to_pass[0]!r}: its row must "
                "bring `eval_script` and `log_parser`, as SWE-bench 5 has them."
            )
        tests = (*instance.fail_to_pass, *instance.pass_to_pass)
        files = shlex.join(sorted({test.partition("::")[0] for test in tests}))
        apply = APPLY.format(f"{EVAL}/test.patch") + "\n" if instance.test_patch else ""
        text = WRITTEN.format(folder=WORKDIR, apply=apply, begin=BEGIN, end=END, files=files)
    lines: list[str] = []
    for line in text.splitlines():
        if line in PREFIX:
            continue
        mark = END in line and not any(END in earlier for earlier in lines)
        lines += ["ARENA_TESTS=$?", line, f'echo "{EXIT_CODE}: $ARENA_TESTS"'] if mark else [line]
    return "\n".join([*PREFIX, *lines]) + "\n"


def image_of(instance: Instance) -> str:
    """The image of a task: one that the engine has, or built from the Dockerfile that came with it.

    Raises:
        MissingPrerequisite: neither.
        UsageError: the Dockerfile cannot be built.
    """
    from arena.sandboxes import _docker_engine

    client = _docker_engine.client()
    for name in instance.images:
        if images.exists(client, name):
            return name
    if instance.build is not None:
        return images.build(instance.build, instance.images[0])
    if instance.dockerfile:
        with temporary_folder() as folder:
            (folder / "Dockerfile").write_text(instance.dockerfile, encoding="utf-8")
            return images.build(folder, instance.images[0])
    raise MissingPrerequisite(
        f"The Docker engine has no image for the task {instance.id}, and images are not pulled unasked.",
        f"docker pull {instance.images[0]}",
    )


async def _fresh(back_end: type[Sandbox], instance: Instance, read_only: Mapping[str, str]) -> Sandbox:
    """A container with the repository as the agent meets it, save that the image's history is there."""
    if not issubclass(back_end, Docker):
        raise MissingPrerequisite(f"The task {instance.id} lives in a container's image.", 'backend="docker"')
    plan = await asyncio.to_thread(_plan, image_of(instance))
    path = f"{COMMANDS}:{plan.env.get('PATH', '/usr/local/bin:/usr/bin:/bin')}"
    spec = SandboxSpec(
        image=plan.image,
        folders=(WORKDIR,),
        read_only=read_only,
        env={
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "TZ": "UTC",
            "PAGER": "cat",
            **plan.env,
            "PATH": path,
        },
        memory=4 * GIB,
        disk=2 * GIB,
        processes=1024,
    )
    sandbox = await back_end.create(spec)
    try:
        await unpack(sandbox, plan)
        if instance.bug:
            done = await sandbox.exec(APPLY.format("/dev/stdin"), stdin=instance.bug)
            if done.exit_code:
                raise EnvironmentFailure(f"The bug of {instance.id} does not fit its image: {done.error_text[-800:]}")
    except BaseException:
        await sandbox.close()
        raise
    return sandbox


@lru_cache(maxsize=2)
def _plan(image: str) -> Plan:
    """The last two are kept: a task needs its own twice, and a repository may be large."""
    return plan_of_image(image, WORKDIR)
