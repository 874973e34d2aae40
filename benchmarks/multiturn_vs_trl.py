"""Sampled tokens per CPU-second over eight turns: Arena, Arena without reuse, and TRL's `environment_factory` route."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import _multiturn as task
from benchmarks._peers import PeerMissing, TrlProcess
from benchmarks._report import Figure, Report

ROUNDS = 5
TIMES_REENCODING, TIMES_TRL = 3.0, 2.0


class Player:
    """Arena's engine, agent and sampler, and the credit that TRL's route computes too.

    Args:
        folder: what `task.build` wrote.
        reuse: False encodes the whole conversation anew each turn, on the same engine and batch.
    """

    def __init__(self, folder: Path, *, reuse: bool) -> None:
        from arena.agents import build
        from arena.agents.models._ragged import RaggedBatch
        from arena.rollout import RecordedModel
        from arena.trainers._policy import Policy

        self._policy = Policy.load(folder)
        if not reuse:
            loaded = self._policy.model.load()
            batch = RaggedBatch(loaded.network, None, max_rows=task.EPISODES, context=loaded.context, limit=2 * 2**30)
            loaded.sampler._batch = batch
        spec = f"chat:system={folder / 'system.j2'},max_tokens={task.ANSWER},temperature=1"
        self._agent = build(spec, RecordedModel(self._policy.model))
        self._rounds = 0

    def play(self) -> tuple[float, int]:
        """A round with fresh weights' empty caches: CPU seconds, and the longest conversation in tokens."""
        from arena.core.task import Task
        from arena.rollout import Engine, Job
        from arena.trainers import TurnTable, grpo
        from arena.trainers._rows import rows_of

        self._rounds += 1
        with self._policy.updating(f"step-{self._rounds}"):
            pass
        tasks = [Task(task.ENV, seed, task.PARAMS, None, task.TURNS) for seed in range(task.TASKS)]
        jobs = [Job(one, repeat) for one in tasks for repeat in range(task.GROUP)]
        episodes = []
        begun = time.process_time()
        engine = Engine({"agent": self._agent}, concurrency=task.EPISODES, on_episode=episodes.append)
        asyncio.run(engine.run(jobs))
        table = TurnTable.from_episodes(episodes)
        table.on_tokens(grpo.advantages(table, grpo.Config()))
        rows = rows_of(episodes)
        seconds = time.process_time() - begun
        sampled = sum(int(row.trains().sum()) for row in rows)
        assert sampled == task.SAMPLED, f"{sampled} tokens were sampled, not {task.SAMPLED}"
        return seconds, max(map(len, rows))

    def close(self) -> None:
        """End the sampler's thread."""
        asyncio.run(self._policy.model.aclose())


def seconds_of_rounds(folder: Path, rounds: int) -> tuple[dict[str, list[float]], dict[str, int], str]:
    """CPU seconds of each side's rounds in turns, the longest conversations, and why TRL is missing."""
    sides = {"reuse": Player(folder, reuse=True), "reencoding": Player(folder, reuse=False)}
    seconds: dict[str, list[float]] = {name: [] for name in (*sides, "trl")}
    longest: dict[str, int] = {}
    missing = ""
    try:
        with TrlProcess("trl_rollout", str(folder)) as trl:
            for _ in range(rounds + 1):
                for name, side in sides.items():
                    spent, longest[name] = side.play()
                    seconds[name].append(spent)
                if missing:
                    continue
                try:
                    told = trl.ask()
                except PeerMissing as problem:
                    missing = str(problem)
                    continue
                assert told["sampled"] == task.SAMPLED, f"TRL sampled {told['sampled']} tokens, not {task.SAMPLED}"
                longest["trl"] = told["longest"]
                seconds["trl"].append(told["seconds"])
    finally:
        for side in sides.values():
            side.close()
    return {name: spent[1:] for name, spent in seconds.items()}, longest, missing


def measure(rounds: int = ROUNDS) -> Report:
    """Both ratios in one run."""
    with tempfile.TemporaryDirectory() as temporary:
        seconds, longest, missing = seconds_of_rounds(task.build(Path(temporary, "model")), rounds)
    rates = {name: task.SAMPLED / statistics.median(spent) for name, spent in seconds.items() if spent}

    def figure(name: str, peer: str, times: float) -> Figure:
        note = f"it has no figure: {missing}"
        if seconds[name]:
            ratios = [other / own for own, other in zip(seconds["reuse"], seconds[name], strict=True)]
            note = (
                f"{min(ratios):.2f}x to {max(ratios):.2f}x over {len(ratios)} rounds; "
                f"conversations of {longest[name]} tokens."
            )
        return Figure(
            "sampled tokens",
            rates["reuse"],
            "per CPU-s",
            more_is_better=True,
            peer=peer,
            theirs=rates.get(name),
            times=times,
            note=f"against {peer}: {note}",
        )

    figures = [
        figure("reencoding", "encoded anew each turn", TIMES_REENCODING),
        figure("trl", f"TRL {TrlProcess.VERSION}", TIMES_TRL),
    ]
    method = (
        f"{task.EPISODES} episodes of {task.TURNS} turns in flight, {task.TASKS} tasks x {task.GROUP} of {task.ENV}, "
        f"{task.ANSWER} tokens an answer on every side, 2.9 M random parameters, four heads that share one for keys "
        f"and values, temperature 1, one thread, float32; Arena's conversations end at {longest['reuse']} tokens. "
        f"Medians of {rounds} rounds taken in turns after one to warm up. A round is the episodes, their environments "
        "and their advantages; Arena also keeps log-probabilities, which TRL leaves to the update."
    )
    return Report(method, figures, {"seconds": seconds})
