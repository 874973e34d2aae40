"""Where tasks come from: packages with a bug, images that rows name, and Harbor's folders; one face for all three."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from arena.core.errors import UnknownName, UsageError
from arena.core.seeds import Split, split_of_instance
from arena.core.tools import canonical
from arena.environments.swe import _manifest
from arena.environments.swe._box import COMMANDS, Box, open_box, write_commands
from arena.environments.swe._grading import Verdict, grade
from arena.environments.swe._image_box import grade_in_image, open_image
from arena.environments.swe._instances import Instance, is_repository, read_instances
from arena.environments.swe._rewards import patch_similarity
from arena.environments.swe._trees import Case, Changes, case_of, changed, compare, patch
from arena.environments.terminal import _boxes as terminal_boxes
from arena.environments.terminal._formats import find_tasks, read_task
from arena.environments.terminal._solutions import solution_of
from arena.environments.terminal._verifier import verify
from arena.sandboxes import Sandbox
from arena.sandboxes._held import temporary_folder

__all__ = ["Graded", "Job", "job_named", "names"]


@dataclass(frozen=True)
class Graded:
    """How a box was graded.

    Attributes:
        ignored: files whose changes do not count.
        patch: those that do.
        similarity: of the patch to the solution; 0 where it cannot be told.
    """

    verdict: Verdict
    ignored: tuple[str, ...] = ()
    patch: str = ""
    similarity: float = 0.0


class Job(Protocol):
    """One task: what is told, the box to work in, its grading, and a way to solve it."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def statement(self) -> str:
        """What the agent is told."""

    async def open(self, back_end: type[Sandbox]) -> Box:
        """A new box with the task in it."""

    async def grade(self, box: Box, back_end: type[Sandbox], timeout: float) -> Graded:
        """Grade what is in the box, which is closed afterwards."""

    def solution(self) -> Iterator[str]:
        """The oracle's actions, without the last `submit`."""

    def secrets(self) -> list[str]:
        """Lines that the agent is not to see."""


class PackageJob:
    """A bug in a package that was fetched by its hash."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.id, self.statement = case.task.id, case.task.statement

    async def open(self, back_end: type[Sandbox]) -> Box:
        """See `Job`."""
        return await open_box(back_end, self.case.package, self.case.handed_out)

    async def grade(self, box: Box, back_end: type[Sandbox], timeout: float) -> Graded:
        """See `Job`."""
        case = self.case
        try:
            changes = compare(case.handed_out, await box.result())
        except OSError as trouble:
            changes, verdict = Changes({}, ()), _not_taken_out(trouble)
        else:
            await box.close()
            verdict = await grade(case, changes, back_end, timeout)
        graded = changed(case.broken, changes)
        similarity = patch_similarity(case.broken, graded, case.original)
        return Graded(verdict, changes.ignored, patch(case.broken, graded), similarity)

    def solution(self) -> Iterator[str]:
        """See `Job`: the edits of the bug, taken back."""
        for edit in reversed(self.case.task.edits):
            yield canonical([("edit", {"path": edit.file, "old": edit.new, "new": edit.old})])

    def secrets(self) -> list[str]:
        """See `Job`: lines of the original that stand nowhere in what was handed out."""
        given = "\n".join(content.decode("latin-1") for content in self.case.handed_out.values())
        lines = {line.strip() for edit in self.case.task.edits for line in edit.old.splitlines()}
        return sorted(line for line in lines if len(line) > 10 and line.encode().decode("latin-1") not in given)


class ImageJob:
    """A row of SWE-bench or SWE-smith, or a task of a task repository."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.id, self.statement = instance.id, instance.statement
        self._before: Mapping[str, bytes] = {}

    async def open(self, back_end: type[Sandbox]) -> Box:
        """See `Job`."""
        box, self._before = await open_image(back_end, self.instance)
        return box

    async def grade(self, box: Box, back_end: type[Sandbox], timeout: float) -> Graded:
        """See `Job`."""
        try:
            await box.sandbox.exec(["rm", "-rf", ".git"])
            changes = compare(self._before, await box.result(), self.instance.is_protected)
        except OSError as trouble:
            return Graded(_not_taken_out(trouble))
        await box.close()
        shown = patch(self._before, changed(self._before, changes))
        return Graded(await grade_in_image(back_end, self.instance, changes, timeout), changes.ignored, shown)

    def solution(self) -> Iterator[str]:
        """See `Job`: the patch that comes with the row."""
        diff = self.instance.bug or self.instance.solution
        back = "-R " if self.instance.bug else ""
        end = "" if diff.endswith("\n") else "\n"
        yield f"git apply {back}- <<'END_OF_PATCH'\n{diff}{end}END_OF_PATCH"

    def secrets(self) -> list[str]:
        """See `Job`: lines that the solution adds."""
        sign, diff = ("-", self.instance.bug) if self.instance.bug else ("+", self.instance.solution)
        lines = {line[1:].strip() for line in diff.splitlines() if line[:1] == sign and line[:3] not in ("+++", "---")}
        return sorted(line for line in lines if len(line) > 10)


class FolderJob:
    """A folder in Harbor's format, verified as Terminal-v0 does."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.task = folder, read_task(folder)
        self.id, self.statement = self.task.name, self.task.instruction

    async def open(self, back_end: type[Sandbox]) -> Box:
        """See `Job`."""
        plan = terminal_boxes.plan_for(self.folder, back_end)
        path = f"{COMMANDS}:{plan.env.get('PATH', '/usr/local/bin:/usr/bin:/bin')}"
        with temporary_folder() as folder:
            write_commands(folder / "commands")
            own = replace(plan, env={**plan.env, "PATH": path})
            sandbox = await terminal_boxes.open_box(back_end, self.task, own, {COMMANDS: f"{folder}/commands"})
        return await Box.around(sandbox, plan.folders[0])

    async def grade(self, box: Box, back_end: type[Sandbox], timeout: float) -> Graded:
        """See `Job`."""
        told = await verify(back_end, self.task, terminal_boxes.plan_for(self.folder, back_end), box.sandbox)
        return Graded(Verdict(told.reward >= 1.0, told.score, trouble=told.trouble))

    def solution(self) -> Iterator[str]:
        """See `Job`: the folder's own.

        Raises:
            UsageError: it comes without one.
        """
        script = solution_of(self.task)
        if script is None:
            raise UsageError(f"The task {self.id} comes without a solution.")
        yield script

    def secrets(self) -> list[str]:
        """See `Job`: nothing that could be told from its files."""
        return []


def names(split: Split, tasks: str | None, manifests: str | None) -> list[list[str]]:
    """The ids of the tasks of a split, package by package.

    Raises:
        UsageError: there are none that can be read.
    """
    if tasks is None:
        folder = Path(manifests) if manifests else _manifest.FOLDER
        return [[task.id for task in package.tasks] for package in _manifest.packages(split, folder)]
    path = Path(tasks).expanduser()
    known = _known(path)
    return [[id for id in known if split_of_instance(id) == split]]


def job_named(id: str, tasks: str | None, manifests: str | None) -> Job:
    """A task by its name.

    Raises:
        UnknownName: there is none of this name.
        UsageError: it cannot be read.
        InfrastructureError: its source cannot be fetched.
    """
    if tasks is None:
        return PackageJob(case_of(*_manifest.task_named(id, Path(manifests) if manifests else _manifest.FOLDER)))
    path = Path(tasks).expanduser()
    known = _known(path)
    if id not in known:
        raise UnknownName("task", id, known)
    found = known[id]
    return FolderJob(found) if isinstance(found, Path) else ImageJob(found)


def _known(path: Path) -> Mapping[str, Instance | Path]:
    if not path.exists():
        raise UsageError(f"There is no file or folder {str(path)!r}.")
    return read_instances(path) if path.is_file() or is_repository(path) else find_tasks(path)


def _not_taken_out(trouble: OSError) -> Verdict:
    return Verdict(False, trouble=f"The repository could not be taken out of the box: {trouble.strerror}.")
