"""What stops a training, and what it is warned about, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.core.errors import ArenaError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from arena.core.episode import Episode
    from arena.trainers._batch import Batch

_OTHER_POLICY = 0.02
"""KL between sampler and trainer, in nats a token, that kernels and number formats do not explain."""

_PATIENCE = 5
"""Steps without a single success before it is said."""


class TrainingDiverged(ArenaError):
    """A loss or gradient that is no number; the batch is saved and the turn named."""


def stop(
    batch: Batch,
    logprob: Tensor,
    *,
    step: int,
    folder: Path,
    episodes: Sequence[Episode],
    turns: NDArray[np.int64] | None = None,
) -> None:
    """Save a batch whose loss is no number, and stop.

    Raises:
        TrainingDiverged: says where the batch is and which turn is broken.
    """
    import torch
    from safetensors.torch import save_file

    broken = ~torch.isfinite(logprob) | ~torch.isfinite(batch.advantage) | ~torch.isfinite(batch.old_logprob)
    rows = broken.any(-1).nonzero()[:, 0]
    number = int(rows[0]) if len(rows) else 0
    row = batch.rows[number]
    first, last = row.turns
    place = int(broken[number].nonzero()[0]) if len(rows) else -1
    if turns is not None and place >= 0 and row.source[place] >= 0:
        first = last = int(turns[row.source[place]])
    named = f"turn {first}" if first == last else f"turns {first} to {last}"
    path = folder / "failed" / f"step-{step:06d}.safetensors"
    path.parent.mkdir(exist_ok=True)
    names = ("ids", "attention", "mask", "old_logprob", "advantage")
    tensors = {name: getattr(batch, name).detach().cpu().contiguous() for name in names}
    save_file({**tensors, "logprob": logprob.detach().cpu().contiguous()}, path)
    key = episodes[row.episode].key if episodes else None
    of = f"{named} of {key.task}, repeat {key.repeat}" if key else f"row {row.episode} of those drawn from the buffer"
    raise TrainingDiverged(
        f"The loss of step {step} is not a number. The batch is saved as {path}; "
        f"{'its first broken number is in' if len(rows) else 'it begins with'} {of}. The last checkpoint stands: "
        "resume it with a lower optimiser.learning_rate or optimiser.max_grad_norm in a new run from its model folder."
    )


def warnings(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the metrics of the steps so far give reason to say now, with what to try.

    Each is said at the step at which it begins to hold; steps that did not measure it say nothing about it.
    """
    found = []
    last = history[-1]
    successes = [line["success"] for line in history if "success" in line]
    if "success" in last and len(successes) == _PATIENCE and not any(successes):
        found.append(
            f"No episode of the first {_PATIENCE} steps succeeded, so there is nothing to reinforce. Start from "
            "demonstrations (arena train bc), or make the task easier (--set params.…)."
        )
    spread = [line for line in history if "entropy" in line]
    if "entropy" in last and _begins(spread, lambda line: line["entropy"] < 0.05 * max(spread[0]["entropy"], 1e-9)):
        found.append(
            f"The entropy fell from {spread[0]['entropy']:.3f} to {last['entropy']:.3f} nats a token: the policy "
            "hardly explores any more. Try a lower learning rate, kl=0.01 or entropy_bonus=0.005."
        )
    told = [line for line in history if "tokens_per_turn" in line]
    if "tokens_per_turn" in last and _begins(
        told, lambda line: line["tokens_per_turn"] > 3 * max(told[0]["tokens_per_turn"], 1)
    ):
        found.append(
            f"Answers grew from {told[0]['tokens_per_turn']:.0f} to {last['tokens_per_turn']:.0f} tokens a turn. Try "
            "max_tokens in the agent spec, or grpo's overlong_limit."
        )
    if _begins(history, lambda line: line.get("advantage_zero") == 1.0):
        found.append(
            "All advantages are 0: the episodes of each group earned the same, and this step taught nothing. Try "
            "tasks that succeed now and then (--set params.…, curriculum.variants=[…]), a larger --group-size, or a "
            "higher temperature in the agent spec."
        )
    if _begins(history, lambda line: not line.get("staleness_max") and (line.get("sampler_kl") or 0) > _OTHER_POLICY):
        found.append(
            f"The server that samples has the trainer's weights, and a KL of {last['sampler_kl']:.3f} nats a token "
            "lies between their probabilities. Does it serve this model, is logprob_kind what it was started with "
            "(vLLM: --logprobs-mode), and is its number format the trainer's (policy.dtype)?"
        )
    return found


def _begins(history: Sequence[Mapping[str, Any]], holds: Any) -> bool:
    return holds(history[-1]) and (len(history) < 2 or not holds(history[-2]))


__all__ = ["TrainingDiverged", "stop", "warnings"]
