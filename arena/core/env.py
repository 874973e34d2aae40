"""The environment contract: a `gymnasium.Env` that reads and writes text.

Authors subclass `Env` and write `_reset` and `_step` (and `_conclude` where an unfinished episode
can have earned something). The public methods keep the contract for them: order, valid Unicode,
tool calls, and a score at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, TypeVar, cast, runtime_checkable

import gymnasium
from gymnasium.utils.seeding import np_random

from arena.core import seeds
from arena.core.errors import EnvironmentFailure, ResetNeeded, UsageError
from arena.core.spaces import AnyText
from arena.core.text import clean
from arena.core.tools import fill_template, read_calls

if TYPE_CHECKING:
    import numpy as np

    from arena.core.messages import Tool

T = TypeVar("T")
A = TypeVar("A")

RawObservation = str | dict[str, Any]
"""A string, or `{"text": str, "image": uint8 (height, width, 3)}`."""

StepResult = tuple[RawObservation, float, bool, bool, dict[str, Any]]
"""observation, reward, terminated, truncated, info"""


class Info(TypedDict, total=False):
    """The keys of `info` that mean something to Arena; all values serialise to JSON."""

    brief: dict[str, Any]
    """reset: {"instructions", "tools", "limits", "idle"}; see `Env.brief`."""
    briefs: dict[str, dict[str, Any]]
    """reset, several players: one brief per player, the evaluated player first."""
    instance: str
    """reset: names the generated content of this episode, so that splits can be compared."""
    player: str
    """who acts on the observation that this info comes with."""
    state_key: str
    """identifies the state shown by the observation that this info comes with."""
    valid: bool
    """whether the action just taken was understood and legal."""
    executed: str
    """the action that really ran."""
    error: str
    """what was wrong with the action just taken, in words."""
    results: list[str]
    """one text per tool call of the action just taken."""
    rewards: dict[str, float]
    """several players: each one's reward for this step."""
    limit: str
    """at the end, where the environment itself truncated: which limit, in a word."""
    success: bool
    """at the end: whether the task was solved."""
    score: float
    """at the end: in [0, 1]; of the evaluated player."""
    scores: dict[str, float]
    """at the end, several players: each one's score in [0, 1]."""


class Handle(Protocol):
    """A snapshot that lives outside the process and must be released."""

    def release(self) -> None:
        """Free what the snapshot holds."""
        ...


@runtime_checkable
class Snapshots(Protocol):
    """Can save its state in mid-episode and return to it, in this or another instance of the same environment."""

    snapshot_kind: Literal["bytes", "handle"]

    def snapshot(self) -> bytes | Handle:
        """The whole state, random generator included."""
        ...

    def restore(self, snapshot: bytes | Handle) -> None:
        """Go (back) to a saved state; also before any `reset`."""
        ...


@runtime_checkable
class Oracle(Protocol):
    """Knows an action that leads to score 1: from `anywhere`, or only when followed from the `start`."""

    oracle_from: Literal["anywhere", "start"]

    def oracle_action(self) -> str:
        """The next action of a solution."""
        ...


@runtime_checkable
class LegalActions(Protocol):
    """Can list actions that are legal now."""

    def legal_actions(self) -> Sequence[str]:
        """At least one action, all of which will be accepted as valid."""
        ...


def ability(env: Any, protocol: type[A]) -> A | None:
    """The layer of `env` that has an ability, or None.

    Wrappers hide attributes, so abilities are looked up here and never by attribute. A layer that
    stands for an environment elsewhere (another process, an event loop) answers through its own
    `ability` method.
    """
    layer = env
    while layer is not None:
        remote = getattr(layer, "ability", None)
        if callable(remote):
            return cast("A | None", remote(protocol))
        if isinstance(layer, protocol):
            return layer
        layer = layer.__dict__.get("env") if hasattr(layer, "__dict__") else None
    return None


class _Contract:
    """What `Env` and `AsyncEnv` share: the order of calls, the brief, tool calls, drawing instances."""

    instructions: str = ""
    tools: tuple[Tool, ...] = ()
    idle: str = ""
    np_random: np.random.Generator
    np_random_seed: int
    _phase: Literal["new", "running", "ended", "closed"] = "new"
    _shown: dict[str, Any]
    """The info of the last observation."""

    def brief(self) -> dict[str, Any]:
        """What the agent is told before the first observation, as JSON."""
        return {
            "instructions": self.instructions,
            "tools": [tool.model_dump(mode="json") for tool in self.tools],
            "limits": {},
            "idle": self.idle,
        }

    def draw(self, make: Callable[[np.random.Generator], T], digest: Callable[[T], str], attempts: int = 1000) -> T:
        """Generate an instance that belongs to the split of this episode's seed.

        Args:
            make: generates one instance from this episode's generator.
            digest: names an instance; equal instances have equal names.
            attempts: how often to try (one in four instances belongs to the evaluation split).

        Raises:
            EnvironmentFailure: no instance of this split turned up, so there are too few of them.
        """
        wanted = seeds.split_of_seed(self.np_random_seed)
        for _ in range(attempts):
            instance = make(self.np_random)
            if seeds.split_of_instance(digest(instance)) == wanted:
                return instance
        raise EnvironmentFailure(f"{type(self).__name__} has no instance for the {wanted} split with these parameters.")

    def _begun(self, info: dict[str, Any]) -> None:
        self._phase = "running"
        self._shown = info
        if "briefs" not in info:
            info.setdefault("brief", self.brief())

    def _checked(self, action: str) -> str:
        if self._phase != "running":
            raise ResetNeeded(f"This episode is {_WORDS[self._phase]}: call reset() before step().")
        if not isinstance(action, str):
            raise UsageError(f"An action is a string, not {type(action).__name__}.")
        return action if action.isascii() else clean(action)[0]

    def _checked_conclude(self) -> None:
        if self._phase != "running":
            raise ResetNeeded(f"This episode is {_WORDS[self._phase]}: there is nothing to conclude.")

    def _graded(self, info: dict[str, Any]) -> None:
        self._phase = "ended"
        info["success"] = bool(info.get("success", False))
        info.setdefault("score", 1.0 if info["success"] else 0.0)

    def _refuse(self, error: str) -> RawObservation:
        """The observation that answers a tool call which could not be run."""
        return error


class Env(_Contract, gymnasium.Env[RawObservation, str]):
    """A text environment. Subclasses set `instructions` and write `_reset` and `_step`.

    Attributes:
        instructions: the rules as told to the agent; may be set per episode in `_reset`.
        tools: tools with templates become `_step` calls by themselves; see `arena.core.tools`.
        idle: an action that does nothing.
    """

    metadata: dict[str, Any] = {"render_modes": []}
    observation_space: gymnasium.Space[Any] = AnyText()
    action_space: gymnasium.Space[Any] = AnyText()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[RawObservation, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: makes the episode reproducible; None continues this instance's own generator.
            options: {"task": name} chooses one of the environment's named tasks.

        Returns:
            The first observation and an info that carries `brief`.

        Raises:
            UsageError: an option or task that this environment does not have.
        """
        super().reset(seed=seed)
        observation, info = self._reset(_task_option(options))
        self._begun(info)
        return observation, info

    def step(self, action: str) -> StepResult:
        """Take one action. A bad action is answered in words and never raises.

        Returns:
            observation, reward, terminated, truncated, info (see `Info`).

        Raises:
            ResetNeeded: before `reset` or after the end.
        """
        action = self._checked(action)
        calls = read_calls(action) if self.tools else None
        result = self._step(action) if calls is None else self._step_calls(calls)
        self._shown = result[4]
        if result[2] or result[3]:
            self._graded(result[4])
        return result

    def conclude(self, reason: str) -> tuple[float, dict[str, Any]]:
        """End the episode from outside (a limit was reached) and grade the state as it stands.

        Args:
            reason: which limit, in a word.

        Returns:
            A last reward and an info with `success` and `score`.

        Raises:
            ResetNeeded: before `reset` or after the end.
        """
        self._checked_conclude()
        reward, info = self._conclude(reason)
        self._graded(info)
        return reward, info

    def close(self) -> None:
        """Release everything; a second call does nothing."""
        if self._phase != "closed":
            self._phase = "closed"
            self._close()

    def _reset(self, task: str | None) -> tuple[RawObservation, dict[str, Any]]:
        """Begin an episode with `self.np_random`; refuse a task name that is not known."""
        raise NotImplementedError

    def _step(self, action: str) -> StepResult:
        """Take one action; set info's `success` (and `score`, if not 0 or 1) with `terminated`."""
        raise NotImplementedError

    def _conclude(self, reason: str) -> tuple[float, dict[str, Any]]:
        """Grade an unfinished episode; by default it has earned nothing."""
        return 0.0, {"success": False}

    def _close(self) -> None:
        """Release what the environment holds; called once."""

    def _step_calls(self, calls: list[tuple[str, dict[str, Any]]]) -> StepResult:
        """Run tool calls in order, up to the one that ends the episode."""
        texts: list[str] = []
        executed: list[str] = []
        total, observation, terminated, truncated = 0.0, cast("RawObservation", ""), False, False
        # A call that cannot be run changes nothing: state and player stay those of the last observation.
        merged: dict[str, Any] = {key: self._shown[key] for key in ("state_key", "player") if key in self._shown}
        merged["valid"] = True
        for name, arguments in calls:
            short, error = fill_template(self.tools, name, arguments)
            if error is None:
                observation, reward, terminated, truncated, info = self._step(short)
                total += reward
                if info.get("valid", True) or "executed" in info:
                    executed.append(info.get("executed", short))
            else:
                observation, info = self._refuse(error), {"valid": False, "error": error}
            texts.append(observation if isinstance(observation, str) else observation["text"])
            valid = merged["valid"] and info.get("valid", True)
            merged = {**merged, **info, "valid": valid}
            if terminated or truncated:
                break
        merged |= {"results": texts, "executed": "\n".join(executed)}
        text = "\n".join(texts)
        joined = text if isinstance(observation, str) else {**observation, "text": text}
        return joined, total, terminated, truncated, merged


class AsyncEnv(_Contract):
    """The same contract as coroutines, for environments that wait on the network or a browser.

    Register it with `execution="async"`; `gymnasium.make` then returns a synchronous facade with its
    own loop thread, and the engine awaits the methods directly. Tool calls are the author's to read
    (`arena.core.tools`).
    """

    observation_space: gymnasium.Space[Any] = AnyText()
    action_space: gymnasium.Space[Any] = AnyText()

    async def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[RawObservation, dict[str, Any]]:
        """As `Env.reset`."""
        if seed is not None or not hasattr(self, "np_random"):
            self.np_random, self.np_random_seed = np_random(seed)
        observation, info = await self._reset(_task_option(options))
        self._begun(info)
        return observation, info

    async def step(self, action: str) -> StepResult:
        """As `Env.step`."""
        result = await self._step(self._checked(action))
        if result[2] or result[3]:
            self._graded(result[4])
        return result

    async def conclude(self, reason: str) -> tuple[float, dict[str, Any]]:
        """As `Env.conclude`."""
        self._checked_conclude()
        reward, info = await self._conclude(reason)
        self._graded(info)
        return reward, info

    async def close(self) -> None:
        """As `Env.close`."""
        if self._phase != "closed":
            self._phase = "closed"
            await self._close()

    async def _reset(self, task: str | None) -> tuple[RawObservation, dict[str, Any]]:
        """As `Env._reset`."""
        raise NotImplementedError

    async def _step(self, action: str) -> StepResult:
        """As `Env._step`."""
        raise NotImplementedError

    async def _conclude(self, reason: str) -> tuple[float, dict[str, Any]]:
        """As `Env._conclude`."""
        return 0.0, {"success": False}

    async def _close(self) -> None:
        """As `Env._close`."""


_WORDS = {"new": "not begun", "ended": "over", "closed": "closed"}


def _task_option(options: dict[str, Any] | None) -> str | None:
    options = dict(options or {})
    task = options.pop("task", None)
    if options:
        raise UsageError(f"reset takes the option 'task', not {', '.join(map(repr, options))}.")
    return None if task is None else str(task)
