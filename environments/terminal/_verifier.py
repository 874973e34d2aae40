"""Grading: a fresh sandbox that gets the agent's files and nothing else of it, and the tests only now.

Whatever the agent left running, installed or set in its own sandbox is not there; the tests are read-only and not its
own; where a task declares its artifacts, everything else is as it was handed out. Tests that run what the agent wrote
still run what the agent wrote: a task that must stand against that declares files, and no programs.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import dataclass

from arena.environments.terminal._boxes import LOGS, Plan, open_box
from arena.environments.terminal._formats import TerminalTask
from arena.sandboxes import ExecResult, Sandbox
from arena.sandboxes._held import temporary_folder

__all__ = ["Verdict", "verify"]

MIB = 1 << 20
REWARDS = f"{LOGS}/verifier"
ARTIFACTS = 256 * MIB
SUMMARY = re.compile(r"^(PASSED|FAILED|ERROR|XPASS|XFAIL|SKIPPED)\b(?: \[\d+\])? ?(\S*)", re.MULTILINE)

PACK = """for path; do [ -e "$path" ] || [ -L "$path" ] && printf '%s\\0' "${path#/}"; done |
tar -C / --null --files-from=- -cf -"""
CLEAR = """for path; do
    [ -d "$path" ] && [ ! -L "$path" ] && find "$path" -mindepth 1 -delete
    rm -rf -- "$path"
done"""
UNPACK = ("tar", "-C", "/", "-xpf", "-", "--no-same-owner")


@dataclass(frozen=True)
class Verdict:
    """What the tests gave.

    Attributes:
        reward: as the verifier wrote it.
        trouble: why there is none; empty where there is one.
        said: what the tests printed, its end.
    """

    reward: float = 0.0
    trouble: str = ""
    said: str = ""

    @property
    def score(self) -> float:
        """The reward, kept in [0, 1]."""
        return min(1.0, max(0.0, self.reward))


async def verify(back_end: type[Sandbox], task: TerminalTask, plan: Plan, agent: Sandbox) -> Verdict:
    """Grade what is in the agent's sandbox now.

    Raises:
        SandboxUnavailable: a sandbox was lost: no verdict on the agent.
    """
    declared = [path if path.startswith("/") else f"{plan.folders[0]}/{path}" for path in task.artifacts]
    kept = [path for path in declared if not path.startswith(REWARDS)] if declared else list(plan.work)
    packed = await agent.exec(["bash", "-c", PACK, "pack", *kept], max_output=ARTIFACTS)
    if packed.truncated or packed.exit_code > 1:  # 1: a file changed meanwhile
        return Verdict(trouble="the artifacts are too large, or cannot be read", said=packed.error_text[-2000:])
    with temporary_folder() as folder:
        tests = folder / "tests"
        shutil.copytree(task.tests, tests)
        if task.format == "terminal-bench":
            shutil.copy(task.tests.parent / task.verify, tests)
        async with await open_box(back_end, task, plan, {"/tests": str(tests)}) as fresh:
            await fresh.exec(["bash", "-c", CLEAR, "clear", *kept])
            if packed.stdout:
                await fresh.exec(UNPACK, stdin=packed.stdout)
            await fresh.exec(["rm", "-rf", REWARDS])
            await fresh.exec(["mkdir", "-p", REWARDS])
            done = await fresh.exec(
                ["bash", f"/tests/{task.verify}"],
                env={"TEST_DIR": "/tests", **task.verifier_env},
                timeout=task.verifier_seconds,
                merge=True,
            )
            return await _verdict(task, fresh, done)


async def _verdict(task: TerminalTask, fresh: Sandbox, done: ExecResult) -> Verdict:
    said = done.text[-2000:]
    if done.timed_out:
        return Verdict(trouble=f"the tests did not end within {task.verifier_seconds:g} s", said=said)
    for name in ("reward.json", "reward.txt"):
        try:
            written = (await fresh.read(f"{REWARDS}/{name}", max_bytes=MIB)).decode("utf-8", "replace")
        except OSError:
            continue
        return _given(read_reward(written, name), f"{name} holds no number", said)
    if task.format == "terminal-bench":
        return _given(read_pytest(done.text), "no test was reported", said)
    return Verdict(trouble="the tests wrote no reward", said=said)


def _given(reward: float | None, otherwise: str, said: str) -> Verdict:
    return Verdict(trouble=otherwise, said=said) if reward is None else Verdict(reward, said=said)


def read_reward(text: str, name: str) -> float | None:
    """The number in a reward file; None where there is none, or it is not finite."""
    try:
        told = json.loads(text) if name.endswith(".json") else float(text.strip())
    except ValueError:
        return None
    if isinstance(told, dict):
        told = told.get("reward", next(iter(told.values()), None) if len(told) == 1 else None)
    if isinstance(told, bool) or not isinstance(told, int | float) or not math.isfinite(told):
        return None
    return float(told)


def read_pytest(text: str) -> float | None:
    """1 where pytest's summary (`-rA`) names passed tests and no other; None where it names none."""
    outcomes = [outcome for outcome, _ in SUMMARY.findall(text.rpartition("short test summary info")[2])]
    return float(all(outcome in ("PASSED", "XFAIL") for outcome in outcomes)) if outcomes else None
