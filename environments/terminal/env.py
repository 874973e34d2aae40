"""Work at a terminal until a task is done, in a sandbox; the task's own tests say whether it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from arena.core.env import AsyncEnv, StepResult
from arena.core.errors import ResetNeeded, UsageError
from arena.core.messages import Tool
from arena.core.seeds import Split, split_of_instance, task_seeds
from arena.core.task import Task
from arena.core.text import clean
from arena.core.tools import fill_template, read_calls
from arena.environments._sandbox_snapshots import SandboxSnapshots
from arena.environments.terminal._boxes import Plan, open_box, plan_for
from arena.environments.terminal._formats import TerminalTask, choose, find_tasks, read_task
from arena.environments.terminal._solutions import solution_of
from arena.environments.terminal._verifier import Verdict, verify
from arena.sandboxes import ExecResult, Sandbox, choose_back_end

__all__ = ["Terminal", "tasks"]

OWN = Path(__file__).with_name("own")
TURNS = 40
SUBMIT = "submit"
INSTRUCTIONS = """\
{instruction}

You work at a terminal, in {workdir}. An action is a command line for bash, or several lines; folder and variables are \
kept from one to the next. A command may take {timeout:g} seconds, and there is no network. When the work is done, \
answer with the one word {submit}: it is graded then, once, as it stands."""

TOOLS = (
    Tool(
        name="shell",
        description="Run a command line, or several lines, in the terminal's bash.",
        parameters={"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
        template="{command}",
    ),
    Tool(name=SUBMIT, description="Hand the work in: it is graded, and the episode ends.", template=SUBMIT),
)


def folder_of(tasks: str | None) -> Path:
    """Where the tasks lie; our own by default."""
    return OWN if tasks is None else Path(tasks)


def tasks(split: Split, seed: int, **params: Any) -> Iterator[Task]:
    """The task folders of a split. A task says which split it is of (`[metadata] split`), or its name does."""
    seeds = task_seeds(split, seed)
    for name, folder in find_tasks(folder_of(params.get("tasks"))).items():
        if (read_task(folder).split or split_of_instance(name)) == split:
            yield Task("arena/Terminal-v0", next(seeds), params, name, TURNS)


class Terminal(SandboxSnapshots, AsyncEnv):
    """Command lines in, what they print out; the reward is what the task's tests write, when the work is handed in.

    Args:
        tasks: a folder of task folders in Harbor's or terminal-bench's format, or one of them; our own by default.
        backend: `docker` or `bubblewrap`; the best that works here by default.
        timeout: seconds that a command may take.
        output: characters shown of what a command prints.

    Raises:
        UsageError: a folder without tasks, or a task that cannot be read.
        MissingPrerequisite: no sandbox can be made here.
    """

    idle = ":"
    tools = TOOLS
    oracle_from: Literal["anywhere", "start"] = "start"

    def __init__(
        self, *, tasks: str | None = None, backend: str | None = None, timeout: float = 60.0, output: int = 10_000
    ) -> None:
        if timeout <= 0 or output < 1:
            raise UsageError(f"timeout and output must be positive, not {timeout!r} and {output!r}.")
        self._found = find_tasks(folder_of(tasks))
        self._wanted = backend
        self._timeout, self._output = timeout, output
        self._back_end: type[Sandbox] | None = None
        self._box: Sandbox | None = None
        self._task: TerminalTask | None = None
        self._plan: Plan | None = None
        self._solution_ran = False

    async def _reset(self, task: str | None) -> tuple[str, dict[str, Any]]:
        name = task if task is not None else sorted(self._found)[int(self.np_random.integers(len(self._found)))]
        self._box = await self._opened(name)
        self._solution_ran = False
        assert self._plan is not None
        assert self._task is not None
        workdir = self._plan.folders[0]
        self.instructions = INSTRUCTIONS.format(
            instruction=self._task.instruction, workdir=workdir, timeout=self._timeout, submit=SUBMIT
        )
        shell = await self._box.shell()
        shown = await shell.run("ls -A", merge=True)
        return f"{workdir}$ ls -A\n{shown.text}".rstrip(), {"instance": name}

    async def _opened(self, name: str) -> Sandbox:
        """The box of a task, in the place of the one there was."""
        await self._let_go()
        folder = choose(self._found, name)
        self._back_end = self._back_end or choose_back_end(self._wanted)
        self._task = read_task(folder)
        self._plan = plan_for(folder, self._back_end)
        return await open_box(self._back_end, self._task, self._plan)

    async def _step(self, action: str) -> StepResult:
        calls = read_calls(action)
        if calls is None:
            return await self._act(action)
        texts: list[str] = []
        ran: list[str] = []
        reward, terminated, valid = 0.0, False, True
        info: dict[str, Any] = {}
        for name, arguments in calls:
            short, wrong = fill_template(self.tools, name, arguments)
            if wrong is None:
                text, reward, terminated, _, info = await self._act(short)
                ran += [short] if info["valid"] else []
            else:
                text, info = wrong, {"valid": False, "error": wrong}
            texts.append(str(text))
            valid = valid and info["valid"]
            if terminated:
                break
        info |= {"valid": valid, "results": texts, "executed": "\n".join(ran)}
        return "\n".join(texts), reward, terminated, False, info

    async def _act(self, command: str) -> StepResult:
        if command.strip() == SUBMIT:
            verdict = await self._judge()
            return "Handed in.", verdict.reward, True, False, {"valid": True, **_told(verdict)}
        if not command.strip() or "\0" in command:
            wrong = "There is no command to run." if not command.strip() else "A command cannot hold a NUL character."
            return wrong, 0.0, False, False, {"valid": False, "error": wrong}
        assert self._box is not None
        shell = await self._box.shell()
        self._solution_ran |= self._task is not None and command == solution_of(self._task)
        done = await shell.run(command, timeout=self._timeout, max_output=4 * self._output, merge=True)
        return self._told(done), 0.0, False, False, {"valid": True, "exit_code": done.exit_code}

    def _told(self, done: ExecResult) -> str:
        text = clean(done.text)[0]
        notes = []
        if done.truncated or len(text) > self._output:
            text = text[: self._output]
            notes.append(f"[only the first {len(text)} characters are shown]")
        if done.timed_out:
            notes.append(f"[ended after {self._timeout:g} s, with all it had started; the shell is as it was before]")
        elif done.oom_killed:
            notes.append("[out of memory: the sandbox is full]")
        elif done.out_of_processes:
            notes.append("[too many processes were left running; all have been ended]")
        if done.exit_code and not done.timed_out:
            notes.append(f"[exit code {done.exit_code}]")
        return "\n".join(part for part in (text.rstrip("\n"), *notes) if part)

    async def _conclude(self, reason: str) -> tuple[float, dict[str, Any]]:
        verdict = await self._judge()
        return verdict.reward, _told(verdict)

    async def _judge(self) -> Verdict:
        assert self._back_end is not None
        assert self._task is not None
        assert self._plan is not None
        assert self._box is not None
        return await verify(self._back_end, self._task, self._plan, self._box)

    def _sandbox(self) -> Sandbox:
        assert self._box is not None
        return self._box

    def _noted(self) -> dict[str, Any]:
        assert self._task is not None
        return {"task": self._task.name, "solution_ran": self._solution_ran}

    async def _reopened(self, noted: dict[str, Any]) -> Sandbox:
        self._box = await self._opened(noted["task"])
        self._solution_ran = noted["solution_ran"]
        return self._box

    async def _let_go(self) -> None:
        if self._box is not None:
            box, self._box = self._box, None
            await box.close()

    async def _close(self) -> None:
        await self._let_go()

    def oracle_action(self) -> str:
        """The task's own solution, and then `submit`.

        Raises:
            UsageError: the task comes without a solution.
        """
        if self._task is None:
            raise ResetNeeded("There is no task to solve: call reset() first.")
        solution = solution_of(self._task)
        if solution is None:
            raise UsageError(f"The task {self._task.name} comes without a solution.")
        return SUBMIT if self._solution_ran else solution


def _told(verdict: Verdict) -> dict[str, Any]:
    told: dict[str, Any] = {"success": verdict.reward >= 1.0, "score": verdict.score, "verifier": verdict.said}
    return {**told, "trouble": verdict.trouble} if verdict.trouble else told
