"""The evaluations of a training: held-out tasks played by the policy as it is, each a run of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.core.model import Model
from arena.evaluation.config import EvalConfig
from arena.evaluation.evaluate import evaluate_async, in_any_thread
from arena.evaluation.players import Made
from arena.trainers._tasks import is_suite

if TYPE_CHECKING:
    from arena.evaluation.progress import Progress
    from arena.trainers._config import TrainConfig
    from arena.trainers._ranks import Ranks


def evaluate_on_one_rank(
    config: TrainConfig,
    model: Model | Callable[[], Model],
    run: Path,
    step: int,
    ranks: Ranks,
    *,
    show: Callable[[str], None],
) -> dict[str, Any]:
    """Play the held-out tasks on the first rank, for all; see `evaluate_held_out`.

    Args:
        config: of the run.
        model: who plays, or what makes it for this evaluation alone.
        run: the run folder.
        step: after which it is.
        ranks: who train together.
        show: told how far it is.
    """
    found: dict[str, Any] = {}
    with ranks.together():
        if ranks.first:
            playing = model if isinstance(model, Model) else model()
            found = evaluate_held_out(config, playing, run, step, ranks, show=show)
            if playing is not model:
                in_any_thread(playing.aclose())
    return ranks.agreed(found)


def evaluate_held_out(
    config: TrainConfig, model: Model, run: Path, step: int, ranks: Ranks, *, show: Callable[[str], None]
) -> dict[str, Any]:
    """Play the held-out tasks once each; returns success and score with their 95 % intervals.

    An evaluation of the same step that is there already is replaced. One rank plays; if another ends, so does this.
    """
    folder = run / "evaluations" / f"step-{step:06d}"
    shutil.rmtree(folder, ignore_errors=True)
    asked = EvalConfig.read(
        {
            "target": config.env,
            "agent": config.agent,
            "model": model.spec,
            "params": config.params,
            "tasks": None if is_suite(config.env) else config.eval_tasks,
            "max_turns": config.max_turns,
            "concurrency": config.concurrency,
            "seed": config.seed,
        }
    )

    def tell(progress: Progress) -> None:
        show(f"evaluating {progress.done}/{progress.asked}")

    work = ranks.watching(evaluate_async(asked, out=folder, on_progress=tell, made=Made(model=model)))
    overall = in_any_thread(work).summary.overall
    return {"success": overall.success.to_json(), "score": overall.score.to_json(), "turns": overall.turns}


__all__ = ["evaluate_on_one_rank"]
