"""What hosted models cost, from a file of dated prices; what is not in it is unknown, never free."""

from __future__ import annotations

import functools
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.core.errors import UsageError

if TYPE_CHECKING:
    from arena.core.messages import Usage

_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest)\Z")
_NUMBERS = {"input", "output", "cached", "cache_write", "up_to"}


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens, for prompts of at most `up_to` tokens."""

    input: float
    output: float
    cached: float
    cache_write: float
    up_to: float = math.inf

    def of(self, usage: Usage, written: int) -> float:
        """The price of one request in US dollars; `written` of its fresh tokens went into the cache."""
        fresh = (usage.input - written) * self.input + written * self.cache_write
        return (fresh + usage.cached * self.cached + usage.output * self.output) / 1e6


def cost(host: str, model: str, usage: Usage, written: int = 0) -> float | None:
    """What one request cost in US dollars; None where the price is unknown.

    Args:
        host: the host that answered, such as `api.openai.com`.
        model: the model's name; its date, if it has one, may be missing from the price file.
        usage: the request's tokens.
        written: how many of the fresh input tokens were written to the provider's cache.

    Raises:
        UsageError: the file named by `ARENA_PRICES` cannot be read.
    """
    bands = _bands(host, model) or _bands(host, _DATED.sub("", model))
    prompt = usage.input + usage.cached
    return next((band.of(usage, written) for band in bands if prompt <= band.up_to), None)


def _bands(host: str, model: str) -> tuple[Price, ...]:
    user = os.environ.get("ARENA_PRICES")
    own = _load(user).get((host, model)) if user else None
    return own or _load(None).get((host, model), ())


@functools.cache
def _load(path: str | None) -> dict[tuple[str, str], tuple[Price, ...]]:
    """The prices of a file, or the built-in ones, by host and model."""
    try:
        if path is None:
            text = resources.files(__package__).joinpath("prices.toml").read_text("utf-8")
        else:
            text = Path(path).expanduser().read_text("utf-8")
        return {
            (host, model): tuple(sorted((_price(entry) for entry in entries), key=lambda band: band.up_to))
            for host, models in tomllib.loads(text).items()
            for model, entries in models.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f"The price file {path} (variable ARENA_PRICES) cannot be read: {type(error).__name__}: {error}. "
            'It holds tables such as [["api.example.com"."model-name"]] with input, output, cached and as_of.'
        ) from None


def _price(entry: Mapping[str, Any]) -> Price:
    unknown = set(entry) - _NUMBERS - {"as_of"}
    if unknown:
        raise ValueError(f"unknown field {sorted(unknown)[0]}")
    numbers = {key: float(value) for key, value in entry.items() if key in _NUMBERS}
    fresh = numbers["input"]
    return Price(**{"cached": fresh, "cache_write": fresh, **numbers})
