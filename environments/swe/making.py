"""Making tasks: bugs drawn from a seed and put into a package, kept where the package's own tests notice.

A bug is kept if at least one test fails with it that passed three times on the original, if not more than a quarter of
them do, and if three runs of all tests under different hash seeds tell the same of each. A run of the tests that call
the changed functions comes first: it sorts out what no test notices.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from arena.core.errors import EnvironmentFailure, UsageError
from arena.core.paths import cache_folder
from arena.core.seeds import Split
from arena.environments.swe._bugs import Bug, Called, bugs, touched
from arena.environments.swe._hidden import function_of, functions_in, parsed, without_functions
from arena.environments.swe._manifest import (
    FOLDER,
    Edit,
    Package,
    SweTask,
    Wheel,
    by_file,
    load,
    read,
    save,
)
from arena.environments.swe._running import Report
from arena.environments.swe._sources import (
    PYTEST,
    Tree,
    fetch_unseen,
    original_tree,
    packages_folder,
    unpack_archive,
)
from arena.environments.swe._statements import statement
from arena.environments.swe._trees import apply_edits, is_test
from arena.environments.swe._variants import Variant, run_variants
from arena.sandboxes import Sandbox

__all__ = ["Maker", "fetch", "make_tasks"]

COLLAPSE = 0.25
"""A bug with which a larger share of the tests fails is none that a user would report."""
DETAILS = 3000
BATCH = 12
"""Candidates that are tried in one sandbox."""
ATTEMPTS = 40
"""Candidates per task after which a package counts as exhausted."""

Say = Callable[[str], None]
Outcomes = dict[str, str | None]
"""test -> its outcome; None for one that is gone"""


@dataclass(frozen=True)
class Baseline:
    """What three runs of the original told: the tests that pass, and by which of them each function is called."""

    tests: list[str]
    called: list[tuple[str, str, list[str]]]


async def make_tasks(
    requirement: str,
    count: int,
    back_end: type[Sandbox],
    *,
    out: Path,
    seed: int = 0,
    split: Split = "train",
    root: str | None = None,
    needs: Iterable[str] = (),
    say: Say = lambda line: None,
) -> Package:
    """Make tasks from a source package, or go on making them.

    Args:
        requirement: `name==version`.
        count: how many tasks it shall have in the end.
        back_end: makes the sandboxes that the tests run in.
        out: the folder of manifests; what is in `out/name.json` already is kept.
        seed: decides which bugs are drawn.
        split: which split the package belongs to.
        root: the folder of the archive that imports start from; `src` if there is one, by default.
        needs: `name==version` of pure Python packages that its tests import beside pytest.
        say: gets a line about each step.

    Raises:
        UsageError: the package cannot be used: no tests, none that pass, or no bugs that they notice.
        InfrastructureError: the package cannot be fetched.
    """
    name, _, version = requirement.partition("==")
    if not version:
        raise UsageError(f"Name the version, as in {name}==1.2.3: tasks are made from exactly one.")
    path = out / f"{name}.json"
    if path.exists():
        package = read(path)
        if package.version != version:
            raise UsageError(f"{path} holds tasks of {name} {package.version}: use another folder for {version}.")
        tree = original_tree(package)
    else:
        archive, sha256 = fetch_unseen(requirement)
        tree = unpack_archive(archive)
        wheels = tuple(_wheel(need) for need in needs)
        if root is None:
            root = "src" if any(file.startswith("src/") for file in tree) else ""
        package = Package(name, version, sha256, root, split, {}, wheels)
    return await Maker(package, tree, back_end, path, seed=seed, say=say).make(count)


def fetch(names: Collection[str] | None = None, folder: Path = FOLDER) -> Iterator[str]:
    """Bring the sources of the packages of a folder into the cache, and what runs their tests; yields a line for each.

    Args:
        names: which packages; None for all.
        folder: of the manifests.

    Raises:
        InfrastructureError: one cannot be fetched.
    """
    packages_folder(PYTEST)
    for package in load(folder):
        if names is None or package.name in names:
            files = len(original_tree(package))
            packages_folder(package.needs)
            yield f"{package.name} {package.version}: {files} files, {len(package.tasks)} tasks"


class Maker:
    """Draws bugs for one package and keeps those that its tests notice."""

    def __init__(
        self, package: Package, tree: Tree, back_end: type[Sandbox], path: Path, *, seed: int, say: Say
    ) -> None:
        self.package, self.tree, self.back_end = package, tree, back_end
        self.path, self.seed, self.say = path, seed, say
        about = (package.root, *(f"{need.name}=={need.version}" for need in package.needs), sys.version)
        mark = hashlib.sha256("\n".join((package.sha256, *about)).encode()).hexdigest()[:12]
        self._notes = cache_folder() / "swe" / "making" / f"{package.name}-{package.version}-{mark}.json"

    async def make(self, count: int) -> Package:
        """Make tasks until there are `count`, or until nothing new is found."""
        missing = count - len(self.package.tasks)
        if missing <= 0:
            return self.package
        baseline = await self._baseline()
        self.package = replace(self.package, tests=by_file(baseline.tests))
        called: Called = {(file, name): frozenset(tests) for file, name, tests in baseline.called}
        found = bugs(self.package, self.tree, called, self.seed)
        tried, left = self._left(itertools.islice(found, ATTEMPTS * count))
        while missing > 0 and (batch := list(itertools.islice(left, min(BATCH, missing + 2)))):
            kept = await self._validated(batch, called, missing)
            tried += len(batch)
            missing -= len(kept)
            self.package = replace(self.package, tasks=(*self.package.tasks, *kept))
            save(self.package, self.path)
            self.say(f"{self.package.name}: {len(self.package.tasks)} of {count} tasks, {tried} bugs tried")
        if not self.package.tasks:
            raise UsageError(f"No bug in {self.package.name} that its tests notice was found.")
        return self.package

    def _left(self, found: Iterable[Bug]) -> tuple[int, Iterator[Bug]]:
        """How many bugs a run that made what there is has tried, and the new ones behind them."""
        known = {task.edits: task.seed for task in self.package.tasks}
        every = list(found)
        tried = max((place + 1 for place, bug in enumerate(every) if known.get(bug.edits) == self.seed), default=0)
        return tried, (bug for bug in every[tried:] if bug.edits not in known)

    async def _run(self, variants: Sequence[Variant], hash_seed: int) -> list[Report]:
        tests = self._test_files()
        return await run_variants(self.back_end, self.package, self.tree, variants, tests=tests, hash_seed=hash_seed)

    def _test_files(self) -> list[str]:
        if self.package.tests:
            return list(self.package.tests)
        named = [file for file in self.tree if is_test(file) and file.endswith(".py")]
        return [file for file in named if file.rpartition("/")[2] not in ("conftest.py", "__init__.py")]

    async def _baseline(self) -> Baseline:
        """Run the original, or read what it told before.

        Raises:
            UsageError: tests of tasks that there are already do not pass.
        """
        if self._notes.exists():
            data = json.loads(self._notes.read_text())
            baseline = Baseline(data["tests"], [(file, name, tests) for file, name, tests in data["called"]])
        else:
            baseline = await self._measured()
            self._notes.parent.mkdir(parents=True, exist_ok=True)
            partial = self._notes.with_suffix(".partial")
            partial.write_text(json.dumps(asdict(baseline)))
            partial.replace(self._notes)
        if lost := sorted(set(self.package.test_ids) - set(baseline.tests)):
            raise UsageError(f"{self.path} counts on {lost[0]}, which does not pass here ({len(lost)} such tests).")
        return replace(baseline, tests=list(self.package.test_ids or baseline.tests))

    async def _measured(self) -> Baseline:
        """The tests that pass three times on the original and whose functions can be found, and what they call."""
        if not self._test_files():
            raise UsageError(f"The source archive of {self.package.name} has no tests.")
        runs = [(await self._run([Variant(trace=number == 0)], number))[0] for number in range(3)]
        passing = frozenset.intersection(*(run.passed for run in runs))
        support = [content for file, content in self.tree.items() if is_test(file) and file.endswith(".py")]
        names = {function_of(test) for test in passing}
        defined = {function.name for content in support for function, _ in functions_in(content, names)}
        tests = sorted(test for test in passing if function_of(test) in defined)
        if not tests:
            raise UsageError(
                f"No test of {self.package.name} passes: {runs[0].trouble or 'do they need more packages?'}"
            )
        called: dict[tuple[str, str], list[str]] = {}
        for test in tests:
            for function in runs[0].calls.get(test, ()):
                called.setdefault(function, []).append(test)
        self.say(f"{self.package.name} {self.package.version}: {len(tests)} tests pass, {runs[0].seconds:.1f} s")
        return Baseline(tests, [(*function, found) for function, found in sorted(called.items())])

    async def _validated(self, batch: Sequence[Bug], called: Called, most_tasks: int) -> list[SweTask]:
        """Tasks of those bugs that the tests notice, and always in the same way; no more than are wanted."""
        known = frozenset(self.package.test_ids)
        most = COLLAPSE * len(known)
        near: dict[Bug, frozenset[str]] = {}
        changes: dict[Bug, dict[str, bytes]] = {}
        for bug in batch:
            if (broken := self._broken(bug.edits)) is not None:
                places = touched(self.tree, bug.edits)
                near[bug] = frozenset[str]().union(*(called.get(place, frozenset()) for place in places))
                changes[bug] = {edit.file: broken[edit.file] for edit in bug.edits}
        left = list(near)
        reports = await self._run([Variant(changes[bug], near[bug]) for bug in left], 0)
        told = zip(left, reports, strict=True)
        left = [bug for bug, report in told if not report.trouble and 0 < len(near[bug] - report.passed) <= most]
        left = left[:most_tasks]
        maps: dict[Bug, list[Outcomes]] = {bug: [] for bug in left}
        texts: dict[Bug, Mapping[str, str]] = {}
        for hash_seed in (1, 2, 3):
            details = DETAILS if hash_seed == 1 else 0
            reports = await self._run([Variant(changes[bug], details=details) for bug in left], hash_seed)
            for bug, report in zip(left, reports, strict=True):
                maps[bug].append({} if report.trouble else {test: report.outcomes.get(test) for test in known})
                texts.setdefault(bug, report.texts)
            left = [bug for bug in left if self._counts(maps[bug])]
        tasks: list[SweTask] = []
        next_number = 1 + max((int(task.id.rpartition("-")[2]) for task in self.package.tasks), default=-1)
        for bug in left:
            failing = frozenset(test for test, outcome in maps[bug][0].items() if outcome != "passed")
            tasks += self._task(bug, failing, texts[bug], next_number + len(tasks))
        return tasks

    @staticmethod
    def _counts(runs: Sequence[Outcomes]) -> bool:
        """Whether the runs so far tell the same, and a bug that some tests notice and not too many."""
        bad = sum(outcome != "passed" for outcome in runs[0].values())
        return 0 < bad <= COLLAPSE * len(runs[0]) and all(run == runs[0] for run in runs)

    def _broken(self, edits: Sequence[Edit]) -> Tree | None:
        """The tree with a bug; None where it is no code any more, or cannot be undone."""
        try:
            broken = apply_edits(self.tree, edits)
            for edit in edits:
                compile(broken[edit.file], edit.file, "exec")
            undone = apply_edits(broken, [Edit(edit.file, edit.new, edit.old) for edit in reversed(edits)])
        except (EnvironmentFailure, SyntaxError, ValueError):
            return None
        return broken if undone == self.tree else None

    def _task(self, bug: Bug, failing: frozenset[str], texts: Mapping[str, str], number: int) -> list[SweTask]:
        """The task of a bug; none where there is nothing to show, or where its tests cannot be hidden."""
        told = statement(self.package.name, len(failing), {test: texts.get(test, "") for test in failing})
        if "```" not in told or not self._hides(apply_edits(self.tree, bug.edits), failing):
            return []
        id = f"{self.package.name}-{number:03d}"
        return [SweTask(id, bug.difficulty, self.seed, bug.edits, tuple(sorted(failing)), told)]

    def _hides(self, broken: Tree, failing: frozenset[str]) -> bool:
        """Whether the deciding tests can be taken out so that all files can still be read."""
        try:
            hidden = without_functions(broken, failing)
            for file, content in hidden.items():
                if content != broken[file]:
                    parsed(content)
        except (SyntaxError, UnicodeDecodeError):
            return False
        return True


def _wheel(requirement: str) -> Wheel:
    name, _, version = requirement.partition("==")
    if not version:
        raise UsageError(f"Name the version of {name} too, as in {name}==1.2.3.")
    return Wheel(name, version, fetch_unseen(requirement, wheel=True)[1])
