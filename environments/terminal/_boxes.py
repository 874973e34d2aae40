"""Sandboxes with a task's files in them: the agent's, and the fresh one in which its work is verified."""

from __future__ import annotations

import asyncio
import posixpath
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from arena.core.errors import EnvironmentFailure, MissingPrerequisite
from arena.environments.terminal._dockerfile import Copy, Recipe, Run, read_dockerfile
from arena.environments.terminal._formats import TerminalTask, read_task
from arena.sandboxes import Docker, Sandbox, SandboxSpec, images
from arena.sandboxes._held import temporary_folder

__all__ = ["LOGS", "Plan", "open_box", "plan_for", "plan_of_image", "unpack"]

MIB = 1 << 20
LOGS = "/logs"
PREPARE_SECONDS = 300.0
DISK = 256 * MIB


@dataclass(frozen=True)
class Plan:
    """How a task's sandboxes are made.

    Attributes:
        image: in the back end's terms; None for its default.
        folders: the writable ones: first where commands start, last where the verifier writes.
        recipe: what is done in each new sandbox.
        content: archives of what the image has in the folders, which a sandbox's own would hide.
    """

    image: str | None
    folders: tuple[str, ...]
    env: Mapping[str, str]
    recipe: Recipe | None = None
    content: Mapping[str, bytes] | None = None

    @property
    def work(self) -> tuple[str, ...]:
        """The folders that the agent's work is in."""
        return self.folders[:-1]


@cache
def plan_for(folder: Path, back_end: type[Sandbox]) -> Plan:
    """Read the Dockerfile; build or find the image where the engine has what it starts from.

    Raises:
        MissingPrerequisite: it starts from an image that is not here and that ours cannot stand in for.
        UsageError: the Dockerfile cannot be read or built.
    """
    task = read_task(folder)
    recipe = read_dockerfile(task.build / "Dockerfile") if task.build else Recipe(base=task.image or "", stages=1)
    if issubclass(back_end, Docker):
        from arena.sandboxes import _docker_engine

        if images.exists(_docker_engine.client(), recipe.base):
            name = f"arena-terminal/{folder.name.lower()}:1"
            return plan_of_image(images.build(task.build, name) if task.build else recipe.base, task.workdir, task.env)
    if not recipe.replaceable:
        how = f'docker pull {recipe.base}, and backend="docker"'
        raise MissingPrerequisite(
            f"The task {task.name} starts from the image {recipe.base!r}, which is not here.", how
        )
    image = images.build_base(recipe.packages) if issubclass(back_end, Docker) and recipe.packages else None
    workdir = task.workdir or (recipe.workdir if recipe.workdir != "/" else "/app")
    targets = [step.target if step.into else posixpath.dirname(step.target) for step in _copies(recipe)]
    folders = dict.fromkeys([workdir, *map(_top, (target for target in targets if not _within(target, workdir)))])
    return Plan(image, (*folders, LOGS), {**recipe.env, **task.env}, recipe)


async def open_box(
    back_end: type[Sandbox], task: TerminalTask, plan: Plan, read_only: Mapping[str, str] | None = None
) -> Sandbox:
    """A new sandbox with the task's files.

    Raises:
        SandboxUnavailable: it did not come up.
        EnvironmentFailure: a line of the Dockerfile failed.
    """
    spec = SandboxSpec(
        image=plan.image,
        folders=plan.folders,
        read_only=dict(read_only or {}),
        env=plan.env,
        memory=task.memory,
        cpus=task.cpus,
        disk=DISK,
    )
    sandbox = await back_end.create(spec)
    try:
        await sandbox.exec(["mkdir", "-p", f"{LOGS}/verifier", f"{LOGS}/agent", f"{LOGS}/artifacts"])
        await unpack(sandbox, plan)
        if plan.recipe and task.build:
            for step in plan.recipe.steps:
                await (_copy(sandbox, task.build, step) if isinstance(step, Copy) else _run(sandbox, task, step))
    except BaseException:
        await sandbox.close()
        raise
    return sandbox


async def _run(sandbox: Sandbox, task: TerminalTask, step: Run) -> None:
    done = await sandbox.exec(f"mkdir -p {step.cwd} && cd {step.cwd} && {step.command}", timeout=PREPARE_SECONDS)
    if done.exit_code != 0:
        said = (done.error_text or done.text)[-800:].strip()
        raise EnvironmentFailure(f"The task {task.name} could not be prepared: RUN {step.command[:200]}\n{said}")


async def _copy(sandbox: Sandbox, build: Path, step: Copy) -> None:
    with temporary_folder() as staged:
        await asyncio.to_thread(_stage, build, step, staged)
        await sandbox.upload(staged, step.target if step.into else posixpath.dirname(step.target))


def _stage(build: Path, step: Copy, staged: Path) -> None:
    """Lay the files out as they shall lie in the folder that is uploaded."""
    for pattern in step.sources:
        found = [build] if pattern in (".", "./") else sorted(build.glob(pattern.strip("/").removeprefix("./")))
        if not found:
            raise EnvironmentFailure(f"COPY {pattern}: there is no such file in {build}.")
        for source in found:
            if source.is_dir():
                inside = staged if step.into else staged / PurePosixPath(step.target).name
                shutil.copytree(source, inside, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy(source, staged / (source.name if step.into else PurePosixPath(step.target).name))


def plan_of_image(image: str, workdir: str | None = None, env: Mapping[str, str] | None = None) -> Plan:
    """Of an image that the engine has: its variables and folder, and what is in that.

    Raises:
        SandboxUnavailable: the engine did not hand it out.
    """
    from arena.sandboxes import _docker_engine

    api = _docker_engine.client()
    with _docker_engine.errors_of_ours("given its files"):
        config = api.inspect_image(image)["Config"]
        place = str(workdir or config.get("WorkingDir") or "/app")
        place = place if place != "/" else "/app"
        container = api.create_container(image, command=["true"])["Id"]
        try:
            archive = _archive(api, container, place)
        finally:
            api.remove_container(container, force=True)
    own = dict(item.split("=", 1) for item in config.get("Env") or ())
    return Plan(image, (place, LOGS), {**own, **(env or {})}, content={place: archive} if archive else {})


async def unpack(sandbox: Sandbox, plan: Plan) -> None:
    """Put into a new sandbox what its image has in the folders."""
    for place, archive in (plan.content or {}).items():
        await sandbox.exec(["tar", "-C", place, "--strip-components=1", "-xf", "-", "--no-same-owner"], stdin=archive)


def _archive(api: object, container: str, place: str) -> bytes:
    from docker.errors import NotFound

    try:
        pieces, _ = api.get_archive(container, place)  # type: ignore[attr-defined]
    except NotFound:
        return b""
    return b"".join(pieces)


def _copies(recipe: Recipe) -> list[Copy]:
    return [step for step in recipe.steps if isinstance(step, Copy)]


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _top(path: str) -> str:
    """`/data` for `/data/in/x`."""
    return "/" + path.strip("/").split("/")[0]
