"""Branch from any turn of a recorded episode with another agent, into a new run that names its parent."""

from __future__ import annotations

from pathlib import Path

from arena.core.episode import Episode, ImagePart, Parent, TextPart, Turn
from arena.core.errors import UsageError
from arena.core.observation import Observation
from arena.records import Run
from arena.rollout import Job, Prefix


def fork_job(run: Run, episode: Episode, turn: int, repeat: int = 0) -> Job:
    """The job that plays an episode again up to `turn` and goes on from there.

    The environment is brought there by the snapshot recorded before that turn, where there is one,
    otherwise by executing the turns before it again; those must come out as they were recorded.

    Args:
        run: the run that holds the episode.
        episode: the episode to branch from.
        turn: index of the first turn that the new agent plays; 0 starts at the first observation.
        repeat: number of the branch, which gives its agent a seed of its own.

    Raises:
        UsageError: the episode has no such turn.
    """
    last = len(episode.turns) - 1 if _ended_by_itself(episode) else len(episode.turns)
    if not 0 <= turn <= last:
        raise UsageError(f"This episode can be forked at turns 0 to {last}, not at {turn}.")
    at = episode.turns[turn] if turn < len(episode.turns) else None
    parts = at.observation if at is not None else episode.final_observation
    results = at.results if at is not None else episode.final_results
    snapshot = run.blob(at.snapshot) if at is not None and at.snapshot is not None else None
    images = snapshot is not None
    prefix = Prefix(
        parent=Parent(
            run=str(Path(run.folder).resolve().name),
            key=episode.key,
            turn=turn,
            by="replay" if snapshot is None else "snapshot",
        ),
        turns=tuple(_with_images(run, past) for past in episode.turns[:turn]),
        observations=(
            *(_observation(run, past.observation, past.results, images) for past in episode.turns[:turn]),
            _observation(run, parts, results, images),
        ),
        snapshot=snapshot,
        state_key=at.state_key if at is not None else episode.state_key,
        player=at.player if at is not None else "agent",
    )
    return Job(episode.task.task, repeat, prefix=prefix)


def _with_images(run: Run, turn: Turn) -> Turn:
    """The same turn with the bytes of its images at hand, to be kept in the new run."""
    for part in turn.observation:
        if isinstance(part, ImagePart):
            part.with_data(run.blob(part.sha256))
    return turn


def _ended_by_itself(episode: Episode) -> bool:
    return bool(episode.turns) and (episode.turns[-1].terminated or episode.turns[-1].truncated)


def _observation(
    run: Run, parts: tuple[TextPart | ImagePart, ...], results: tuple[str, ...], images: bool
) -> Observation:
    """What was observed, as an agent receives it; without its image where the environment will draw it again."""
    text = "".join(part.text for part in parts if isinstance(part, TextPart))
    image = next((part for part in parts if isinstance(part, ImagePart)), None)
    if image is None or not images:
        return Observation(text, results=results)
    import io

    import numpy as np
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(run.blob(image.sha256))).convert("RGB"))
    return Observation(text, pixels, results)
