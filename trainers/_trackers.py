"""Metrics to an experiment tracker, besides `metrics.jsonl`, which always has them.

trackio       local, a dashboard with `trackio show`
tensorboard   event files under RUN/tensorboard
wandb         Weights & Biases; WANDB_MODE=offline keeps it local
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from arena.core.errors import MissingPrerequisite

TrackerName = Literal["trackio", "tensorboard", "wandb"]


class Tracker(Protocol):
    """Receives the lines of `metrics.jsonl`."""

    def log(self, line: Mapping[str, Any]) -> None:
        """The line of a step."""
        ...

    def close(self) -> None:
        """No more lines come."""
        ...


def check_tracker(name: TrackerName | None) -> None:
    """See that a tracker is installed.

    Raises:
        MissingPrerequisite: with the line that installs it.
    """
    if name is not None and importlib.util.find_spec(name) is None:
        raise MissingPrerequisite(
            f"tracker={name} needs the package {name}, which this Python does not have.",
            f'pip install "arena-gym[{name}]"',
        )


def open_tracker(
    name: TrackerName | None, project: str, run: Path, config: Mapping[str, Any], done: int = 0
) -> Tracker:
    """The tracker of that name; a run that is resumed goes on in the same curve.

    Args:
        name: None keeps `metrics.jsonl` alone.
        project: what the run belongs to.
        run: the run folder, whose name is the run's.
        config: what the tracker shows as the run's settings.
        done: steps that are finished: what was logged after them is written again.

    Raises:
        MissingPrerequisite: it is not installed.
    """
    check_tracker(name)
    if name == "tensorboard":
        return _TensorBoard(run, done)
    if name == "trackio":
        return _Trackio(project, run, config)
    if name == "wandb":
        return _Wandb(project, run, config)
    return _Nothing()


def flat(line: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a line by their path: `eval/success/mean`; what is no number is left out."""
    found: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "step":
            found[f"{prefix}{name}"] = float(value)
    return found


class _Nothing:
    def log(self, line: Mapping[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass


class _TensorBoard:
    def __init__(self, run: Path, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=done + 1 if done else None)

    def log(self, line: Mapping[str, Any]) -> None:
        for name, value in flat(line).items():
            self._writer.add_scalar(name, value, line["step"])
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _Trackio:
    def __init__(self, project: str, run: Path, config: Mapping[str, Any]) -> None:
        import trackio

        with _quiet():
            self._run = trackio.init(project=project, name=run.name, config=dict(config), resume="allow", embed=False)

    def log(self, line: Mapping[str, Any]) -> None:
        self._run.log(flat(line), step=line["step"])

    def close(self) -> None:
        import trackio

        with _quiet():
            trackio.finish()  # type: ignore[no-untyped-call]


class _Wandb:
    def __init__(self, project: str, run: Path, config: Mapping[str, Any]) -> None:
        import wandb

        settings = wandb.Settings(silent=True)
        self._run = wandb.init(
            project=project,
            name=run.name,
            id=run.name,
            dir=str(run),
            config=dict(config),
            resume="allow",
            settings=settings,
        )

    def log(self, line: Mapping[str, Any]) -> None:
        self._run.log(flat(line), step=line["step"])

    def close(self) -> None:
        self._run.finish()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """A tracker's greetings would break the progress line."""
    import io

    with contextlib.redirect_stdout(io.StringIO()):
        yield


__all__ = ["Tracker", "TrackerName", "check_tracker", "flat", "open_tracker"]
