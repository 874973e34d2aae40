"""Fix a bug in a real package, in a sandbox; graded by the package's own tests."""

from __future__ import annotations

import asyncio
import itertools
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from arena.core.env import AsyncEnv, StepResult
from arena.core.errors import UnknownName, UsageError
from arena.core.seeds import EVAL_SEEDS, Split, derive, split_of_seed
from arena.core.task import Task
from arena.core.tools import canonical
from arena.environments.swe import _manifest
from arena.environments.swe._actions import SUBMIT, TOOLS, read_action
from arena.environments.swe._box import Box
from arena.environments.swe._grading import Verdict, grade
from arena.environments.swe._manifest import Package, SweTask
from arena.environments.swe._rewards import REWARDS, immediate, patch_similarity, terminal
from arena.environments.swe._trees import Case, Changes, case_of, changed, compare, patch
from arena.sandboxes import ExecResult, choose_back_end

__all__ = ["MAX_TURNS", "Swe", "secrets", "tasks"]

MAX_TURNS = 40
SHOWN = 12_000
"""Characters of a command's output that are shown; the middle of a longer one is left out."""
LISTED = 40
INSTRUCTIONS = """A Python package has a bug. Find it and repair it.

{statement}

You work in /repo, the package's repository, through a bash shell that keeps its state: every action is a command line,
or a call of one of the tools, which do the same as the commands `view PATH [FIRST [LAST]]`, `search PATTERN [PATH]` and
`edit PATH OLD NEW`. `python3 -m pytest` runs the tests that are there; the ones that decide are not. There is no
network. When you are done, `submit`. Then the package's tests are run on your change of its code: those that fail now
must pass, and none may be lost. Changes of tests and of configuration do not count."""


class Swe(AsyncEnv):
    """Repair a bug in the code of a PyPI package.

    An episode is one bug, named by the task or drawn by the seed. An action is a command line for bash or tool calls;
    `submit` ends the episode. Reward 1 where the grading passes (see `arena.environments.swe._grading`), by `submit`
    or when a limit ends the episode.

    Args:
        backend: `docker` or `bubblewrap`; the best that works here by default.
        rewards: dense rewards on top, by name: `immediate`, `fixed_share`, `patch_similarity`.
        timeout: seconds a command may take.
        test_timeout: seconds the tests may take when they are graded.
        manifests: a folder of task manifests of your own (`arena swe make-tasks --out`); the shipped ones by default.

    Raises:
        UsageError: a back end or reward that does not exist.
        MissingPrerequisite: no sandbox can be made here.
    """

    tools = TOOLS
    idle = "true"
    oracle_from: Literal["anywhere", "start"] = "start"

    def __init__(
        self,
        *,
        backend: str | None = None,
        rewards: Sequence[str] = (),
        timeout: float = 60.0,
        test_timeout: float = 300.0,
        manifests: str | None = None,
    ) -> None:
        if unknown := [name for name in rewards if name not in REWARDS]:
            raise UnknownName("reward", unknown[0], REWARDS)
        if timeout <= 0 or test_timeout <= 0:
            raise UsageError(f"timeout and test_timeout are seconds above 0, not {timeout} and {test_timeout}.")
        self.back_end = choose_back_end(backend)
        self.rewards = tuple(rewards)
        self._timeout, self._test_timeout = timeout, test_timeout
        self._folder = Path(manifests) if manifests else _manifest.FOLDER
        self._box: Box | None = None
        self._oracle: Iterator[str] = iter(())
        self._earned = 0.0
        self._counted: set[str] = set()
        self.case: Case

    async def _reset(self, task: str | None) -> tuple[str, dict[str, Any]]:
        package, chosen = _manifest.task_named(task, self._folder) if task is not None else self._drawn()
        await self._close()
        self.case = await asyncio.to_thread(case_of, package, chosen)
        self._box = await Box.open(self.back_end, package, self.case.handed_out)
        self._oracle = _oracle(chosen)
        self._earned, self._counted = 0.0, set()
        self.instructions = INSTRUCTIONS.format(statement=chosen.statement)
        files = sorted({path.partition("/")[0] + "/" * ("/" in path) for path in self.case.handed_out})
        listing = "\n".join(files[:LISTED])
        observation = f"{chosen.statement}\n\nThe repository in /repo holds:\n{listing}"
        return observation, {"instance": chosen.id}

    async def _step(self, action: str) -> StepResult:
        ran: list[str] = []
        texts: list[str] = []
        error, verdict = "", None
        for command, problem in read_action(action):
            if problem is not None:
                error = problem
                texts.append(problem)
                continue
            ran.append(command)
            if command == SUBMIT:
                verdict = await self._grade()
                texts.append("Submitted.")
                break
            texts.append(await self._run(command))
        info: dict[str, Any] = {"valid": not error, "executed": "\n".join(ran)}
        if error:
            info["error"] = error
        if len(texts) > 1 or action.lstrip().startswith("["):
            info["results"] = texts
        reward = 0.0
        if verdict is not None:
            reward, graded = verdict
            info |= graded
        return "\n".join(texts), reward, verdict is not None, False, info

    async def _conclude(self, reason: str) -> tuple[float, dict[str, Any]]:
        return await self._grade()

    async def _close(self) -> None:
        box, self._box = self._box, None
        if box is not None:
            await box.close()

    async def legal_actions(self) -> Sequence[str]:
        """Some commands that work on this repository, and `submit`."""
        code = [file for file in self.case.handed_out if file.endswith(".py")][:8]
        looks = [f"view {shlex.quote(file)} 1 20" for file in code]
        return ["ls", "search 'def ' | head -n 5", "cd /repo", "git status --short", *looks, SUBMIT]

    async def oracle_action(self) -> str:
        """The next reverse edit of the bug; when all are made, `submit`."""
        return next(self._oracle, SUBMIT)

    def _drawn(self) -> tuple[Package, SweTask]:
        split = split_of_seed(self.np_random_seed)
        known = [(package, task) for package in _manifest.packages(split, self._folder) for task in package.tasks]
        if not known:
            raise UsageError(f"There are no {split} tasks in {self._folder}.")
        return known[int(self.np_random.integers(len(known)))]

    async def _run(self, command: str) -> str:
        assert self._box is not None
        done = await self._box.run(command, self._timeout)
        self._earned += immediate(command, done.exit_code, self._counted)
        return _shown(done, self._timeout)

    async def _grade(self) -> tuple[float, dict[str, Any]]:
        """Take the tree out, grade it, and say how it did."""
        assert self._box is not None
        try:
            result = await self._box.result()
            changes = compare(self.case.handed_out, result)
        except OSError as trouble:
            changes = Changes({}, ())
            verdict = Verdict(False, trouble=f"The repository could not be taken out of the box: {trouble.strerror}.")
        else:
            await self._close()
            verdict = await grade(self.case, changes, self.back_end, self._test_timeout)
        graded = changed(self.case.broken, changes)
        similarity = patch_similarity(self.case.broken, graded, self.case.original)
        reward = float(verdict.success) + terminal(self.rewards, verdict, self._earned, similarity)
        info = {
            "success": verdict.success,
            "grading": {
                "fixed": verdict.fixed,
                "lost": list(verdict.lost),
                "lost_count": verdict.lost_count,
                "trouble": verdict.trouble,
                "ignored": list(changes.ignored[:20]),
                "patch": patch(self.case.broken, graded)[:20_000],
            },
        }
        return reward, info


def tasks(split: Split, seed: int = 0, **params: Any) -> Iterator[Task]:
    """The tasks of a split, packages taking turns, in an order that the seed decides."""
    folder = params.get("manifests")
    known = list(_manifest.packages(split, Path(folder) if folder else _manifest.FOLDER))
    start = EVAL_SEEDS if split == "eval" else 0
    queues = [
        sorted(package.tasks, key=lambda task: derive("swe order", seed, task.id) if seed else task.id)
        for package in known
    ]
    for row in itertools.zip_longest(*queues):
        for task in row:
            if task is not None:
                number = start + derive("swe", task.id) % EVAL_SEEDS
                yield Task("arena/Swe-v0", number, params, task.id, MAX_TURNS)


def secrets(env: Swe) -> list[str]:
    """Lines of the original that the agent is not to see: those that stand nowhere in what it was given."""
    given = {
        line.strip() for content in env.case.handed_out.values() for line in content.decode("latin-1").splitlines()
    }
    lines = [line.strip() for edit in env.case.task.edits for line in edit.old.splitlines()]
    return sorted({line for line in lines if len(line) > 10 and line not in given})


def _oracle(task: SweTask) -> Iterator[str]:
    for edit in reversed(task.edits):
        yield canonical([("edit", {"path": edit.file, "old": edit.new, "new": edit.old})])


def _shown(done: ExecResult, timeout: float) -> str:
    """What a command said and how it ended."""
    text = done.text
    if len(text) > SHOWN:
        half = SHOWN // 2
        text = f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
    ends = [f"[ended after {timeout:g} seconds]"] if done.timed_out else []
    ends += ["[out of memory]"] if done.oom_killed else []
    ends += ["[too many processes; all were ended]"] if done.out_of_processes else []
    if not ends and done.exit_code:
        ends = [f"[exit code {done.exit_code}]"]
    return "\n".join([text.rstrip("\n"), *ends]).lstrip("\n") if text.strip() or ends else "(no output)"
