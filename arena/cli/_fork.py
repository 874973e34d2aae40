"""Branches of a recorded episode, run as a new run that names its parent."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.cli._console import counted, notice, pairs, print_json, say
from arena.cli._progress import Interrupts, ProgressLine
from arena.core.outcome import Outcome

if TYPE_CHECKING:
    from arena.core.episode import Episode
    from arena.evaluation import EvalConfig, Evaluation
    from arena.records import Run


@dataclass(frozen=True, slots=True)
class Fork:
    """What is asked for: from `turn` on `agent` plays, in so many branches."""

    turn: int
    agent: str
    model: str | None
    branches: int
    concurrency: int
    out: Path | None


def fork_episode(run: Run, episode: Episode, fork: Fork, as_json: bool) -> int:
    """Play the branches and say how they ended; 1 if the turns before the fork could not be repeated."""
    evaluation, interrupted = _play(run, episode, fork)
    branches = sorted(evaluation.run.episodes(), key=lambda branch: branch.key.repeat)
    if as_json:
        print_json(
            {
                "folder": str(evaluation.folder),
                "branches": [
                    branch.model_dump(mode="json", include={"key", "outcome", "limit", "score", "failure", "parent"})
                    for branch in branches
                ],
            }
        )
    else:
        for branch in branches:
            _tell(branch)
        say()
        pairs(
            {
                "read it": f"arena replay {evaluation.folder}",
                "run it again": f"arena replay {evaluation.folder} --execute",
            }
        )
    if interrupted:
        return 130
    broken = [branch for branch in branches if branch.outcome is Outcome.ENVIRONMENT_ERROR]
    if broken and len(broken[0].turns) <= fork.turn:
        notice("The branch could not begin: the turns before it do not come out as they were recorded.")
    return 1 if broken else 0


def _play(run: Run, episode: Episode, fork: Fork) -> tuple[Evaluation, bool]:
    from arena.core.task import Suite
    from arena.evaluation import evaluate_async
    from arena.replay import fork_job

    folder = fork.out or _free(f"{datetime.now(UTC):%Y%m%d-%H%M%S}-fork-{fork.agent.partition(':')[0]}")
    jobs = tuple(fork_job(run, episode, fork.turn, branch) for branch in range(fork.branches))
    suite = Suite(episode.task.env, (episode.task.task,))
    config = _config(run, episode, fork)
    with ProgressLine() as line, Interrupts(patient=fork.agent != "human") as interrupts:

        async def play() -> Any:
            return await evaluate_async(
                config, out=folder, on_progress=line.show, on_engine=interrupts.watch, suite=suite, jobs=jobs
            )

        return asyncio.run(play()), interrupts.happened


def _free(name: str) -> Path:
    """A run folder that is not there yet: two forks may begin in one second."""
    folders = (Path("runs") / (name if n == 1 else f"{name}-{n}") for n in itertools.count(1))
    return next(folder for folder in folders if not folder.exists())


def _config(run: Run, episode: Episode, fork: Fork) -> EvalConfig:
    """The other players are those of the parent."""
    from arena.evaluation import EvalConfig

    _, *others = episode.agents
    before = run.config.get("eval", {})
    return EvalConfig.read(
        {
            "target": episode.task.env,
            "agent": fork.agent,
            "model": fork.model,
            "players": {name: episode.agents[name] for name in others} or {"others": "random"},
            "params": episode.task.params,
            "repeats": fork.branches,
            "limits": before.get("limits", {}),
            "seed": before.get("seed", 0),
            "concurrency": min(fork.branches, fork.concurrency),
        }
    )


def _tell(branch: Episode) -> None:
    score = "not scored" if branch.score is None else f"score {branch.score:.2f}"
    by = f", from turn {branch.parent.turn} by {branch.parent.by}" if branch.parent else ""
    ended = f"{branch.outcome.value} ({branch.limit})" if branch.limit else branch.outcome.value
    say(f"branch {branch.key.repeat}: {ended}, {score}, {counted(len(branch.turns), 'turn')}{by}")
    if branch.failure is not None:
        say(f"  {branch.failure.message}")
