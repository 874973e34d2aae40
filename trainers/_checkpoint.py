"""Checkpoints: whole or not there, and enough to go on with the same numbers.

    checkpoints/step-000010/
        model/                  the weights, as an ordinary model folder; with adapters adapter.safetensors instead
        optimiser.safetensors   AdamW's state, and the float32 copies of weights held in fewer bits
        critic/                 and other parts of the run besides the policy, each in its own form
        state.json              step, policy version, lengths of the run's shards

There is no state of random generators: tasks, samples and orders are drawn from generators made from
the run's seed and the step, and nothing draws from a global one.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from arena.core.errors import InfrastructureError, RecordDamaged, UsageError
from arena.trainers._policy import Policy, PolicyOptions, replace_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from arena.trainers._optimiser import Optimiser
    from arena.trainers._ranks import Ranks

_KEPT = 2
_ADAPTER = "adapter.safetensors"


@dataclass(frozen=True, slots=True)
class State:
    """Where a training stood.

    Attributes:
        step: steps done.
        version: the policy version that samples next.
        offsets: `RunWriter.offsets()`: what was recorded up to then.
        loop: what the loop has learned beside weights, as JSON: the curriculum, the entropies seen.
    """

    step: int
    version: str
    offsets: Mapping[str, int]
    loop: Mapping[str, Any] = field(default_factory=dict)


class Part(Protocol):
    """What a run trains or keeps besides the policy, such as a critic."""

    def save(self, folder: Path) -> None:
        """Write all that it takes to go on, into a folder that does not exist yet."""
        ...

    def restore(self, folder: Path) -> None:
        """Become what `save` wrote."""
        ...

    def publish(self, folder: Path) -> None:
        """Write the result of the run for others to use; nothing where there is none."""
        ...


def save_checkpoint(
    run: Path, state: State, policy: Policy, optimiser: Optimiser, parts: Mapping[str, Part] | None = None
) -> Path:
    """Write a checkpoint and drop the oldest; the ones before stand whatever happens.

    All ranks call it and rank 0 writes: whole weights and a whole optimiser, for any number of ranks to go on from.

    Raises:
        InfrastructureError: the disk is full or failed.
        RankFailed: so on rank 0, where this is another.
    """
    path, tensors = run / "checkpoints" / f"step-{state.step:06d}", optimiser.state()
    with policy.ranks.together():
        if policy.ranks.first:
            _write(path, state, policy, tensors, parts or {})
    return path


def _write(path: Path, state: State, policy: Policy, tensors: Mapping[str, Tensor], parts: Mapping[str, Part]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    run, fresh = path.parent.parent, path.with_name(f".{path.name}.new")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        if policy.options.lora_rank:
            adapter = {name: value.detach().contiguous() for name, value in policy.parameters().items()}
            save_file(adapter, fresh / _ADAPTER)
        else:
            policy.save(fresh / "model")
        save_file({name: value.contiguous() for name, value in tensors.items()}, fresh / "optimiser.safetensors")
        for name, part in parts.items():
            part.save(fresh / name)
        (fresh / "state.json").write_text(json.dumps({"format": 1, **asdict(state)}, indent=2) + "\n")
        replace_folder(fresh, path)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise InfrastructureError(
            f"The checkpoint of step {state.step} could not be written: {error}. Those before it stand; make room and "
            f"go on with: arena train --resume {run}"
        ) from error
    for old in checkpoints(run)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def check_room(run: Path, policy: Policy) -> None:
    """Refuse a disk on which the checkpoints do not find room: those that are kept, and the one being written.

    Raises:
        InfrastructureError: says how much is needed and how much there is.
    """
    weights = sum(value.numel() * value.element_size() for value in policy.network.parameters())
    trained = list(policy.parameters().values())
    state = sum(value.numel() * (8 if value.element_size() == 4 else 12) for value in trained)
    one = state + (sum(value.nbytes for value in trained) if policy.options.lora_rank else weights)
    needed = (_KEPT + 1) * one + weights
    place = next(folder for folder in (run, *run.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise InfrastructureError(
            f"The checkpoints of this run take {needed / 1e9:.3f} GB, and {place} has {free / 1e9:.3f} GB left. Make "
            "room, give another folder with -o, or train adapters: --set policy.lora_rank=16."
        )


def checkpoints(run: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    return sorted((run / "checkpoints").glob("step-*"))


def read_state(path: Path) -> State:
    """Where the training stood.

    Raises:
        RecordDamaged: it cannot be read.
    """
    try:
        values = json.loads((path / "state.json").read_text())
        return State(values["step"], values["version"], values["offsets"], values["loop"])
    except (OSError, ValueError, KeyError) as error:
        raise RecordDamaged(f"{path} cannot be read ({error}). Remove it to go on from the one before.") from error


def newest(run: Path) -> Path:
    """The newest checkpoint.

    Raises:
        UsageError: there is none.
    """
    found = checkpoints(run)
    if not found:
        raise UsageError(f"{run} has no checkpoint to go on from; was it made by `arena train`?")
    return found[-1]


def load_policy(path: Path, base: str, options: PolicyOptions, seed: int, ranks: Ranks | None = None) -> Policy:
    """The policy of a checkpoint; adapters are put on the model that they were trained on."""
    if not options.lora_rank:
        return Policy.load(path / "model", options, ranks=ranks)
    from safetensors.torch import load_file

    policy, adapter = Policy.load(base, options, seed=seed, ranks=ranks), load_file(path / _ADAPTER)
    for name, parameter in policy.parameters().items():
        parameter.data.copy_(adapter[name])
    return policy


def publish(run: Path, policy: Policy, parts: Mapping[str, Part]) -> None:
    """Write the result of a run, as ordinary model folders."""
    policy.save(run / "model")
    for name, part in parts.items():
        part.publish(run / name)


def load_optimiser(path: Path, optimiser: Optimiser) -> None:
    """Bring an optimiser to where it was, tensor by tensor."""
    from safetensors import safe_open

    with safe_open(path / "optimiser.safetensors", framework="pt") as file:
        optimiser.restore((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118


def restore_parts(path: Path, parts: Mapping[str, Part]) -> None:
    """Bring the other parts to where they were.

    Raises:
        RecordDamaged: the checkpoint lacks one.
    """
    for name, part in parts.items():
        if not (path / name).is_dir():
            raise RecordDamaged(f"{path} lacks its {name}. Remove it to go on from the one before.")
        part.restore(path / name)


__all__ = [
    "Part",
    "State",
    "check_room",
    "checkpoints",
    "load_optimiser",
    "load_policy",
    "newest",
    "publish",
    "read_state",
    "restore_parts",
    "save_checkpoint",
]
