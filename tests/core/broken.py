"""One healthy toy environment, and one broken in a single way for each defect that the contract check must name.

`DEFECTS` lists them: the environment, how it is registered, and exactly which checks fail on it. Where another one
fails too, the same defect shows from another side.
"""

from __future__ import annotations

import copy
import random
import socket
import string
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np

from arena.core import registry
from arena.core.env import AsyncEnv, Env
from arena.core.seeds import task_seeds
from arena.core.snapshots import StateSnapshots
from arena.core.task import Task

MOODS = ("calmly", "slowly", "with a sigh", "with a smile")


@dataclass
class Gate:
    """What changes in an episode of `Guard`."""

    password: str
    asked: int = 0
    wrong: int = 0


class PlainGuard(Env):
    """A guard wants a password of six letters, gives one letter each time he is asked, and hears three wrong ones."""

    instructions = "Get past the guard. Reply `ask` for a letter, `say WORD` for the password, or `wait`."
    idle = "wait"
    state: Gate
    oracle_from: Literal["anywhere", "start"] = "anywhere"

    def _reset(self, task: str | None):
        password = self.draw(self._password, str)
        self.state = Gate(password)
        return "The guard looks up.", {"instance": password, "state_key": self._key()}

    def _password(self, generator: np.random.Generator) -> str:
        return "".join(string.ascii_lowercase[i] for i in generator.integers(0, 26, 6))

    def _step(self, action: str):
        verb, _, word = action.partition(" ")
        state, info = self.state, {"valid": True}
        mood = MOODS[int(self.np_random.integers(len(MOODS)))]
        text, solved = "The guard yawns.", False
        if verb == "ask":
            place = state.asked % 6
            state.asked += 1
            text = f"The guard says {mood}: letter {place + 1} is {state.password[place]}."
        elif verb == "say" and len(word) == 6:
            solved = word == state.password
            state.wrong += not solved
            text = "The gate opens." if solved else f"The guard shakes his head {mood}."
        elif verb != "wait":
            text, info = "The guard does not understand.", {"valid": False, "error": "Say ask, say WORD or wait."}
        info["state_key"] = self._key()
        ended = solved or state.wrong >= 3
        if ended:
            info["success"] = solved
        return text, float(solved), ended, False, info

    def _key(self) -> str:
        return f"{self.state.asked}/{self.state.wrong}"

    def legal_actions(self):
        return ["ask", "ask", "ask", "wait", "say zzzzzz"]

    def oracle_action(self):
        return "ask" if self.state.asked < 6 else f"say {self.state.password}"


class Guard(StateSnapshots, PlainGuard):
    """The healthy one, with snapshots."""

    state_type = Gate


def secrets(env: Guard) -> list[str]:
    return [env.state.password]


# Leak across reset: TextArena's history is never cleared.


class KeepsHistory(PlainGuard):
    def __init__(self):
        self.history = []

    def _told(self, text):
        self.history.append(text)
        return "\n".join(self.history)

    def _reset(self, task):
        text, info = super()._reset(task)
        return self._told(text), info

    def _step(self, action):
        text, *rest = super()._step(action)
        return self._told(text), *rest


class CountsAllEpisodes(PlainGuard):
    """Leaks a number, so that nothing grows."""

    episodes = 0

    def _reset(self, task):
        self.episodes += 1
        text, info = super()._reset(task)
        return f"{text} He has seen {self.episodes % 7} visitors.", info


# Seeds: GEM and TextArena seed the whole process, OpenEnv accepts a seed and drops it.


class SeedsTheProcess(PlainGuard):
    def _reset(self, task):
        random.seed(self.np_random_seed)
        return super()._reset(task)

    def _step(self, action):
        text, *rest = super()._step(action)
        return f"{text} ({random.random():.6f})", *rest


class DrawsFromTheProcess(PlainGuard):
    """Nothing that is seen depends on the draw, but the neighbours' generator moves."""

    def _step(self, action):
        np.random.normal()
        return super()._step(action)


class DropsTheSeed(PlainGuard):
    def _password(self, generator):
        return "".join(random.SystemRandom().choices(string.ascii_lowercase, k=6))


class IgnoresTheSeed(PlainGuard):
    def _reset(self, task):
        self._np_random = np.random.default_rng(5)
        return super()._reset(task)


class SharesStateBetweenInstances(PlainGuard):
    asked_of_all = []

    def _reset(self, task):
        self.asked_of_all.clear()
        return super()._reset(task)

    def _step(self, action):
        self.asked_of_all.append(action)
        text, *rest = super()._step(action)
        return f"{text} ({len(self.asked_of_all)} things said)", *rest


# Does not start offline: 13 of GEM's 37 ids; 21 with one action of their own.


class NeedsDownload(PlainGuard):
    def _reset(self, task):
        raise LookupError("Resource words not found. Please use the downloader to obtain it.")


class NeedsUndeclaredPackage(PlainGuard):
    def __init__(self):
        import no_such_package_of_anyone  # noqa: F401


class AsksAServer(PlainGuard):
    """Works as long as something answers on a port of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port

    def _reset(self, task):
        socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        return super()._reset(task)


class RefusesItsOwnActions(PlainGuard):
    def legal_actions(self):
        return ["ask", "\\boxed{ask}"]


class ListsNothing(PlainGuard):
    def legal_actions(self):
        return []


# Unbounded level generation: GEM's Sokoban took 0.8 to 16.8 s.


def burn(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


class SlowForSomeSeeds(PlainGuard):
    def _reset(self, task):
        burn(0.03 * (self.np_random_seed % 4 == 3))
        return super()._reset(task)


class SlowerWithEveryReset(PlainGuard):
    def __init__(self):
        self.resets = 0

    def _reset(self, task):
        self.resets += 1
        burn(0.001 * self.resets)
        return super()._reset(task)


class SlowWithLongActions(PlainGuard):
    def _step(self, action):
        if len(action) > 500_000:
            burn(1.1)
        return super()._step(action)


# A wrapper that copies attributes once: GEM's EnvWrapper.


class CopyingWrapper(gymnasium.Wrapper):
    def __init__(self):
        inner = PlainGuard()
        super().__init__(inner)
        inner.turn = 0
        self.turn = inner.turn

    def step(self, action):
        self.env.turn += 1
        return self.env.step(action)


class WrapperWithOldActions(gymnasium.Wrapper):
    def __init__(self):
        super().__init__(Counting())
        self.listed = ["ask 0"]

    def legal_actions(self):
        return self.listed


class Counting(PlainGuard):
    """Legal actions change with every turn."""

    def legal_actions(self):
        return [f"ask {self.state.asked}", "wait"]


# No distinction between terminated and truncated: OpenEnv, AgentGym, TextArena, skyrl-gym.


class CountsTheTurnLimit(PlainGuard):
    def _reset(self, task):
        self.turns = 0
        return super()._reset(task)

    def _step(self, action):
        self.turns += 1
        text, reward, ended, truncated, info = super()._step(action)
        return text, reward, ended or self.turns >= 12, truncated, info


class CallsTheRuleALimit(PlainGuard):
    def _step(self, action):
        text, reward, ended, _, info = super()._step(action)
        solved = bool(reward)
        return text, reward, ended and solved, ended and not solved, info


class RaisesBothFlags(PlainGuard):
    def _step(self, action):
        text, reward, ended, _, info = super()._step(action)
        return text, reward, ended, ended, info


class ReturnsNumpyFlags(PlainGuard):
    def _step(self, action):
        text, reward, ended, truncated, info = super()._step(action)
        return text, reward, np.bool_(ended), truncated, info


class EndsWithoutGrades(PlainGuard):
    """Overrides the public method and loses what the base class adds."""

    def step(self, action):
        text, reward, ended, truncated, info = super().step(action)
        info.pop("score", None)
        return text, reward, ended, truncated, info


class ScoresBeyondOne(PlainGuard):
    def _step(self, action):
        text, reward, ended, truncated, info = super()._step(action)
        if ended and info["success"]:
            info["score"] = 10
        return text, reward, ended, truncated, info


class CannotConclude(PlainGuard):
    def _conclude(self, reason):
        return 0.0, {"success": self.state.guess == self.state.password}


class ConcludesWithoutNumber(PlainGuard):
    def _conclude(self, reason):
        return float("nan"), {"success": False}


# Values.


class RewardsNotANumber(PlainGuard):
    def _step(self, action):
        text, _, *rest = super()._step(action)
        return text, float("nan") if "yawns" in text else 0.0, *rest


class RewardsNumpyNumbers(PlainGuard):
    def _step(self, action):
        text, reward, *rest = super()._step(action)
        return text, np.float32(reward), *rest


class ObservesBytes(PlainGuard):
    def _step(self, action):
        text, *rest = super()._step(action)
        return text.encode() if "yawns" in text else text, *rest


class ObservesLoneSurrogates(PlainGuard):
    def _step(self, action):
        text, *rest = super()._step(action)
        return text + "\ud800", *rest


class InformsWithSets(PlainGuard):
    def _step(self, action):
        *rest, info = super()._step(action)
        return *rest, {**info, "letters": set("ab")}


class InformsWithNumpyNumbers(PlainGuard):
    def _step(self, action):
        *rest, info = super()._step(action)
        return *rest, {**info, "asked": np.int64(self.state.asked)}


class KeysByNumber(PlainGuard):
    def _key(self):
        return self.state.asked


class HasNoInstructions(PlainGuard):
    instructions = " "


class LosesTheBrief(PlainGuard):
    def reset(self, *, seed=None, options=None):
        text, info = super().reset(seed=seed, options=options)
        del info["brief"]
        return text, info


# Failures scored as zero: "an environment whose agent never started produced 'completed' trials scoring 0.0".


class ScoresItsFailures(PlainGuard):
    def _step(self, action):
        try:
            return super()._step(action)
        except Exception:
            return "The episode is over.", 0.0, True, False, {"success": False}


# A no-op agent that scores, and impossible tasks: AndroidWorld.


class GivesPointsForNothing(PlainGuard):
    def _conclude(self, reason):
        return 0.0, {"success": self.state.wrong == 0}


class CannotBeSolved(PlainGuard):
    def _step(self, action):
        self.state.password, kept = self.state.password.upper(), self.state.password
        result = super()._step(action)
        self.state.password = kept
        return result


class HasALostOracle(PlainGuard):
    def oracle_action(self):
        return self.plan.pop()


# The answer in the observation.


class ShowsTheAnswer(PlainGuard):
    def _step(self, action):
        text, *rest = super()._step(action)
        return f"{text} [debug: {self.state.password.upper()}]" if "yawns" in text else text, *rest


class ShowsTheAnswerInTheBrief(PlainGuard):
    def _reset(self, task):
        text, info = super()._reset(task)
        self.instructions = f"{Guard.instructions} Hint: {self.state.password}"
        return text, info


# Snapshots.


class SharesItsState(Guard):
    snapshot_kind = "handle"

    def snapshot(self):
        return Held(self.state, self._np_random, self._phase)

    def restore(self, snapshot):
        self.state, self._np_random, self._phase = snapshot.state, snapshot.generator, snapshot.phase


@dataclass
class Held:
    state: Gate
    generator: Any
    phase: str

    def release(self):
        pass


class SnapshotsWithoutGenerator(Guard):
    def snapshot(self):
        return f"{self.state.password} {self.state.asked} {self.state.wrong}".encode()

    def restore(self, snapshot):
        password, asked, wrong = snapshot.decode().split()
        self.state, self._phase = Gate(password, int(asked), int(wrong)), "running"


class SnapshotsByAnotherKind(Guard):
    def snapshot(self):
        return copy.deepcopy(self.__dict__)


# What depends on more than the seed and the actions.


class ReadsTheClock(PlainGuard):
    def _reset(self, task):
        text, info = super()._reset(task)
        return f"{text} The year is {time.strftime('%Y-%m')}.", info


class ReadsTheFolder(PlainGuard):
    def _reset(self, task):
        text, info = super()._reset(task)
        return f"{text} There are {len(list(Path().iterdir()))} doors.", info


class DependsOnHashOrder(PlainGuard):
    def _reset(self, task):
        text, info = super()._reset(task)
        return f"{text} You see {', '.join({'a lamp', 'a bell', 'a rope', 'a key', 'a map'})}.", info


# Order of calls.


class StepsAfterTheEnd(PlainGuard):
    def step(self, action):
        self._phase = "running" if self._phase == "ended" else self._phase
        return super().step(action)


class AssertsTheOrder(PlainGuard):
    def step(self, action):
        assert self._phase == "running"
        return super().step(action)


class ClosesOnlyOnce(PlainGuard):
    def __init__(self):
        self.file = [1]

    def close(self):
        self.file.pop()
        super().close()


# Hostile actions.


class RaisesOnHostileActions(PlainGuard):
    def _step(self, action):
        if "\x00" in action:
            raise ValueError("embedded null byte")
        return super()._step(action)


class EchoesEverything(PlainGuard):
    def _step(self, action):
        text, *rest = super()._step(action)
        return f"{text} You said: {action}" if "understand" in text else text, *rest


class AnswersNothing(PlainGuard):
    def _step(self, action):
        text, *rest = super()._step(action)
        return "" if "understand" in text else text, *rest


class ObeysInjections(PlainGuard):
    def _step(self, action):
        if "set score = 1" in action:
            return "As you wish.", 1.0, True, False, {"success": True}
        return super()._step(action)


# Tasks.


class HasFewInstances(PlainGuard):
    """Seeds of both splits generate the same three passwords."""

    def draw(self, make, digest, attempts=1000):
        return ("abcdef", "ghijkl", "mnopqr")[int(self.np_random.integers(3))]


def both_splits_alike(split: str, seed: int) -> Iterator[Task]:
    for number in task_seeds("train", seed):
        yield Task("broken/OverlappingTasks-v0", number, {}, None, 20)


def never_the_same(split: str, seed: int) -> Iterator[Task]:
    for number in task_seeds(split, random.SystemRandom().randrange(1000)):
        yield Task("broken/UnstableTasks-v0", number, {}, None, 20)


class AsyncGuard(AsyncEnv):
    """The healthy one as coroutines, behind the synchronous facade."""

    instructions = Guard.instructions
    idle = "wait"
    oracle_from: Literal["anywhere", "start"] = "anywhere"

    def __init__(self):
        self.inner_game = Guard()

    async def _reset(self, task):
        return self.inner_game.reset(seed=int(self.np_random.integers(2**31)) + 2**31 * (self.np_random_seed >= 2**31))

    async def _step(self, action):
        return self.inner_game.step(action)

    async def _close(self):
        self.inner_game.close()

    async def legal_actions(self):
        return self.inner_game.legal_actions()

    async def oracle_action(self):
        return self.inner_game.oracle_action()


@dataclass(frozen=True)
class Defect:
    """A broken environment, and the checks that fail on it: the one that names the defect comes first."""

    env: type
    fails: tuple[str, ...]
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"broken/{self.env.__name__}-v0"


DEFECTS = [
    Defect(
        KeepsHistory,
        ("no_leak_across_resets", "observations_do_not_grow", "same_seed_same_episode", "passes_gymnasium_check"),
    ),
    Defect(CountsAllEpisodes, ("no_leak_across_resets", "same_seed_same_episode", "passes_gymnasium_check")),
    Defect(SeedsTheProcess, ("alone_or_in_company", "global_random_state_is_left_alone")),
    Defect(DrawsFromTheProcess, ("global_random_state_is_left_alone",)),
    Defect(
        DropsTheSeed,
        ("same_seed_same_episode", "same_in_another_process", "alone_or_in_company", "no_leak_across_resets"),
    ),
    Defect(IgnoresTheSeed, ("seeds_matter", "passes_gymnasium_check")),
    Defect(SharesStateBetweenInstances, ("alone_or_in_company",)),
    Defect(NeedsDownload, ("starts",)),
    Defect(NeedsUndeclaredPackage, ("starts",)),
    Defect(RefusesItsOwnActions, ("legal_actions_are_accepted",)),
    Defect(ListsNothing, ("legal_actions_are_accepted",)),
    Defect(SlowForSomeSeeds, ("resets_come_in_time",), {"reset_seconds": 0.02}),
    Defect(SlowerWithEveryReset, ("resets_do_not_slow_down",)),
    Defect(SlowWithLongActions, ("answers_come_in_time",)),
    Defect(CopyingWrapper, ("works_behind_wrappers",)),
    Defect(WrapperWithOldActions, ("works_behind_wrappers",)),
    Defect(CountsTheTurnLimit, ("ends_are_told_apart",), {"max_turns": 12}),
    Defect(CallsTheRuleALimit, ("ends_are_told_apart",)),
    Defect(RaisesBothFlags, ("ends_are_told_apart",)),
    Defect(ReturnsNumpyFlags, ("ends_are_told_apart",)),
    Defect(EndsWithoutGrades, ("ends_are_told_apart", "oracle_scores_one")),
    Defect(ScoresBeyondOne, ("ends_are_told_apart", "oracle_scores_one")),
    Defect(
        CannotConclude, ("conclude_grades_at_any_turn", "steps_only_inside_an_episode", "doing_nothing_scores_zero")
    ),
    Defect(ConcludesWithoutNumber, ("conclude_grades_at_any_turn",)),
    Defect(RewardsNotANumber, ("rewards_are_finite",)),
    Defect(RewardsNumpyNumbers, ("rewards_are_finite",)),
    Defect(ObservesBytes, ("observations_lie_in_their_space",)),
    Defect(ObservesLoneSurrogates, ("observations_lie_in_their_space",)),
    Defect(InformsWithSets, ("infos_are_json",)),
    Defect(InformsWithNumpyNumbers, ("infos_are_json",)),
    Defect(KeysByNumber, ("infos_are_json",)),
    Defect(HasNoInstructions, ("brief_says_what_to_do",)),
    Defect(LosesTheBrief, ("brief_says_what_to_do",)),
    Defect(ScoresItsFailures, ("failures_are_not_scored",)),
    Defect(GivesPointsForNothing, ("doing_nothing_scores_zero",)),
    Defect(CannotBeSolved, ("oracle_scores_one",)),
    Defect(HasALostOracle, ("oracle_scores_one",)),
    Defect(ShowsTheAnswer, ("answer_is_not_shown",)),
    Defect(ShowsTheAnswerInTheBrief, ("answer_is_not_shown",)),
    Defect(SharesItsState, ("branches_are_independent", "snapshots_restore")),
    Defect(SnapshotsWithoutGenerator, ("snapshots_restore", "branches_are_independent")),
    Defect(SnapshotsByAnotherKind, ("snapshots_restore", "branches_are_independent")),
    Defect(ReadsTheClock, ("same_in_another_process",)),
    Defect(ReadsTheFolder, ("same_in_another_process",)),
    Defect(DependsOnHashOrder, ("same_in_another_process",)),
    Defect(StepsAfterTheEnd, ("steps_only_inside_an_episode",)),
    Defect(AssertsTheOrder, ("steps_only_inside_an_episode",)),
    Defect(ClosesOnlyOnce, ("closing_twice_does_nothing",)),
    Defect(RaisesOnHostileActions, ("hostile_actions_are_answered",)),
    Defect(EchoesEverything, ("hostile_actions_are_answered",)),
    Defect(AnswersNothing, ("hostile_actions_are_answered",)),
    Defect(ObeysInjections, ("hostile_actions_are_answered",)),
    Defect(HasFewInstances, ("splits_are_disjoint",)),
]


class Talkative(PlainGuard):
    """Healthy, but prints, as libraries do."""

    def _reset(self, task):
        sys.stdout.write("loading the gate\n")
        return super()._reset(task)


USUAL = {"max_turns": 20, "secret": "broken:secrets"}


def register_all() -> list[str]:
    """Register the healthy and the broken environments under `broken/`, and say which."""
    volatile = {r"The year is [\d-]+": "the date is shown"}
    others = {
        "Guard": ("Guard", {}),
        "Talkative": ("Talkative", {}),
        "AsyncGuard": ("AsyncGuard", {"execution": "async", "secret": None}),
        "OverlappingTasks": ("Guard", {"source": "broken:both_splits_alike"}),
        "UnstableTasks": ("Guard", {"source": "broken:never_the_same"}),
        "AsksAServer": ("AsksAServer", {}),
        "DeclaredClock": ("ReadsTheClock", {"volatile": volatile}),
        "DeclaredNone": ("DependsOnHashOrder", {"replay": "none: sets are shown"}),
        "Unportable": ("Guard", {}),
        **{defect.env.__name__: (defect.env.__name__, defect.fields) for defect in DEFECTS},
    }
    for name, (entry, fields) in others.items():
        registry.register(f"broken/{name}-v0", f"broken:{entry}", **{**USUAL, **fields})
    gymnasium.registry.pop("broken/Unportable-v0")
    gymnasium.register("broken/Unportable-v0", lambda **_: Guard(), disable_env_checker=True, order_enforce=False)
    return [f"broken/{name}-v0" for name in others]
