"""Opening a training run: a new one when everything was tried, or one that was left off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from arena.agents import build as build_agent
from arena.evaluation.config import run_folder, versions
from arena.records import RunWriter, create_run, resume_run
from arena.rollout import RecordedModel
from arena.trainers import _checkpoint
from arena.trainers._algorithms import parts_of
from arena.trainers._config import TrainConfig
from arena.trainers._policy import Policy
from arena.trainers._ranks import Ranks
from arena.trainers._start import prepared, read_run, resolved, shared_writer
from arena.trainers._tasks import environments, training_tasks


@dataclass(frozen=True)
class Opened:
    """A run folder that is being written, and what is trained.

    Attributes:
        config: what it is told.
        writer: of the folder.
        policy: what is trained.
        parts: what the algorithm keeps besides it.
        checkpoint: where it was left off, and the state that it had; None at the beginning.
        fresh: there was nothing in the folder before.
    """

    config: TrainConfig
    writer: RunWriter
    policy: Policy
    parts: Mapping[str, _checkpoint.Part]
    checkpoint: tuple[Path, _checkpoint.State] | None = None
    fresh: bool = False


def open_new(config: TrainConfig, out: str | Path | None, ranks: Ranks) -> Opened:
    """Begin a run folder; everything that can be known to be wrong is told before anything is written.

    Raises:
        UsageError, MissingPrerequisite, InfrastructureError: what does not fit, and what to do.
    """
    with ranks.together():
        policy, parts, pool = prepared(config, ranks)
        folder = run_folder(out, config.env, before=config.algorithm)
        _checkpoint.check_room(folder, policy)
        agent = build_agent(config.agent, RecordedModel(policy.model))
        described = resolved(config, agent, policy, environments(pool))
    folder = ranks.agreed(folder)
    fresh = ranks.agreed(not folder.exists() or not any(folder.iterdir()))
    writer = shared_writer(ranks, folder, lambda: create_run(folder, described))
    return Opened(config, writer, policy, parts, fresh=fresh)


def open_again(folder: str | Path, ranks: Ranks) -> Opened:
    """Go on with a run folder from its newest checkpoint; what was done after it counts no more.

    Raises:
        UsageError: no training run there.
        ResumeRefused: packages of the environment have changed since.
    """
    path = Path(folder)
    with ranks.together():
        before, config = read_run(path)
        checkpoint = _checkpoint.newest(path)
        state = _checkpoint.read_state(checkpoint)
        now = {**before, "versions": versions(environments(training_tasks(config)))}
    writer = shared_writer(ranks, path, lambda: resume_run(path, now, ("versions",)))
    try:
        with ranks.together():
            if ranks.first:
                writer.recover()
                writer.supersede_after(state.offsets)
            policy = _checkpoint.load_policy(checkpoint, config.model, config.policy, config.seed, ranks)
            parts = parts_of(config, policy)
            _checkpoint.restore_parts(checkpoint, parts)
    except BaseException:
        writer.close()
        raise
    return Opened(config, writer, policy, parts, (checkpoint, state))


__all__ = ["Opened", "open_again", "open_new"]
