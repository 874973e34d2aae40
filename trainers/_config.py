"""What a training run is told, resolved once and written to `run.toml`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from arena.core.errors import UsageError
from arena.core.specs import Spec
from arena.trainers._algorithms import algorithm, read_settings
from arena.trainers._curriculum import TurnHorizon
from arena.trainers._data import DataOptions
from arena.trainers._kl import Kind
from arena.trainers._loop_options import CurriculumOptions, ShapingOptions, SmoothingOptions
from arena.trainers._optimiser import OptimiserOptions
from arena.trainers._policy import PolicyOptions
from arena.trainers._table import GroupBy
from arena.trainers._trackers import TrackerName

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_TABLES: dict[str, type[BaseModel]] = {
    "curriculum": CurriculumOptions,
    "data": DataOptions,
    "optimiser": OptimiserOptions,
    "policy": PolicyOptions,
    "shaping": ShapingOptions,
    "smoothing": SmoothingOptions,
}


_DETAILS = {
    "kl_estimator": "kl",
    "kl_in": "kl",
    "importance_cap": "sampler",
    "project": "tracker",
    "shaping.normalise_by": "shaping.normalise",
    "smoothing.low": "smoothing.weight",
    "smoothing.high": "smoothing.weight",
    "smoothing.form": "smoothing.weight",
    "smoothing.unit": "smoothing.weight",
    "curriculum.temperature": "curriculum.name",
    "curriculum.window": "curriculum.name",
    "curriculum.rate": "curriculum.name",
}
"""Options that say how something is done, and the option without which it is not done at all."""


class TrainConfig(BaseModel):
    """A training run, as `arena train` takes it from its options, a `-c` file and `--set`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    algorithm: str
    """Name of the algorithm."""
    env: str
    """Environment id: training draws from its train tasks, evaluation from its eval tasks. Or a suite: training draws
    train tasks of its environments, evaluation takes its own."""
    model: str
    """Model folder, or a name on the Hugging Face hub."""
    agent: str = "chat"
    """Agent spec: the prompts, the window, the temperature, max_tokens."""
    data: DataOptions = DataOptions()
    """Recorded episodes to learn from, for the algorithms that do."""
    params: dict[str, Any] = {}
    """The environment's constructor parameters."""
    max_turns: int | None = Field(default=None, ge=1)
    """Replaces the tasks' own turn limits."""
    steps: int = Field(default=100, ge=1)
    """Rounds of sampling and updating."""
    tasks: int = Field(default=16, ge=1)
    """Tasks of a step …"""
    group_size: int = Field(default=8, ge=1)
    """… and episodes of each: a group."""
    train_tasks: int = Field(default=1024, ge=1)
    """Most distinct training tasks; they are gone through again and again in new orders."""
    group_by: GroupBy = "observation"
    """What names the state of a turn: what was observed, or the environment's own key."""
    epochs: int = Field(default=1, ge=1)
    """How often each step's episodes are gone through."""
    minibatches: int = Field(default=4, ge=1)
    """Optimiser steps of an epoch."""
    pass_tokens: int = Field(default=16384, ge=1)
    """Padded tokens of one forward and backward pass; gradients add up over the passes of a minibatch."""
    entropy_bonus: float = Field(default=0.0, ge=0)
    """Weight of the tokens' mean entropy, which is made larger."""
    kl: float = Field(default=0.0, ge=0)
    """Weight of the KL divergence from the policy of the beginning."""
    kl_estimator: Kind = "k3+"
    """How that is estimated: k1, k2, k3, or k3+ with the value of k3 and the gradient of k2."""
    kl_in: Literal["loss", "reward"] = "loss"
    """Where it counts: in the loss, or subtracted from the reward of each token as k1 (TRL's RLOO, classic PPO)."""
    eval_every: int = Field(default=10, ge=0)
    """Evaluate every so many steps, before the first and after the last; 0 never."""
    eval_tasks: int = Field(default=64, ge=1)
    """Held-out tasks of an evaluation; a suite's are all taken."""
    checkpoint_every: int = Field(default=10, ge=1)
    """Steps between checkpoints; the last two are kept."""
    concurrency: int = Field(default=64, ge=1)
    """Episodes in flight."""
    seed: int = 0
    """Of tasks, samples and orders."""
    sampler: str | None = None
    """A server that samples the episodes: tokens:NAME@URL. It is given the new weights after each update."""
    max_staleness: int = Field(default=0, ge=0)
    """Sampling goes on while the policy is updated, at most so many updates ahead; episodes staler are dropped."""
    importance_cap: float = Field(default=2.0, gt=0)
    """The most that a token weighs for being likelier to the trainer than to the sampler."""
    tracker: TrackerName | None = None
    """trackio, tensorboard or wandb get the metrics too; metrics.jsonl always has them."""
    project: str = "arena"
    """The tracker's project; the run is named like its folder."""
    curriculum: CurriculumOptions = CurriculumOptions()
    """Which kinds of tasks a step takes, and for how many turns."""
    shaping: ShapingOptions = ShapingOptions()
    """What is done to rewards before credit is assigned."""
    smoothing: SmoothingOptions = SmoothingOptions()
    """EPO's smoothing of the entropy bonus."""
    optimiser: OptimiserOptions = OptimiserOptions()
    """AdamW and the learning rate."""
    policy: PolicyOptions = PolicyOptions()
    """Device, number format, adapters."""
    settings: dict[str, Any] = {}
    """The algorithm's own."""

    @property
    def answer_limit(self) -> int | None:
        """The most tokens of an answer, where the agent has such a limit."""
        limit = Spec.parse(self.agent).options.get("max_tokens")
        return limit if isinstance(limit, int) else None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Validate options, the algorithm's own included.

        Raises:
            UsageError: says which is wrong and what was expected.
        """
        try:
            config = cls.model_validate({**values, "model": str(values.get("model", "")).removeprefix("hf:")})
        except ValidationError as error:
            wrong = "; ".join(_in_words(e) for e in error.errors())
            raise UsageError(f"The training cannot be configured like this: {wrong}.") from None
        config = config._placed()
        read_settings(config.algorithm, config.settings)
        if algorithm(config.algorithm).groups and config.group_size < 2:
            raise UsageError(
                f"{config.algorithm} compares the episodes of a group, so group_size=1 teaches nothing. "
                "Use 2 or more (8 is usual), or an algorithm without groups: ppo, reinforce, reinforce_pp."
            )
        if config.tasks > config.train_tasks:
            raise UsageError(f"A step has tasks={config.tasks} different tasks; train_tasks={config.train_tasks}.")
        config._check_combinations()
        return config

    def _placed(self) -> TrainConfig:
        """With the whole paths of what lies on this machine, so that a run goes on from any working folder."""
        runs = tuple(_whole(run) for run in self.data.runs)
        env = _whole(self.env) if self.env.endswith(".toml") else self.env
        data = self.data.model_copy(update={"runs": runs})
        return self.model_copy(update={"env": env, "model": _whole(self.model), "data": data})

    def _check_combinations(self) -> None:
        """Refuse options that would do nothing.

        Raises:
            UsageError: says which, and what it goes with.
        """
        wanting = {
            "curriculum.name": self.curriculum.name != "uniform",
            "shaping": self.shaping.active,
            "smoothing": self.smoothing.weight > 0,
            "kl_in": self.kl_in == "reward",
        }
        asked = [name for name, wanted in wanting.items() if wanted]
        if algorithm(self.algorithm).imitates and asked:
            raise UsageError(
                f"{self.algorithm} imitates and assigns no credit, so {' and '.join(asked)} would do nothing: leave "
                "them out."
            )
        for detail, of in _DETAILS.items():
            if self._told(detail) and not self._told(of):
                raise UsageError(
                    f"{detail} says how, and {of} is not asked for, so it would do nothing: give {of} too."
                )
        if algorithm(self.algorithm).recorded:
            self._check_recorded()
        if self.smoothing.weight and not self.entropy_bonus:
            raise UsageError("smoothing is a part of the entropy bonus: give entropy_bonus too (EPO: 0.001).")
        known = algorithm(self.algorithm)
        if self.data.runs and not (known.recorded or known.imitates or known.replays):
            raise UsageError(
                f"{self.algorithm} learns from the episodes that it plays, so data.runs would do nothing. Imitate them "
                "first (arena train bc --data RUN), and train the model that comes out."
            )
        if self.settings.get("aggregation") == "seq-mean-token-sum-norm" and not self.settings.get("horizon"):
            raise UsageError(
                "aggregation=seq-mean-token-sum-norm divides each sequence by a fixed length, which depends on nothing "
                "but you: give settings.horizon=N, such as the most tokens that an episode may sample."
            )
        if self.kl_in == "reward" and self._told("kl_estimator"):
            raise UsageError("kl_in=reward subtracts the estimate k1, so kl_estimator would do nothing: leave it out.")
        if self.shaping.keep_groups < 1 and self.group_size < 2:
            raise UsageError("shaping.keep_groups compares the spread of groups: use a group size of 2 or more.")
        if self.curriculum.horizon:
            TurnHorizon(self.curriculum.horizon)
        if self.max_staleness and self.sampler is None:
            raise UsageError("max_staleness is of a sampler that goes on while the policy is updated: give --sampler.")
        if self.max_staleness and self.curriculum.name != "uniform":
            raise UsageError(
                f"curriculum.name={self.curriculum.name} chooses tasks by what the last step taught, and max_staleness="
                f"{self.max_staleness} samples before that is known: use uniform, or max_staleness=0."
            )

    def _told(self, option: str) -> bool:
        """Whether an option has another value than it has by default."""
        table, _, name = option.rpartition(".")
        owner = getattr(self, table) if table else self
        value, default = getattr(owner, name), type(owner).model_fields[name].default
        return bool(value != default)

    def _check_recorded(self) -> None:
        """Refuse what an algorithm that plays no episodes has no use for.

        Raises:
            UsageError: says which, or that there is nothing to learn from.
        """
        if not self.data.runs:
            raise UsageError(
                f"{self.algorithm} learns from recorded episodes: name runs with --data RUN. To make one: "
                f"arena collect {self.env} --agent oracle:0.5,random:0.5 -n 500"
            )
        useless = {
            "curriculum.name": self.curriculum.name != "uniform",
            "smoothing": self.smoothing.weight > 0,
            "sampler": self.sampler is not None,
            "kl_in": self.kl_in == "reward",
        }
        asked = [name for name, wanted in useless.items() if wanted]
        if asked:
            raise UsageError(f"{self.algorithm} plays no episodes, so {' and '.join(asked)} would do nothing.")


def _whole(path: str) -> str:
    """The whole path of something that is there; anything else as it is, such as a name on a hub."""
    found = Path(path).expanduser()
    return str(found.absolute()) if path and found.exists() else path


def _in_words(error: ErrorDetails) -> str:
    place, message = [str(part) for part in error["loc"]], error["msg"]
    if error["type"] == "extra_forbidden":
        known = _TABLES.get(place[0], TrainConfig).model_fields
        close = difflib.get_close_matches(place[-1], known, n=1)
        meant = f"did you mean {close[0]!r}" if close else f"there is {', '.join(known)}"
        return f"there is no option {'.'.join(place)!r}, {meant}"
    found = f", not {error['input']!r}" if isinstance(error["input"], int | float | str | bool) else ""
    return f"{'.'.join(place)}: {message[0].lower()}{message[1:]}{found}"


__all__ = ["TrainConfig"]
