"""One episode: an agent (or several players' agents) in one environment, recorded turn by turn."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

from arena.core.agent import Action, Agent, Brief, Session
from arena.core.env import LegalActions, Oracle, Snapshots
from arena.core.episode import (
    Conclusion,
    Episode,
    Failure,
    ImagePart,
    ObservationPart,
    TaskRecord,
    TextPart,
    Timing,
    Tool,
    Turn,
)
from arena.core.errors import (
    AgentError,
    ArenaError,
    ContextOverflow,
    EnvironmentFailure,
    EpisodeStopped,
    InfrastructureError,
    UsageError,
)
from arena.core.model import Model
from arena.core.observation import Observation, image_part
from arena.core.outcome import Outcome
from arena.core.registry import registration
from arena.core.seeds import derive
from arena.rollout._contract import BLAME, blaming_agent, extra_info, finite, score_of
from arena.rollout.hosts import Host
from arena.rollout.jobs import Job, Prefix, Sink
from arena.rollout.limits import LimitReached, Limits
from arena.rollout.recorder import CURRENT, CallLog


class EpisodeRun:
    """Plays one job in an open host; `run` returns its record whatever happens.

    Only `UsageError` and `MissingPrerequisite` leave it (they would end every episode the same way),
    and a cancellation, after which `record` still gives what there is.
    """

    def __init__(
        self,
        job: Job,
        agents: Mapping[str, Agent],
        *,
        run_seed: int,
        limits: Limits,
        sink: Sink | None,
        env_version: str = "",
        snapshots: bool = False,
    ) -> None:
        self.job = job
        self._agents = agents
        self._limits = limits
        self._sink = sink
        self._env_version = env_version
        self._snapshots = snapshots
        self._seed = derive(run_seed, job.task.key, job.repeat, job.step)
        self._log = CallLog(self._seed, limits)
        self._turns: list[Turn] = []
        self._sessions: dict[str, Session] = {}
        self._names: dict[str, Agent] = {}
        self._briefs: dict[str, dict[str, Any]] = {}
        self._observation = Observation("")
        self._parts: tuple[ObservationPart, ...] = ()
        self._info: dict[str, Any] = {}
        self._instance: str | None = None
        self._score: float | None = None
        self._scores: dict[str, float] | None = None
        self._over: Outcome | None = None
        self._limit: str | None = None
        self._failure: Failure | None = None
        self._conclusion: Conclusion | None = None
        self._replaced = 0
        self._lost = False
        self._started = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._begun = time.perf_counter()

    async def run(self, opening: Awaitable[Host]) -> Episode:
        """Play to the end, close the host, and return the record."""
        token = CURRENT.set(self._log)
        host: Host | None = None
        try:
            host = await opening
            limit = await self._play(host)
            if limit is not None:
                await self._conclude(host, limit)
        except EpisodeStopped:
            self._over = Outcome.CANCELLED
        except (EnvironmentFailure, InfrastructureError, AgentError) as error:
            self._fail(error)
        except asyncio.CancelledError:
            self._over = Outcome.CANCELLED
            raise
        finally:
            CURRENT.reset(token)
            await self._close(host)
        return self.record()

    async def _play(self, host: Host) -> str | None:
        """Turn after turn; returns the limit that ended the episode, None if it ended by itself."""
        task = self.job.task
        try:
            await self._begin(host)
            while self._over is None:
                if task.max_turns is not None and len(self._turns) >= task.max_turns:
                    return "turns"
                await self._turn(host)
        except LimitReached as reached:
            return reached.limit
        except ContextOverflow:
            return "context"
        return None

    async def _begin(self, host: Host) -> None:
        task, prefix = self.job.task, self.job.prefix
        options = {} if task.name is None else {"task": task.name}
        raw, info = await host.reset(task.seed, options)
        self._instance = info.get("instance")
        self._briefs = info["briefs"] if "briefs" in info else {"agent": info.get("brief", {})}
        self._receive(raw, info)
        self._begun = time.perf_counter()
        for number, player in enumerate(self._briefs):
            agent = self._agent_of(player, number)
            self._names[player] = agent
            seed = self._seed if number == 0 else derive(self._seed, player)
            with blaming_agent():
                self._sessions[player] = agent.start(await self._brief(host, player), seed)
        if self._sink is not None:
            header = {"task": task.to_json(), "seed": self._seed, "agents": self._specs(), "started": self._started}
            self._sink.journal_start(self.job.key, {**header, "briefs": self._briefs})
        if prefix is not None:
            await self._replay(host, prefix)

    async def _brief(self, host: Host, player: str) -> Brief:
        told = self._briefs[player]
        can_list, has_oracle = await host.has(LegalActions), await host.has(Oracle)
        return Brief(
            instructions=told.get("instructions", ""),
            tools=tuple(Tool.model_validate(tool) for tool in told.get("tools", ())),
            limits={"turns": self.job.task.max_turns, **told.get("limits", {})},
            player=player,
            idle=told.get("idle", ""),
            legal_actions=(lambda: host.use(LegalActions, "legal_actions")) if can_list else None,
            oracle=(lambda: host.use(Oracle, "oracle_action")) if has_oracle else None,
        )

    def _agent_of(self, player: str, number: int) -> Agent:
        name = player if player in self._agents else "agent" if number == 0 else "others"
        if name not in self._agents:
            players = ", ".join(self._briefs)
            raise UsageError(f"{self.job.task.env} is played by {players}: name an agent for {player} (--player).")
        return self._agents[name]

    async def _replay(self, host: Host, prefix: Prefix) -> None:
        """Bring the environment and the sessions to where the branch begins."""
        if prefix.snapshot is not None:
            await self._restore(host, prefix, prefix.snapshot)
            return
        known = registration(self.job.task.env)
        for turn in prefix.turns:
            self._same(turn.index - 1, known.stable(turn.text), known.stable(self._observation.text))
            self._same(turn.index - 1, turn.state_key, self._info.get("state_key"))
            with blaming_agent():
                self._session(turn.player).take(self._observation, turn.action)
            await self._step(host, turn.player, Action(turn.action), forced=True)
            again = self._turns[-1]
            self._same(turn.index, (turn.reward, turn.valid), (again.reward, again.valid))
            self._same(turn.index, (False, False), (again.terminated, again.truncated))
        last = len(prefix.turns) - 1
        self._same(last, known.stable(prefix.observations[-1].text), known.stable(self._observation.text))
        self._same(last, prefix.state_key, self._info.get("state_key"))

    async def _restore(self, host: Host, prefix: Prefix, snapshot: bytes) -> None:
        await host.use(Snapshots, "restore", snapshot)
        for turn, observation in zip(prefix.turns, prefix.observations, strict=False):
            with blaming_agent():
                self._session(turn.player).take(observation, turn.action)
            self._keep_images(turn.observation)
            # The parent's snapshots and model calls stay in the parent's run.
            self._turns.append(turn.model_copy(update={"forced": True, "calls": (), "snapshot": None}))
            if self._sink is not None:
                self._sink.journal(self.job.key, self._turns[-1])
        self._info = {"state_key": prefix.state_key, "player": prefix.player}
        self._show(prefix.observations[-1])

    def _same(self, turn: int, recorded: object, found: object) -> None:
        if recorded != found:
            place = f"Turn {turn}" if turn >= 0 else "The reset"
            raise EnvironmentFailure(
                f"{place} of the parent episode does not come out the same when it is executed again, so there is "
                "no such point to branch from. `arena replay RUN EPISODE --execute` shows what differs."
            )

    async def _turn(self, host: Host) -> None:
        player = self._info.get("player", "agent")
        snapshot = await self._snapshot(host) if self._snapshots else None
        begun = time.perf_counter()
        action = await self._timed(self._session(player).act(self._observation), AgentError)
        if not isinstance(action, Action):
            raise AgentError(f"act() returned {type(action).__name__}; it must return an arena.core.agent.Action.")
        await self._step(host, player, action, seconds=time.perf_counter() - begun, snapshot=snapshot)

    async def _snapshot(self, host: Host) -> str | None:
        if self._sink is None or not await host.has(Snapshots):
            return None
        data = await host.use(Snapshots, "snapshot")
        return self._sink.blob_bytes(data) if isinstance(data, bytes) else None

    async def _step(
        self,
        host: Host,
        player: str,
        action: Action,
        *,
        seconds: float = 0.0,
        snapshot: str | None = None,
        forced: bool = False,
    ) -> None:
        before, parts, state_key = self._observation, self._parts, self._info.get("state_key")
        begun = time.perf_counter()
        raw, reward, terminated, truncated, info = await self._timed(host.step(action.text), EnvironmentFailure)
        rewards = info.get("rewards")
        turn = Turn(
            index=len(self._turns),
            player=player,
            observation=parts,
            results=before.results,
            state_key=state_key,
            action=action.text,
            forced=forced,
            executed=info.get("executed"),
            valid=info.get("valid"),
            error=info.get("error"),
            reward=finite(rewards[next(iter(self._briefs))] if rewards else reward),
            rewards=rewards,
            terminated=terminated,
            truncated=truncated,
            info=extra_info(info),
            calls=self._log.end_turn(action),
            notes=action.notes,
            timing=Timing(agent=seconds, environment=time.perf_counter() - begun),
            snapshot=snapshot,
        )
        self._turns.append(turn)
        if self._sink is not None:
            self._sink.journal(self.job.key, turn, self._log.table.take_new())
        self._receive(raw, info)
        if terminated or truncated:
            success = bool(info.get("success"))
            ended = Outcome.FAILURE if terminated else Outcome.TRUNCATED
            self._over = Outcome.SUCCESS if success else ended
            self._limit = str(info.get("limit", "environment")) if truncated and not success else None
            self._score, self._scores = score_of(info), info.get("scores")

    async def _conclude(self, host: Host, limit: str) -> None:
        """Have the environment grade the state as it stands; a lost one has earned nothing."""
        reward, info = 0.0, dict[str, Any](success=False, score=0.0)
        graded = bool(self._briefs) and not self._lost
        if graded:
            reward, info = await host.conclude(limit)
        self._conclusion = Conclusion(reason=limit, graded=graded, reward=finite(reward), info=extra_info(info))
        self._score, self._scores = score_of(info), info.get("scores")
        self._over = Outcome.SUCCESS if info.get("success") else Outcome.TRUNCATED
        self._limit = limit if self._over is Outcome.TRUNCATED else None

    async def _timed(self, work: Awaitable[Any], blame: type[ArenaError]) -> Any:
        """Await the agent or the environment within the time limits, blaming the right one for what it raises."""
        limit, name = self._limits.turn_seconds, "turn_time"
        if self._limits.seconds is not None:
            left = max(self._limits.seconds - (time.perf_counter() - self._begun), 0.0)
            limit, name = (left, "time") if limit is None or left < limit else (limit, name)
        clock = asyncio.timeout(limit) if limit is not None else None
        guard: AbstractAsyncContextManager[Any] = clock if clock is not None else nullcontext()
        try:
            async with guard:
                return await work
        except TimeoutError as error:
            if clock is None or not clock.expired():
                raise blame(f"TimeoutError: {error}") from error
            self._lost = blame is EnvironmentFailure
            raise LimitReached(name) from None
        except ArenaError:
            raise
        except Exception as error:
            raise blame(f"{type(error).__name__}: {error}") from error

    def _receive(self, raw: Any, info: dict[str, Any]) -> None:
        try:
            observation = Observation.of(raw, info)
        except (TypeError, KeyError, AttributeError) as error:
            raise EnvironmentFailure(f"An observation is a string or {{'text', 'image'}}, not {raw!r:.200}.") from error
        self._replaced += observation.replaced
        self._info = info
        self._show(observation)

    def _show(self, observation: Observation) -> None:
        self._observation = observation
        self._parts = (TextPart(text=observation.text),)
        if observation.image is not None:
            self._parts = (*self._parts, image_part(observation.image))
            self._keep_images(self._parts)

    def _keep_images(self, parts: tuple[ObservationPart, ...]) -> None:
        if self._sink is not None:
            for part in parts:
                if isinstance(part, ImagePart):
                    self._sink.blob(part)

    def _session(self, player: str) -> Session:
        if player not in self._sessions:
            raise EnvironmentFailure(f"It is the turn of {player!r}, but reset briefed only {list(self._sessions)}.")
        return self._sessions[player]

    def _fail(self, error: ArenaError) -> None:
        outcome, boundary = BLAME[next(kind for kind in BLAME if isinstance(error, kind))]
        trace = "".join(traceback.format_exception(error))
        self._over = outcome
        self._failure = Failure(
            boundary=boundary, type=type(error).__name__, message=str(error), trace=trace[-4000:], turn=len(self._turns)
        )

    async def _close(self, host: Host | None) -> None:
        """End the sessions, then close the environment; trouble here must not hide how the episode ended."""
        for session in self._sessions.values():
            try:
                session.end(self._observation, self._over or Outcome.CANCELLED)
            except Exception as error:
                if self._failure is None and self._over not in (None, Outcome.CANCELLED):
                    self._fail(AgentError(f"end() raised {type(error).__name__}: {error}"))
        if host is not None and not self._lost:
            try:
                await asyncio.shield(host.close())
            except Exception as error:
                if self._failure is None and self._over not in (None, Outcome.CANCELLED):
                    self._fail(EnvironmentFailure(f"close() raised {type(error).__name__}: {error}"))

    def _specs(self) -> dict[str, str]:
        return {player: agent.spec for player, agent in self._names.items()}

    def record(self) -> Episode:
        """The record as it stands."""
        outcome = self._over or Outcome.CANCELLED
        score = 0.0 if outcome is Outcome.AGENT_ERROR else self._score
        models = {player: model.spec for player, agent in self._names.items() if (model := _model_of(agent))}
        return Episode(
            key=self.job.key,
            task=TaskRecord(**self.job.task.to_json()),
            seed=self._seed,
            agents=self._specs(),
            models=models,
            env_version=self._env_version,
            briefs=self._briefs,
            instance=self._instance,
            tools=tuple(self._log.tools.values()),
            messages=self._log.table.messages,
            turns=tuple(self._turns),
            unfinished_calls=self._log.end_turn(None),
            final_observation=self._parts,
            final_results=self._observation.results,
            state_key=self._info.get("state_key"),
            conclusion=self._conclusion,
            outcome=outcome,
            limit=self._limit,
            failure=self._failure,
            score=score if outcome.scored else None,
            scores=self._scores if outcome.scored else None,
            success=outcome is Outcome.SUCCESS if outcome.scored else None,
            usage=self._log.usage,
            cost=self._log.cost,
            started=self._started,
            seconds=time.perf_counter() - self._begun,
            replaced=self._replaced,
            parent=self.job.prefix.parent if self.job.prefix else None,
        )


def _model_of(agent: Agent) -> Model | None:
    return getattr(agent, "model", None)
