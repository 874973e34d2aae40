"""What is written down of an episode while it runs, and the record it becomes."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from arena.core.agent import Action, Agent
from arena.core.episode import (
    Conclusion,
    Episode,
    Failure,
    ImagePart,
    ObservationPart,
    TaskRecord,
    TextPart,
    Timing,
    Turn,
)
from arena.core.errors import ArenaError
from arena.core.observation import Observation, image_part
from arena.core.outcome import Outcome
from arena.rollout._contract import BLAME, extra_info, finite, reading_environment, score_of
from arena.rollout.jobs import Job, Sink
from arena.rollout.recorder import CallLog, model_of


@dataclass(slots=True)
class Step:
    """One step as it came back, and how long it took (seconds)."""

    result: Any
    agent_seconds: float
    seconds: float
    snapshot: str | None = None
    forced: bool = False


@dataclass(slots=True)
class Transcript:
    """The turns so far, what is shown now, and how it ended.

    Attributes:
        job, seed, log, sink, env_version: given.
        agents: player -> agent, the evaluated player first; known after the reset, as are `briefs`.
        observation, info: what is shown now and the info that came with it.
        outcome: None while the episode runs.
        begun: when the first observation came (`time.perf_counter`).
    """

    job: Job
    seed: int
    log: CallLog
    sink: Sink | None
    env_version: str = ""
    agents: dict[str, Agent] = field(default_factory=dict)
    briefs: dict[str, dict[str, Any]] = field(default_factory=dict)
    instance: str | None = None
    turns: list[Turn] = field(default_factory=list)
    observation: Observation = field(default_factory=lambda: Observation(""))
    info: Mapping[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None
    limit: str | None = None
    failure: Failure | None = None
    conclusion: Conclusion | None = None
    begun: float = field(default_factory=time.perf_counter)
    _started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    _parts: tuple[ObservationPart, ...] = ()
    _replaced: int = 0
    _score: float | None = None
    _scores: dict[str, float] | None = None

    def open(self, result: Any) -> None:
        """Take what `reset` returned."""
        with reading_environment("reset()"):
            raw, info = result
            briefs = info["briefs"] if "briefs" in info else {"agent": info.get("brief", {})}
            self.briefs = {str(player): dict(brief) for player, brief in briefs.items()}
            if not self.briefs:
                raise ValueError("info['briefs'] names no player")
            instance = info.get("instance")
            self.instance = None if instance is None else str(instance)
            self._receive(raw, info)
        self.begun = time.perf_counter()

    def start_journal(self) -> None:
        """Write down what is known before the first turn."""
        if self.sink is not None:
            self.sink.journal_start(self.job.key, self._head())

    def add(self, player: str, action: Action, step: Step) -> None:
        """Take what `step` returned: one turn, and what is shown next."""
        with reading_environment("step()"):
            raw, reward, terminated, truncated, info = step.result
            rewards = info.get("rewards")
            turn = Turn(
                index=len(self.turns),
                player=player,
                observation=self._parts,
                results=self.observation.results,
                state_key=self.info.get("state_key"),
                action=action.text,
                forced=step.forced,
                executed=info.get("executed"),
                valid=info.get("valid"),
                error=info.get("error"),
                reward=finite(rewards[next(iter(self.briefs))] if rewards else reward),
                rewards=rewards,
                terminated=terminated,
                truncated=truncated,
                info=extra_info(info),
                calls=self.log.end_turn(action),
                notes=action.notes,
                timing=Timing(agent=step.agent_seconds, environment=step.seconds),
                snapshot=step.snapshot,
            )
            self._keep(turn)
            self._receive(raw, info)
            if terminated or truncated:
                self._end(info, Outcome.FAILURE if terminated else Outcome.TRUNCATED)
                self.limit = str(info.get("limit", "environment")) if self.outcome is Outcome.TRUNCATED else None

    def copy(self, turn: Turn) -> None:
        """Take over a turn of the parent; its snapshots and model calls stay in the parent's run."""
        self._keep_images(turn.observation)
        self._keep(turn.model_copy(update={"forced": True, "calls": (), "snapshot": None}))

    def conclude(self, limit: str, result: Any, *, graded: bool) -> None:
        """Take what `conclude` returned."""
        with reading_environment("conclude()"):
            reward, info = result
            info = dict(info)
            self.conclusion = Conclusion(reason=limit, graded=graded, reward=finite(reward), info=extra_info(info))
            self._end(info, Outcome.TRUNCATED)
            self.limit = limit if self.outcome is Outcome.TRUNCATED else None

    def fail(self, error: ArenaError) -> None:
        """End with an error, at the boundary it names."""
        self.outcome, boundary = BLAME[next(kind for kind in BLAME if isinstance(error, kind))]
        self.failure = Failure(
            boundary=boundary,
            type=type(error).__name__,
            message=str(error),
            trace="".join(traceback.format_exception(error))[-4000:],
            turn=len(self.turns),
        )

    def show(self, observation: Observation) -> None:
        """What the next turn acts on."""
        self.observation = observation
        self._parts = (TextPart(text=observation.text),)
        if observation.image is not None:
            self._parts = (*self._parts, image_part(observation.image))
            self._keep_images(self._parts)

    def record(self) -> Episode:
        """The record as it stands."""
        outcome = self.outcome or Outcome.CANCELLED
        score = 0.0 if outcome is Outcome.AGENT_ERROR else self._score
        return Episode(
            key=self.job.key,
            **self._head(),
            messages=self.log.table.messages,
            turns=tuple(self.turns),
            unfinished_calls=self.log.end_turn(None),
            final_observation=self._parts,
            final_results=self.observation.results,
            state_key=self.info.get("state_key"),
            conclusion=self.conclusion,
            outcome=outcome,
            limit=self.limit,
            failure=self.failure,
            score=score if outcome.scored else None,
            scores=self._scores if outcome.scored else None,
            success=outcome is Outcome.SUCCESS if outcome.scored else None,
            usage=self.log.usage,
            cost=self.log.cost,
            seconds=time.perf_counter() - self.begun,
            replaced=self._replaced,
        )

    def _head(self) -> dict[str, Any]:
        """The fields that are known once the episode has begun."""
        models = {player: model_of(agent) for player, agent in self.agents.items()}
        return {
            "task": TaskRecord(**self.job.task.to_json()),
            "seed": self.seed,
            "agents": {player: agent.spec for player, agent in self.agents.items()},
            "models": {player: model.spec for player, model in models.items() if model is not None},
            "env_version": self.env_version,
            "briefs": self.briefs,
            "instance": self.instance,
            "tools": tuple(self.log.tools.values()),
            "started": self._started,
            "parent": self.job.prefix.parent if self.job.prefix else None,
        }

    def _end(self, info: Mapping[str, Any], otherwise: Outcome) -> None:
        self._score, self._scores = score_of(info), info.get("scores")
        self.outcome = Outcome.SUCCESS if info.get("success") else otherwise

    def _receive(self, raw: Any, info: Mapping[str, Any]) -> None:
        observation = Observation.of(raw, info)
        self._replaced += observation.replaced
        self.info = info
        self.show(observation)

    def _keep(self, turn: Turn) -> None:
        self.turns.append(turn)
        if self.sink is not None:
            self.sink.journal(self.job.key, turn, self.log.table.take_new())

    def _keep_images(self, parts: tuple[ObservationPart, ...]) -> None:
        if self.sink is not None:
            for part in parts:
                if isinstance(part, ImagePart):
                    self.sink.blob(part)
