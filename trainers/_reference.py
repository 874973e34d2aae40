"""The reference policy: what the KL term holds the policy to, as it was before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from arena.trainers._policy import Policy
from arena.trainers._row_logprobs import row_logprobs
from arena.trainers._rows import scored_rows
from arena.trainers._shaping import kl_in_reward

if TYPE_CHECKING:
    from torch import Tensor

    from arena.core.episode import Episode
    from arena.trainers._batch import Batch
    from arena.trainers._config import TrainConfig
    from arena.trainers._table import TurnTable


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

    def in_reward(self, table: TurnTable, episodes: Sequence[Episode]) -> tuple[TurnTable, float]:
        """The table of these episodes with the KL term taken from its rewards, and the KL in nats a token.

        Ranks compute a share of the rows each.
        """
        rows, reference = scored_rows(episodes, table), table.token_logprob.copy()
        found = row_logprobs(rows, self.logprobs, self._policy, self._config.pass_tokens)
        for row, values in zip(rows, found, strict=True):
            reference[row.source[row.trains()]] = values
        counted = table.sampled.where[table.sampled.scored]
        divergence = (table.token_logprob - reference)[counted]
        return kl_in_reward(table, reference, self._config.kl), float(divergence.mean()) if len(counted) else 0.0


__all__ = ["Reference"]
