"""What the harness costs: 10-turn conversations with a model that answers at once, every episode recorded."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from arena.agents.chat import ChatAgent
from arena.agents.models.scripted import ScriptedModel
from arena.core.env import Env, RawObservation, StepResult
from arena.core.messages import Completion, Message, Sampling, Tool
from arena.core.registry import register
from arena.core.task import Task
from arena.records import create_run, open_run
from arena.rollout import Engine, Job, RecordedModel
from benchmarks._peers import PINNED, PeerMissing, measure_peer
from benchmarks._report import Figure, Report
from benchmarks._timing import best, cpu_seconds

TURNS = 10
EPISODES = 640
ROUNDS = 5
TARGET_MS = 0.3
CONCURRENCIES = (32, 256)


class Echo(Env):
    """Says what was said, ten times."""

    instructions = "Say anything; it is said back to you. After ten turns you have won."

    def _reset(self, task: str | None) -> tuple[RawObservation, dict[str, Any]]:
        self.turn = 0
        return "Turn 0: say something.", {"state_key": "0"}

    def _step(self, action: str) -> StepResult:
        self.turn += 1
        done = self.turn == TURNS
        info = {"valid": True, "state_key": str(self.turn), "success": done}
        return f"Turn {self.turn}: you said {action}", float(done), done, False, info


register("benchmarks/Echo-v0", "benchmarks.harness:Echo", summary="Says what was said, ten times.", max_turns=TURNS)


class InstantModel(ScriptedModel):
    """Gives way once per answer, as every model does that is asked over a network.

    A model that never waits would let each episode run to its end before the next begins, and no
    concurrency would be measured.
    """

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        tools: Sequence[Tool] = (),
        after: Completion | None = None,
    ) -> Completion:
        """As `ScriptedModel.complete`."""
        await asyncio.sleep(0)
        return await super().complete(messages, sampling, tools, after)


def play(folder: Path, episodes: int, concurrency: int, **options: Any) -> None:
    """Play episodes of `Echo` into a new run."""
    agent = ChatAgent(RecordedModel(InstantModel(["look around"])))
    jobs = (Job(Task("benchmarks/Echo-v0", seed)) for seed in range(episodes))
    with create_run(folder, {}) as writer:
        asyncio.run(Engine({"agent": agent}, writer=writer, concurrency=concurrency, **options).run(jobs))


def milliseconds_per_turn(concurrency: int) -> float:
    """CPU time of one turn, opening and closing the run included."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "run")
        seconds = cpu_seconds(partial(play, folder, EPISODES, concurrency))
        with open_run(folder) as run:
            turns = sum(row.turns for row in run.rows())
    assert turns == EPISODES * TURNS, f"{turns} turns were recorded, not {EPISODES * TURNS}"
    return seconds / turns * 1000


def measure() -> Report:
    """Arena and inspect-ai at two concurrencies."""
    ours = best(*[partial(milliseconds_per_turn, concurrency) for concurrency in CONCURRENCIES], rounds=ROUNDS)
    figures = []
    for concurrency, value in zip(CONCURRENCIES, ours, strict=True):
        theirs, note = None, ""
        try:
            theirs = measure_peer("inspect-ai", "inspect_loop", str(concurrency))["milliseconds_per_turn"]
        except PeerMissing as missing:
            note = f"inspect-ai has no figure: {missing}."
        figures.append(
            Figure(
                f"a turn, {concurrency} episodes in flight",
                value,
                "ms CPU",
                peer=f"inspect-ai {PINNED['inspect-ai']}",
                theirs=theirs,
                target=TARGET_MS,
                note=note,
            )
        )
    ratio = ours[-1] / ours[0]
    figures.append(Figure(f"a turn at {CONCURRENCIES[-1]} : at {CONCURRENCIES[0]}", ratio, "ratio"))
    method = (
        f"CPU time per turn of {EPISODES} recorded episodes of {TURNS} turns, best of {ROUNDS} alternating rounds. "
        "inspect-ai: its mock model with the usage filled in (it counts tokens otherwise, with a tokenizer file from "
        "the network), the same conversation in a loop of a solver, its log written, best of 3 rounds."
    )
    return Report(method, figures)
