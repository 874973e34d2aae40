"""The weights in parts, one part per rank, with FSDP2: what is trained, beside the whole copy that samples.

Each rank keeps one whole copy of the weights, so that its episodes wait for nobody. Training needs more:
gradients, AdamW's two moments and float32 copies; of those, and of the weights they belong to, each rank
holds one part. After an update the parts are gathered into the whole copy.

Adapters are small, so they are not cut: each rank trains its whole copy, and the gradients are added up.
A second copy of the weights below them, even in parts, would only cost memory.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from arena.core.errors import MissingPrerequisite

if TYPE_CHECKING:
    from torch import Tensor

    from arena.trainers._ranks import Ranks


def in_parts(network: Any, ranks: Ranks) -> Any:
    """A copy of a network whose parameters are cut among the ranks.

    Gradients are summed over the ranks, not averaged: losses are divided by counts of the whole batch.
    Sums are formed in float32, whatever the weights are held in.

    Raises:
        MissingPrerequisite: torch is too old.
    """
    import torch
    from torch.distributed import fsdp

    if not hasattr(fsdp.FSDPModule, "set_force_sum_reduction_for_comms"):
        raise MissingPrerequisite(
            f"Several ranks need torch 2.9 or newer; this is {torch.__version__}.", "pip install -U torch"
        )
    learner, mesh = copy.deepcopy(network), ranks.mesh(next(network.parameters()).device.type)
    policy = fsdp.MixedPrecisionPolicy(reduce_dtype=torch.float32)
    for module in [*_blocks(learner), learner]:
        fsdp.fully_shard(module, mesh=mesh, mp_policy=policy)
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
    return learner


def _blocks(network: Any) -> list[Any]:
    """The repeated blocks of a transformer, each of which is gathered by itself when it computes."""
    names = set(getattr(network, "_no_split_modules", None) or ())
    return [module for module in network.modules() if type(module).__name__ in names and module is not network]


def gather(learner: Any, network: Any) -> None:
    """Copy the weights from their parts into a whole network; every rank takes part."""
    import torch

    held = dict(network.named_parameters())
    with torch.no_grad():
        for name, part in learner.named_parameters():
            held[name].copy_(whole(part))


def whole(tensor: Tensor) -> Tensor:
    """A tensor put together from its parts, by all ranks at once; any other tensor as it is."""
    from torch.distributed.tensor import DTensor

    return tensor.detach().full_tensor() if isinstance(tensor, DTensor) else tensor.detach()


def cut_like(tensor: Tensor, like: Tensor) -> Tensor:
    """This rank's part of a whole tensor that all of them have, cut as `like` is; all of it where that is whole."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    placed = tensor.to(like.device)
    if not isinstance(like, DTensor):
        return placed.clone()
    return distribute_tensor(placed, like.device_mesh, like.placements, src_data_rank=None)


__all__ = ["cut_like", "gather", "in_parts", "whole"]
