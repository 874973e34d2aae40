"""The algorithms by name, and reading what each of them can be told."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import typing
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from arena.core.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from arena.trainers._checkpoint import Part
    from arena.trainers._config import TrainConfig
    from arena.trainers._policy import Policy


@dataclasses.dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm.

    Attributes:
        name: of its module in `arena.trainers`, which has `Config` and `train(training, config)`, and where it
            keeps more than the policy `parts(training_config, config, policy)`.
        summary: one line.
        groups: it compares the episodes of a group, so a group of one teaches nothing.
        ratio: it compares the policy's probabilities with the sampler's, so these must be of the whole
            distribution that was sampled from.
        imitates: it learns from the actions of others, and assigns no credit.
        recorded: it learns from recorded episodes, and plays none.
        replays: it learns from a replay buffer, which recorded episodes and its own may fill.
    """

    name: str
    summary: str
    groups: bool = True
    ratio: bool = True
    imitates: bool = False
    recorded: bool = False
    replays: bool = False

    @property
    def module(self) -> ModuleType:
        """Its module."""
        return importlib.import_module(f"arena.trainers.{self.name}")


def _offline(name: str, summary: str) -> Algorithm:
    return Algorithm(name, summary, groups=False, ratio=False, recorded=True)


ALGORITHMS = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("gigpo", "compares episodes within the group, and turns that acted in the same state"),
        Algorithm("grpo", "compares episodes within the group (Dr.GRPO and DAPO as settings)"),
        Algorithm("rloo", "compares each episode with the others of its group"),
        Algorithm("gspo", "GRPO with the ratio of whole sequences"),
        Algorithm("opo", "compares with the length-weighted mean of the group"),
        Algorithm("loop", "leave-one-out advantages, the ratio clipped as a factor"),
        Algorithm("ppo", "compares with a critic, over turns, tokens or both", groups=False),
        Algorithm("archer", "asks a critic of whole turns, learned from a replay buffer", groups=False, replays=True),
        Algorithm("reinforce", "returns as they are", groups=False, ratio=False),
        Algorithm("reinforce_pp", "returns whitened over all tokens", groups=False),
        Algorithm("bc", "imitates recorded episodes, or an oracle's", groups=False, ratio=False, imitates=True),
        _offline("awr", "imitates what was recorded, the more the better it went than a critic expected"),
        _offline("offline_archer", "imitates recorded turns, the more the better a critic of whole turns calls them"),
        _offline("ilql", "token-level Q and V of recorded episodes, which then guide the policy's sampling"),
        _offline("mc", "token-level Q of recorded returns, which then guides the policy's sampling"),
        _offline("dmpo", "prefers the better of two recorded episodes of a task to the worse"),
        _offline("a_lol", "imitates recorded turns with a positive advantage, weighted by it and the ratio"),
        _offline("digirl", "imitates the steps of the best recorded episodes that two critics call good"),
    )
}


def algorithm(name: str) -> Algorithm:
    """The algorithm of this name; `-` may stand for `_`.

    Raises:
        UnknownName: there is none.
    """
    found = ALGORITHMS.get(name.replace("-", "_"))
    if found is None:
        raise UnknownName("algorithm", name, ALGORITHMS)
    return found


def parts_of(config: TrainConfig, policy: Policy) -> dict[str, Part]:
    """What the configured algorithm keeps besides the policy: name -> part, fresh.

    Raises:
        UsageError: one cannot be made as asked for.
    """
    module = algorithm(config.algorithm).module
    if not hasattr(module, "parts"):
        return {}
    found: dict[str, Part] = module.parts(config, read_settings(config.algorithm, config.settings), policy)
    return found


def read_settings(name: str, values: Mapping[str, Any]) -> Any:
    """The algorithm's own configuration.

    Raises:
        UsageError: an option it does not have, or a value that does not fit.
    """
    from pydantic import ConfigDict, ValidationError, create_model

    config = algorithm(name).module.Config
    known = {field.name: field for field in dataclasses.fields(config)}
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"{name} has no setting {key!r}.{meant} It has {', '.join(known)}.")
    hints = typing.get_type_hints(config)
    fields: dict[str, Any] = {key: (hints[key], field.default) for key, field in known.items()}
    try:
        read = create_model("Config", __config__=ConfigDict(extra="forbid"), **fields)(**values)
    except ValidationError as error:
        wrong = "; ".join(f"{e['loc'][0]}: {e['msg'][0].lower()}{e['msg'][1:]}" for e in error.errors())
        raise UsageError(f"{name} cannot be set like this: {wrong}.") from None
    return config(**{key: getattr(read, key) for key in known})


__all__ = ["ALGORITHMS", "Algorithm", "algorithm", "parts_of", "read_settings"]
