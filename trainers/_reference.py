"""The reference policy: what the KL term holds the policy to, as it was before the first step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arena.trainers._policy import Policy

if TYPE_CHECKING:
    from torch import Tensor

    from arena.trainers._batch import Batch
    from arena.trainers._config import TrainConfig


class Reference:
    """Log-probabilities under the model that the run began with.

    With adapters it is the policy without them, and the weights are in memory once. Without, a second
    copy is loaded when it is first asked for.
    """

    def __init__(self, config: TrainConfig, policy: Policy, temperature: float) -> None:
        self._config, self._policy, self._temperature = config, policy, temperature
        self._copy: Policy | None = None

    def logprobs(self, batch: Batch) -> Tensor:
        """Of the tokens that train, without gradients (B, L)."""
        import torch

        asked = (batch.ids, batch.attention, batch.mask, self._temperature)
        with torch.no_grad():
            if self._config.policy.lora_rank:
                with self._policy.as_reference():
                    return self._policy.logprobs(*asked)[0]
            if self._copy is None:
                self._copy = Policy.load(self._config.model, self._config.policy)
            return self._copy.logprobs(*asked)[0]


__all__ = ["Reference"]
