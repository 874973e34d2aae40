"""Drawing tokens: the distribution that is sampled from, and each request's own stream of numbers.

B: sequences in the batch, V: vocabulary.

The distribution of a sequence is softmax(logits / temperature) in float32, restricted to the top-k
largest values and then to the smallest set of most probable tokens whose probability reaches top-p
(tokens that tie with the last one kept are kept too), and normalised again.

The token at position p of a sequence (its prompt included) is the smallest id whose cumulative
probability, summed in the order of ids, exceeds u_p: the p-th number (from 0) that
`numpy.random.Generator(numpy.random.Philox(key=seed)).random()` gives. So a draw depends on the
seed, the position and the logits, and on nothing else in the batch; turns of one conversation that
share a seed use different numbers of its stream. At temperature 0 it is the largest logit's id.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from arena.core.messages import Sampling


@dataclass(frozen=True, slots=True)
class Settings:
    """How one sequence is sampled: every default of the model filled in. `top_k` 0 and `top_p` 1 restrict nothing.

    `raw` log-probabilities are those of the model's own distribution, at temperature 1 without
    restrictions; the others are of the distribution sampled from. At temperature 0 they are raw.
    """

    temperature: float
    top_p: float
    top_k: int
    seed: int
    raw: bool

    @classmethod
    def of(cls, sampling: Sampling, defaults: Any, *, raw: bool = False) -> Settings:
        """What is asked for, filled in from a model's `generation_config`, else neutral; without a seed a fresh one."""

        def choose(value: Any, default: Any, neutral: Any) -> Any:
            return value if value is not None else default if default is not None else neutral

        return cls(
            temperature=choose(sampling.temperature, defaults.temperature, 1.0),
            top_p=choose(sampling.top_p, defaults.top_p, 1.0),
            top_k=choose(sampling.top_k, defaults.top_k, 0),
            seed=secrets.randbits(63) if sampling.seed is None else sampling.seed,
            raw=raw,
        )

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is taken."""
        return self.temperature == 0


class Stream:
    """The numbers u_p, u_(p+1), … of a seed."""

    def __init__(self, seed: int, position: int) -> None:
        # A Philox block is four numbers; `advance` counts blocks.
        blocks = np.random.Philox(key=seed % 2**64).advance(position // 4)
        self._generator = np.random.Generator(blocks)
        self._generator.random(position % 4)

    def next(self) -> float:
        """The next number in [0, 1)."""
        return float(self._generator.random())


class Drawer:
    """Draws one token for each sequence of a batch."""

    def __init__(self, settings: Sequence[Settings], device: torch.device) -> None:
        greedy, raw = [s.greedy for s in settings], [s.raw or s.greedy for s in settings]
        self._all_greedy = all(greedy)
        self._greedy = torch.tensor(greedy, device=device) if any(greedy) else None
        self._raw = torch.tensor(raw, device=device) if any(raw) else None
        temperatures = [s.temperature or 1.0 for s in settings]
        self._temperatures = _column(temperatures, device) if set(temperatures) != {1.0} else None
        top_k = [s.top_k for s in settings]
        self._top_k = torch.tensor(top_k, device=device)[:, None] if any(top_k) else None
        self._most = max(top_k, default=0)
        top_p = [s.top_p for s in settings]
        self._top_p = _column(top_p, device) if min(top_p, default=1.0) < 1 else None

    def log_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """The log-probabilities [B, V] that are sampled from, of logits [B, V]."""
        logits = logits.float()
        if self._temperatures is not None:
            logits = logits / self._temperatures
        if self._top_k is not None:
            largest = logits.topk(min(self._most, logits.shape[-1]), dim=-1).values
            last = largest.gather(-1, (self._top_k.clamp(1, largest.shape[-1]) - 1))
            logits = logits.masked_fill((logits < last) & (self._top_k > 0), -torch.inf)
        if self._top_p is not None:
            probabilities = logits.softmax(-1)
            ordered = probabilities.sort(dim=-1, descending=True).values
            needed = ordered.cumsum(-1) - ordered < self._top_p
            least = ordered.masked_fill(~needed, torch.inf).min(-1, keepdim=True).values
            logits = logits.masked_fill((probabilities < least) & (self._top_p < 1), -torch.inf)
        return logits.log_softmax(-1)

    def draw(
        self, logits: torch.Tensor, numbers: Sequence[float], forced: Sequence[int | None]
    ) -> tuple[list[int], list[float]]:
        """Sample.

        Args:
            logits: [B, V].
            numbers: the next number of each sequence's stream.
            forced: ids that are taken instead, where there are any.

        Returns:
            The B ids and their log-probabilities.
        """
        scores = self.log_probabilities(logits)
        if self._all_greedy:
            chosen = logits.argmax(-1)
        else:
            chosen = _inverse(scores, numbers)
            if self._greedy is not None:
                chosen = torch.where(self._greedy, logits.argmax(-1), chosen)
        if any(token is not None for token in forced):
            ids = [drawn if token is None else token for drawn, token in zip(chosen.tolist(), forced, strict=True)]
            chosen = torch.tensor(ids, device=logits.device)
        values = scores.gather(-1, chosen[:, None])[:, 0]
        if self._raw is not None:
            own = logits.float().log_softmax(-1).gather(-1, chosen[:, None])[:, 0]
            values = torch.where(self._raw, own, values)
        return chosen.tolist(), values.tolist()


def _inverse(scores: torch.Tensor, numbers: Sequence[float]) -> torch.Tensor:
    """The smallest id whose cumulative probability exceeds the number, for each row [B]."""
    # Summed in float64: in float32 the sum over a large vocabulary loses the small probabilities.
    wide = torch.float32 if scores.device.type == "mps" else torch.float64
    cumulative = scores.to(wide).exp().cumsum(-1)
    total = cumulative[:, -1:]
    target = torch.tensor(numbers, dtype=wide, device=scores.device)[:, None] * total
    target = torch.minimum(target, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, target, right=True)[:, 0]


def _column(values: Sequence[float], device: torch.device) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)[:, None]
