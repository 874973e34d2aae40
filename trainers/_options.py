"""What the algorithms' settings have in common: the choices by name, and that a wrong one is refused."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin, get_type_hints

from arena.core.errors import UnknownName

Singleton = Literal["zero", "raw"]
"""What a group of one gives: 0, or as several references do its own value, unchanged."""

Scale = Literal["group", "batch", "none"]
"""Divide by the group's standard deviation, the whole batch's, or not at all."""

Statistics = Literal["trajectories", "rows"]
"""Count each trajectory once, or once per turn, so that long ones weigh more (verl-agent, per-turn rows)."""

Aggregation = Literal["token-mean", "seq-mean-token-mean", "seq-mean-token-sum"]
"""How the losses of tokens become one number; see `_losses.aggregate`."""

FixedAggregation = Literal[Aggregation, "seq-mean-token-sum-norm"]
"""The same, or each sequence's sum over a fixed length, which has to be told."""


@dataclass(frozen=True)
class Options:
    """Base of the algorithms' `Config`s.

    Raises:
        UnknownName: a choice that does not exist.
    """

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in fields(self):
            value, hint = getattr(self, field.name), hints[field.name]
            if get_origin(hint) is Literal and value not in get_args(hint):
                raise UnknownName(f"value of {field.name}", str(value), get_args(hint))
