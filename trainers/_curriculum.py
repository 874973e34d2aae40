"""Which tasks to train on next, and for how many turns.

Tasks are sorted into kinds (an environment, a difficulty, a suite), named by strings. A curriculum
gives each kind a probability, learns from the advantages that its episodes got, and its `state`
is JSON that goes into the checkpoint: `from_state` continues where it stood.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import numpy as np

from arena.core.errors import UnknownName, UsageError
from arena.trainers._segments import Floats

T = TypeVar("T")


class Curriculum(Protocol):
    """Chooses kinds of tasks."""

    kinds: tuple[str, ...]

    def probabilities(self) -> Floats:
        """The probability of each kind, in the order of `kinds`."""
        ...

    def learn(self, advantages: Mapping[str, Iterable[float]]) -> None:
        """Take in the advantages of the trajectories of each kind, as used for training."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything that `from_state` needs, as JSON."""
        ...


def draw(
    curriculum: Curriculum, number: int, generator: np.random.Generator, room: Mapping[str, int] | None = None
) -> list[str]:
    """Draw kinds of tasks.

    Args:
        curriculum: how likely each is.
        number: how many.
        generator: the only source of randomness.
        room: how often a kind can be drawn; a kind that is used up leaves its share to the others. Without it
            the draws are independent.
    """
    likely = curriculum.probabilities()
    if room is None:
        chosen = generator.choice(len(curriculum.kinds), size=number, p=likely)
        return [curriculum.kinds[index] for index in chosen]
    left = np.array([room.get(kind, 0) for kind in curriculum.kinds])
    if number > left.sum():
        raise UsageError(f"{number} tasks are asked for where {left.sum()} are left.")
    found = []
    for _ in range(number):
        open_shares = np.where(left > 0, likely, 0.0)
        if open_shares.sum() == 0:
            open_shares = (left > 0).astype(np.float64)
        index = int(generator.choice(len(left), p=open_shares / open_shares.sum()))
        left[index] -= 1
        found.append(curriculum.kinds[index])
    return found


class Uniform:
    """Every kind equally often."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = _checked(kinds)

    def probabilities(self) -> Floats:
        """1 / number of kinds each."""
        return np.full(len(self.kinds), 1 / len(self.kinds))

    def learn(self, advantages: Mapping[str, Iterable[float]]) -> None:
        """Nothing to learn."""

    def state(self) -> dict[str, Any]:
        """The kinds."""
        return {"name": "uniform", "kinds": list(self.kinds)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Uniform:
        """As `state` described."""
        return cls(state["kinds"])


class Ucb:
    """DUMP (arXiv 2504.09710): an upper confidence bound on how much a kind still teaches.

    UCB_d = mean |A| over the last `window` samples of d + sqrt(2 ln(N + 1) / (n_d + 1)), and the
    probabilities are softmax(UCB / temperature). N and n_d count samples, not steps, so the
    exploration of large batches fades faster.
    """

    def __init__(self, kinds: Sequence[str], temperature: float = 0.1, window: int = 300) -> None:
        self.kinds, self.temperature, self.window = _checked(kinds), temperature, window
        self._recent = {kind: deque[float](maxlen=window) for kind in self.kinds}
        self._counts = dict.fromkeys(self.kinds, 0)

    def probabilities(self) -> Floats:
        """Softmax of the bounds."""
        explored = 2 * math.log(sum(self._counts.values()) + 1)
        bounds = [
            (math.fsum(self._recent[kind]) / len(self._recent[kind]) if self._recent[kind] else 0.0)
            + math.sqrt(explored / (self._counts[kind] + 1))
            for kind in self.kinds
        ]
        return _softmax(np.array(bounds) / self.temperature)

    def learn(self, advantages: Mapping[str, Iterable[float]]) -> None:
        """Remember |A| of each sample."""
        for kind, values in advantages.items():
            magnitudes = [abs(float(value)) for value in values]
            _known(self._recent, kind).extend(magnitudes)
            self._counts[kind] += len(magnitudes)

    def state(self) -> dict[str, Any]:
        """The settings, the recent samples and the counts."""
        return {
            "name": "ucb",
            "temperature": self.temperature,
            "window": self.window,
            "recent": {kind: list(values) for kind, values in self._recent.items()},
            "counts": dict(self._counts),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Ucb:
        """As `state` described."""
        made = cls(list(state["recent"]), state["temperature"], state["window"])
        for kind, values in state["recent"].items():
            made._recent[kind].extend(values)
        made._counts.update(state["counts"])
        return made


class Bandit:
    """SEC (arXiv 2505.14970): a bandit whose reward is the mean |A| of a kind.

    Q_d <- rate * mean |A| + (1 - rate) Q_d for the kinds of a step; probabilities softmax(Q / temperature).
    """

    def __init__(self, kinds: Sequence[str], rate: float = 0.5, temperature: float = 1.0) -> None:
        self.kinds, self.rate, self.temperature = _checked(kinds), rate, temperature
        self.estimates = dict.fromkeys(self.kinds, 0.0)

    def probabilities(self) -> Floats:
        """Softmax of the estimates."""
        return _softmax(np.array([self.estimates[kind] for kind in self.kinds]) / self.temperature)

    def learn(self, advantages: Mapping[str, Iterable[float]]) -> None:
        """Move the estimate of each kind that was seen."""
        for kind, values in advantages.items():
            magnitudes = [abs(float(value)) for value in values]
            old = _known(self.estimates, kind)
            if magnitudes:
                self.estimates[kind] = self.rate * math.fsum(magnitudes) / len(magnitudes) + (1 - self.rate) * old

    def state(self) -> dict[str, Any]:
        """The settings and the estimates."""
        return {
            "name": "bandit",
            "rate": self.rate,
            "temperature": self.temperature,
            "estimates": dict(self.estimates),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Bandit:
        """As `state` described."""
        made = cls(list(state["estimates"]), state["rate"], state["temperature"])
        made.estimates.update(state["estimates"])
        return made


class TurnHorizon:
    """ScalingInter-RL (arXiv 2509.08755): few turns per episode at first, more later.

    Args:
        stages: (first step, turns), by rising step, beginning with step 0.
    """

    def __init__(self, stages: Sequence[tuple[int, int]]) -> None:
        self.stages = tuple((int(step), int(turns)) for step, turns in stages)
        steps = [step for step, _ in self.stages]
        if not steps or steps[0] != 0 or any(a >= b for a, b in pairwise(steps)):
            raise UsageError(f"The stages of a horizon begin at step 0 and rise, unlike {steps}.")
        if any(turns < 1 for _, turns in self.stages):
            raise UsageError("An episode has at least one turn in every stage.")

    def turns(self, step: int) -> int:
        """The turn limit at a training step."""
        return [turns for first, turns in self.stages if first <= step][-1]

    def state(self) -> dict[str, Any]:
        """The stages."""
        return {"name": "turn_horizon", "stages": [list(stage) for stage in self.stages]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TurnHorizon:
        """As `state` described."""
        return cls([(step, turns) for step, turns in state["stages"]])


_CURRICULA: dict[str, type[Uniform] | type[Ucb] | type[Bandit]] = {"uniform": Uniform, "ucb": Ucb, "bandit": Bandit}


def curriculum(state: Mapping[str, Any]) -> Uniform | Ucb | Bandit:
    """The curriculum that a checkpoint's `state` describes."""
    if state["name"] not in _CURRICULA:
        raise UnknownName("curriculum", str(state["name"]), _CURRICULA)
    return _CURRICULA[state["name"]].from_state(state)


def _checked(kinds: Sequence[str]) -> tuple[str, ...]:
    if not kinds or len(set(kinds)) < len(kinds):
        raise UsageError(f"A curriculum needs kinds of tasks with different names, not {list(kinds)}.")
    return tuple(kinds)


def _known(table: Mapping[str, T], kind: str) -> T:
    if kind not in table:
        raise UnknownName("kind of task", kind, table)
    return table[kind]


def _softmax(values: Floats) -> Floats:
    powers = np.exp(values - values.max())
    result: Floats = powers / powers.sum()
    return result
