"""What the algorithms' settings have in common: the choices by name, and that a wrong one is refused."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin, get_type_hints

from arena.core.errors import UnknownName, UsageError

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

_RANGES = {
    "in [0, 1]": "gamma lam turn_gamma clip_low",
    "in (0, 1]": "keep polyak similarity tau",
    "in (0, 1)": "expectile",
    "in [0, inf]": "clip clip_high cost cql eps invalid_penalty least_advantage overlong_factor step_weight "
    "value_coefficient",
    "in (0, inf]": "critic_rate max_weight most temperature value_clip",
    "in [1, inf]": "dual_clip",
    "whole, 0 or more": "bc_steps critic_warmup ddof layers overlong_buffer play_from whiten_ddof",
    "whole, 1 or more": "actor_batch batch bins capacity critic_batch critic_updates horizon n_steps overlong_limit "
    "sampling_rounds samples",
}
"""Where the numbers of settings may lie; what a name means is the same in all algorithms."""

_RANGE_OF = {name: words for words, names in _RANGES.items() for name in names.split()}


@dataclass(frozen=True)
class Options:
    """Base of the algorithms' `Config`s.

    Raises:
        UnknownName: a choice that does not exist.
        UsageError: a number that means nothing there.
    """

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in fields(self):
            value, hint = getattr(self, field.name), hints[field.name]
            if get_origin(hint) is Literal and value not in get_args(hint):
                raise UnknownName(f"value of {field.name}", str(value), get_args(hint))
            allowed = _RANGE_OF.get(field.name)
            if allowed is not None and value is not None and not _within(value, allowed):
                raise UsageError(f"{field.name} must be {allowed}, not {value}.")


def _within(value: float, words: str) -> bool:
    """Whether a number lies in an interval, whose round brackets leave its ends out."""
    if words.startswith("whole"):
        return value >= int(words.split()[1])
    interval = words.removeprefix("in ")
    low, high = map(float, interval[1:-1].split(","))
    above = low <= value if interval[0] == "[" else low < value
    return above and (value <= high if interval[-1] == "]" else value < high)
