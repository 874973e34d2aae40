"""Options of the loop that go with any algorithm: which tasks come next, rewards reshaped, entropy smoothed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class CurriculumOptions(BaseModel):
    """Which kinds of tasks a step takes, and for how many turns; see `_curriculum` for the rules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["uniform", "ucb", "bandit"] = "uniform"
    """uniform; ucb (DUMP, arXiv 2504.09710); bandit (SEC, arXiv 2505.14970)."""
    by: str = "params"
    """What makes a kind: the environment with its `params`, the `env` alone, each `task`, or one parameter by name."""
    variants: tuple[dict[str, Any], ...] = ()
    """Parameters to train with, such as [{"size": 3}, {"size": 5}]; each goes on top of `params`."""
    temperature: float | None = Field(default=None, gt=0)
    """Of the softmax over kinds; 0.1 with ucb and 1 with bandit unless told."""
    window: int = Field(default=300, ge=1)
    """ucb: the last so many episodes of a kind count."""
    rate: float = Field(default=0.5, gt=0, le=1)
    """bandit: how fast an estimate moves."""
    horizon: tuple[tuple[int, int], ...] = ()
    """(steps done, turns): from then on episodes have at most so many turns (ScalingInter-RL): [[0, 5], [100, 10]]."""


class ShapingOptions(BaseModel):
    """What is done to rewards before credit is assigned, in this order; see `_shaping` for the formulae."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gate: float | None = None
    """G-RA: rewards before the last turn count only in episodes whose last turn earned at least this."""
    invalid_penalty: float = Field(default=0.0, ge=0)
    """Subtracted from the reward of each turn with an invalid action."""
    format_penalty: float = Field(default=0.0, ge=0)
    """Subtracted from the reward of each turn whose reply was malformed, be it asked again or passed on."""
    keep_groups: float = Field(default=1.0, gt=0, le=1)
    """StarPO-S: the share of groups that is trained on, those whose returns spread most (RAGEN: 0.25)."""
    normalise: Literal["identity", "mean", "mean_std", "asym_clip"] = "identity"
    """Returns compared with their group's, before the algorithm does what it does (RAGEN)."""
    normalise_by: Literal["group", "batch"] = "group"
    """What the mean and the deviation run over."""

    @property
    def active(self) -> bool:
        """Whether anything is done at all."""
        return self != ShapingOptions()


class SmoothingOptions(BaseModel):
    """EPO's entropy smoothing (arXiv 2509.22576), which goes with an entropy bonus; see `_entropy`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(default=0.0, ge=0)
    """How much leaving the corridor costs (EPO: 0.05 to 0.1); 0 does not smooth."""
    low: float = Field(default=0.8, ge=0)
    """The corridor's floor, as a multiple of the mean entropy that earlier steps had at the same turn …"""
    high: float = Field(default=1.2, gt=0)
    """… and its ceiling."""
    unit: Literal["token", "sequence"] = "token"
    """Whether the entropy of each token is held in the corridor, or the mean over the answers of a turn."""
    form: Literal["hinge", "constant"] = "hinge"
    """hinge pushes entropy back into the corridor; constant is the reference's, which has no gradient."""

    @model_validator(mode="after")
    def _wide(self) -> SmoothingOptions:
        if self.low >= self.high:
            raise ValueError(f"the floor low={self.low:g} must lie below the ceiling high={self.high:g}")
        return self


__all__ = ["CurriculumOptions", "ShapingOptions", "SmoothingOptions"]
