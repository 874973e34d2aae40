"""Fix a bug in a real package, in a sandbox; graded by the package's own tests."""

from __future__ import annotations

import asyncio
import itertools
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from arena.core.env import AsyncEnv, StepResult
from arena.core.errors import UnknownName, UsageError
from arena.core.seeds import EVAL_SEEDS, Split, derive, split_of_seed
from arena.core.task import Task
from arena.environments._sandbox_snapshots import SandboxSnapshots
from arena.environments.swe._actions import SUBMIT, TOOLS, read_action
from arena.environments.swe._box import Box
from arena.environments.swe._jobs import Job, job_named, names
from arena.environments.swe._rewards import PATCH_SIMILARITY, REWARDS, immediate, terminal
from arena.sandboxes import ExecResult, Sandbox, choose_back_end

__all__ = ["MAX_TURNS", "Swe", "secrets", "tasks"]

MAX_TURNS = 40
SHOWN = 12_000
"""Characters of a command's output that are shown; the middle of a longer one is left out."""
LIST = "ls -1Ap | grep -vxF .git/ | head -n 40"
INSTRUCTIONS = """Something is wrong with a program. Find out what, and repair it.

{statement}

You work in {folder}, its repository, through a bash shell that keeps its state: every action is a command line,
or a call of one of the tools, which do the same as the commands `view PATH [FIRST [LAST]]`, `search PATTERN [PATH]` and
`edit PATH OLD NEW`. `python3 -m pytest` runs the tests that are there; the ones that decide are not. There is no
network. When you are done, `submit`. Then the project's tests are run on your change of its code: those that fail now
must pass, and none may be lost. Changes of tests and of configuration do not count."""


class Swe(SandboxSnapshots, AsyncEnv):
    """Repair a bug in the code of a PyPI package, or solve a task of SWE-bench's, SWE-smith's or Harbor's.

    An episode is one task, named or drawn by the seed. An action is a command line for bash or tool calls;
    `submit` ends the episode. Reward 1 where the grading passes (see `arena.environments.swe._grading`), by `submit`
    or when a limit ends the episode.

    Args:
        backend: `docker` or `bubblewrap`; the best that works here by default.
        rewards: dense rewards on top, by name: `immediate`, `fixed_share`, `patch_similarity`; in one text with commas.
        timeout: seconds a command may take.
        test_timeout: seconds the tests may take when they are graded.
        manifests: a folder of task manifests of your own (`arena swe make-tasks --out`); the shipped ones by default.
        tasks: other people's tasks instead: a file of rows (.json, .jsonl, .parquet) as SWE-bench or SWE-smith
            publish them, a task repository of SWE-bench 5, or a folder of Harbor's folders.

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
        rewards: Sequence[str] | str = (),
        timeout: float = 60.0,
        test_timeout: float = 300.0,
        manifests: str | None = None,
        tasks: str | None = None,
    ) -> None:
        rewards = rewards.split(",") if isinstance(rewards, str) else rewards
        if unknown := [name for name in rewards if name not in REWARDS]:
            raise UnknownName("reward", unknown[0], REWARDS)
        if timeout <= 0 or test_timeout <= 0:
            raise UsageError(f"timeout and test_timeout are seconds above 0, not {timeout} and {test_timeout}.")
        if tasks is not None and PATCH_SIMILARITY in rewards:
            raise UsageError(
                "The reward patch_similarity is for bugs in packages: leave it out where `tasks` is given."
            )
        self.back_end = choose_back_end(backend)
        self.rewards = tuple(rewards)
        self._timeout, self._test_timeout = timeout, test_timeout
        self._tasks, self._manifests = tasks, manifests
        self._box: Box | None = None
        self._solved = 0
        self._earned = 0.0
        self._counted: set[str] = set()
        self.job: Job

    async def _reset(self, task: str | None) -> tuple[str, dict[str, Any]]:
        id = task if task is not None else self._drawn()
        self._box = await self._opened(id)
        self._solved, self._earned, self._counted = 0, 0.0, set()
        statement, folder = self.job.statement, self._box.folder
        self.instructions = INSTRUCTIONS.format(statement=statement, folder=folder)
        listing = await self._box.sandbox.exec(LIST, cwd=folder)
        return f"{statement}\n\nThe repository in {folder} holds:\n{listing.text.rstrip()}", {"instance": id}

    async def _opened(self, id: str) -> Box:
        """The box of a task, in the place of the one there was."""
        await self._close()
        self.job = await asyncio.to_thread(job_named, id, self._tasks, self._manifests)
        return await self.job.open(self.back_end)

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

    def _sandbox(self) -> Sandbox:
        assert self._box is not None
        return self._box.sandbox

    def _noted(self) -> dict[str, Any]:
        counted = sorted(self._counted)
        return {"task": self.job.id, "solved": self._solved, "earned": self._earned, "counted": counted}

    async def _reopened(self, noted: dict[str, Any]) -> Sandbox:
        self._box = await self._opened(noted["task"])
        self._solved, self._earned, self._counted = noted["solved"], noted["earned"], set(noted["counted"])
        return self._box.sandbox

    async def legal_actions(self) -> Sequence[str]:
        """Some commands that work on this repository, and `submit`."""
        assert self._box is not None
        found = await self._box.sandbox.exec("git ls-files '*.py' | head -n 8", cwd=self._box.folder)
        looks = [f"view {shlex.quote(file)} 1 20" for file in found.text.splitlines()]
        return ["ls", "search 'def ' | head -n 5", f"cd {self._box.folder}", "git status --short", *looks, SUBMIT]

    async def oracle_action(self) -> str:
        """The next step of the task's own solution (a bug's edits, taken back); after the last, `submit`."""
        self._solved += 1
        return next(itertools.islice(self.job.solution(), self._solved - 1, None), SUBMIT)

    def _drawn(self) -> str:
        split = split_of_seed(self.np_random_seed)
        known = [id for group in names(split, self._tasks, self._manifests) for id in group]
        if not known:
            raise UsageError(f"There are no {split} tasks in {self._tasks or self._manifests}.")
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
            graded = await self.job.grade(self._box, self.back_end, self._test_timeout)
        finally:
            await self._close()
        verdict = graded.verdict
        reward = float(verdict.success) + terminal(self.rewards, verdict, self._earned, graded.similarity)
        info = {
            "success": verdict.success,
            "grading": {
                "fixed": verdict.fixed,
                "lost": list(verdict.lost),
                "lost_count": verdict.lost_count,
                "trouble": verdict.trouble,
                "ignored": list(graded.ignored[:20]),
                "patch": graded.patch[:20_000],
            },
        }
        return reward, info


def tasks(split: Split, seed: int = 0, **params: Any) -> Iterator[Task]:
    """The tasks of a split, packages taking turns, in an order that the seed decides."""
    start = EVAL_SEEDS if split == "eval" else 0
    queues = []
    for group in names(split, params.get("tasks"), params.get("manifests")):
        queues.append(sorted(group, key=lambda name: (derive("swe order", seed, name) if seed else 0, name)))
    for row in itertools.zip_longest(*queues):
        for name in row:
            if name is not None:
                yield Task("arena/Swe-v0", start + derive("swe", name) % EVAL_SEEDS, params, name, MAX_TURNS)


def secrets(env: Swe) -> list[str]:
    """Lines of the solution that the agent is not to see."""
    return env.job.secrets()


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
