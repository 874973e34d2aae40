"""AdamW with float32 copies of weights that are held in fewer bits, and the learning rate's course."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from arena.trainers._ranks import Ranks
from arena.trainers._sharding import cut_like, whole

if TYPE_CHECKING:
    from torch import Tensor

_SMALL = 30_000_000
"""Parameters under which a model is taken for one that learns from nothing."""


class OptimiserOptions(BaseModel):
    """AdamW (Loshchilov and Hutter 2019) and how its learning rate goes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: float | None = Field(default=None, gt=0)
    """At the start; 1e-6, 2e-5 with adapters, 3e-4 for models under 30 M parameters unless told."""
    final_share: float = Field(default=0.05, ge=0, le=1)
    """The rate falls linearly to this share of it at the last step."""
    warmup: int = Field(default=0, ge=0)
    """Steps over which it first rises."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the mean of gradients."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the mean of their squares."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Longer gradients are scaled down to this norm."""

    def rate(self, start: float, step: int, steps: int) -> float:
        """The learning rate of a step (from 0) out of `steps`."""
        warm = min((step + 1) / (self.warmup + 1), 1.0)
        return start * warm * (1 - (1 - self.final_share) * step / steps)


class Optimiser:
    """Steps parameters; those that are not float32 through float32 copies, which small updates are not lost in.

    Args:
        parameters: name -> parameter: all whole, or all in parts (`_sharding.in_parts`).
        options: AdamW's.
        adapters: whether they are adapters, which take a higher rate.
        ranks: who trains them; the gradients of whole parameters are summed over the ranks before a step.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        options: OptimiserOptions,
        *,
        adapters: bool = False,
        ranks: Ranks | None = None,
    ) -> None:
        import torch

        self.options = options
        self._ranks = ranks or Ranks()
        self._parameters = dict(parameters)
        self._steered = {
            name: value if value.dtype == torch.float32 else value.detach().float().requires_grad_()
            for name, value in self._parameters.items()
        }
        number = sum(value.numel() for value in self._parameters.values())
        usual = 2e-5 if adapters else 3e-4 if number < _SMALL else 1e-6
        self.learning_rate = options.learning_rate or usual
        self._adam = torch.optim.AdamW(
            self._steered.values(),
            lr=self.learning_rate,
            betas=(options.beta1, options.beta2),
            weight_decay=options.weight_decay,
        )

    def accumulate(self) -> None:
        """Take in the gradients of a backward pass."""
        for name, value in self._parameters.items():
            steered = self._steered[name]
            if steered is not value and value.grad is not None:
                fresh = value.grad.float()
                steered.grad = fresh if steered.grad is None else steered.grad.add_(fresh)
                value.grad = None

    def step(self, rate: float) -> float:
        """Make a step at this learning rate and forget the gradients; returns their norm before it was cut.

        A norm that is not finite changes nothing.
        """
        import torch

        self._add_up()
        norm = float(whole(torch.nn.utils.clip_grad_norm_(self._steered.values(), self.options.max_grad_norm)))
        if math.isfinite(norm):
            for group in self._adam.param_groups:
                group["lr"] = rate
            self._adam.step()
            with torch.no_grad():
                for name, value in self._parameters.items():
                    if self._steered[name] is not value:
                        value.copy_(self._steered[name])
        self._adam.zero_grad(set_to_none=True)
        return norm

    def _add_up(self) -> None:
        """Sum the gradients over the ranks; those of parameters in parts came summed out of the backward pass."""
        import torch
        from torch.distributed.tensor import DTensor

        if self._ranks.alone or any(isinstance(value, DTensor) for value in self._steered.values()):
            return
        for value in self._steered.values():
            if value.grad is None:
                value.grad = torch.zeros_like(value)
        self._ranks.add_up(value.grad for value in self._steered.values())

    def state(self) -> dict[str, Tensor]:
        """All its tensors by name and whole, for a checkpoint; all ranks call it, and rank 0 receives them."""
        found: dict[str, Tensor] = {}
        for name, steered in self._steered.items():
            tensors = {f"{part}/{name}": tensor for part, tensor in self._adam.state.get(steered, {}).items()}
            if steered is not self._parameters[name]:
                tensors[f"master/{name}"] = steered
            for key, tensor in tensors.items():
                together = whole(tensor)
                if self._ranks.first:
                    found[key] = together if self._ranks.alone else together.cpu()
        return found

    def restore(self, state: Iterable[tuple[str, Tensor]]) -> None:
        """Go on from what `state` gave, name by name, with any number of ranks."""
        for key, tensor in state:
            part, _, name = key.partition("/")
            steered = self._steered[name]
            if part == "master":
                steered.data.copy_(cut_like(tensor, steered))
            else:
                self._adam.state[steered][part] = tensor.clone() if part == "step" else cut_like(tensor, steered)


__all__ = ["Optimiser", "OptimiserOptions"]
