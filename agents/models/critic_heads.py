"""Value heads: what reads a number off a critic's hidden states, and what it is fitted with.

Shapes: `…` any positions, H width of the hidden states, K bins.

A head has two steps, so that one way of using it fits every kind: `scores = head(hidden)` is what gradients
flow through, `head.value(scores)` the number it means, and `head.loss(scores, target)` what is made smaller
where the number should be `target`. Heads compute in float32 whatever the hidden states are held in.

Returns may be of any size, and a layer learns numbers around 0 and 1 best: a scalar head's scores are
values in its own unit, (value - location) / scale, and so is its loss. `measure` sets it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from arena.core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HeadKind = Literal["scalar", "hl_gauss"]


@dataclass(frozen=True)
class HeadOptions:
    """What a head is.

    Attributes:
        kind: `scalar`: one number, squared error. `hl_gauss`: a distribution over bins, cross entropy with a
            Gaussian around the target (Farebrother et al. 2024, arXiv 2403.03950).
        outputs: numbers at a position: 1, or one per token of a vocabulary.
        layers: hidden layers, as wide as the hidden states, before the last one.
        low, high, bins: the range of `hl_gauss` and the K bins it is cut into. Values near its ends are drawn
            inwards, so leave a margin around the returns there can be.

    Raises:
        UsageError: a kind that does not exist, or a range that is none.
    """

    kind: HeadKind = "scalar"
    outputs: int = 1
    layers: int = 0
    low: float = -0.5
    high: float = 1.5
    bins: int = 51

    def __post_init__(self) -> None:
        if self.kind not in get_args(HeadKind):
            raise UsageError(f"There is no value head {self.kind!r}: {', '.join(get_args(HeadKind))}.")
        if not self.low < self.high or self.bins < 2 or self.outputs < 1 or self.layers < 0:
            raise UsageError(f"A value head needs low < high, two bins and one output, not {self}.")

    def in_words(self) -> str:
        """What it is, for a sentence."""
        what = "a scalar" if self.kind == "scalar" else f"{self.bins} bins from {self.low:g} to {self.high:g}"
        what = what if self.outputs == 1 else f"{what} for each of {self.outputs} tokens"
        return f"{what} ({self.layers} hidden {'layer' if self.layers == 1 else 'layers'})"

    def check_range(self, returns: NDArray[np.float64]) -> None:
        """Whether the bins of `hl_gauss` hold these returns.

        Raises:
            UsageError: they do not.
        """
        if self.kind == "hl_gauss" and not self.low < returns.min() <= returns.max() < self.high:
            raise UsageError(
                f"The returns go from {returns.min():g} to {returns.max():g}, and the critic's bins from {self.low:g} "
                f"to {self.high:g}: set settings.low and settings.high with some margin."
            )


class ValueHead(nn.Module):  # type: ignore[misc]
    """A head on hidden states of width H.

    It begins with the same value everywhere: `location`, or the middle of the range with `hl_gauss`. The last layer is
    zero, the layers before are drawn from `seed`, so that twins with `layers` of at least 1 and seeds of their
    own learn different things.

    Attributes:
        options: what it is.
        unit: location and scale of a scalar head's values, 0 and 1 until they are measured; saved with the weights.
    """

    def __init__(self, width: int, options: HeadOptions | None = None, *, seed: int = 0) -> None:
        super().__init__()
        self.options = options = options or HeadOptions()
        generator = torch.Generator().manual_seed(seed % 2**63)
        size = options.outputs * (options.bins if options.kind == "hl_gauss" else 1)
        self.layers = nn.ModuleList(_linear(width, width, generator) for _ in range(options.layers))
        self.last = _linear(width, size, None)
        self.register_buffer("unit", torch.tensor([0.0, 1.0]))

    @property
    def edges(self) -> Tensor:
        """The edges of the bins (K + 1)."""
        at = self.options
        return torch.linspace(at.low, at.high, at.bins + 1, device=self.last.weight.device)

    def forward(self, hidden: Tensor) -> Tensor:
        """Scores (…, outputs, 1 or K), in float32."""
        states = hidden.float()
        for layer in self.layers:
            states = torch.nn.functional.relu(layer(states))
        scores: Tensor = self.last(states)
        return scores.unflatten(-1, (self.options.outputs, -1))

    def value(self, scores: Tensor) -> Tensor:
        """The numbers that scores mean: (…, outputs), and (…) where there is one output."""
        if self.options.kind == "hl_gauss":
            edges = self.edges
            values = scores.softmax(-1) @ ((edges[1:] + edges[:-1]) / 2)
        else:
            values = self.unit[0] + self.unit[1] * scores[..., 0]
        return values[..., 0] if self.options.outputs == 1 else values

    def loss(self, scores: Tensor, target: Tensor) -> Tensor:
        """Half the squared error in the head's unit, or the cross entropy; `target` is of the values' shape."""
        if self.options.kind == "scalar":
            return 0.5 * (self.in_unit(self.value(scores)) - self.in_unit(target)).square()
        logits = scores[..., 0, :] if self.options.outputs == 1 else scores
        return -(hl_gauss(target, self.edges) * logits.log_softmax(-1)).sum(-1)

    def in_unit(self, values: Tensor) -> Tensor:
        """Values in the head's own unit: what a scalar head's scores are."""
        return (values - self.unit[0]) / self.unit[1]

    def measure(self, returns: Tensor) -> None:
        """Take the unit from returns such as it will meet, if it is a scalar head that has learned nothing yet."""
        if self.options.kind != "scalar" or not len(returns) or bool(self.last.weight.any()):
            return
        location = float(returns.mean())
        scale = max(float(returns.std(correction=0)), abs(location) / 4) or 1.0
        self.unit.copy_(torch.tensor([location, scale]))

    def described(self) -> dict[str, Any]:
        """Its options, as JSON takes them."""
        return asdict(self.options)

    @classmethod
    def of(cls, width: int, described: Mapping[str, Any]) -> ValueHead:
        """A head from what `described` gave; its weights are to be loaded.

        Raises:
            UsageError: options of another version.
        """
        try:
            return cls(width, HeadOptions(**described))
        except TypeError as error:
            raise UsageError(f"A value head cannot be made from {dict(described)}: {error}.") from None


def hl_gauss(target: Tensor, edges: Tensor, spread: float = 0.75) -> Tensor:
    """The share of a Gaussian around each target that falls into each bin (…, K), summing to 1.

    Args:
        target: numbers (…); those outside the range count as its end.
        edges: of the bins, all equally wide (K + 1).
        spread: the standard deviation, in bins.
    """
    wide = spread * (edges[1] - edges[0])
    within = target.clamp(float(edges[0]), float(edges[-1]))
    below = torch.special.erf((edges - within[..., None]) / (math.sqrt(2) * wide))
    return below.diff(dim=-1) / (below[..., -1:] - below[..., :1])


def _linear(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Linear:
    """A float32 layer drawn from a generator, zero without one; the global generator stays as it is."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)
    bound = 1 / math.sqrt(inputs)
    for parameter in layer.parameters():
        if generator is None:
            nn.init.zeros_(parameter)
        else:
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer


__all__ = ["HeadKind", "HeadOptions", "ValueHead", "hl_gauss"]
