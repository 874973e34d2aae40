"""One episode: an agent (or several players' agents) in one environment, played to its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

import anyio

from arena.core.agent import Action, Agent, Brief, Session
from arena.core.env import LegalActions, Oracle, Snapshots
from arena.core.episode import Episode
from arena.core.errors import (
    AgentError,
    ArenaError,
    ContextOverflow,
    EnvironmentFailure,
    EpisodeStopped,
    InfrastructureError,
    UsageError,
)
from arena.core.outcome import Outcome
from arena.core.registry import registration
from arena.core.seeds import derive
from arena.rollout._contract import blaming_agent, checked_action, reading_environment, tools_of
from arena.rollout.hosts import Host
from arena.rollout.jobs import Job, Prefix, Sink
from arena.rollout.limits import Budget, BudgetSpent, LimitReached, Limits
from arena.rollout.recorder import CURRENT, CallLog
from arena.rollout.threads import CallTimeout
from arena.rollout.transcript import Step, Transcript

T = TypeVar("T")

_CLOSING_SECONDS = 30.0
"""How long an environment may take to close when its episode was cancelled or timed out."""


class EpisodeRun:
    """Plays one job in a host; `run` returns its record whatever happens.

    Only `UsageError`, `MissingPrerequisite` and errors of the sink leave it (they would end every
    episode the same way), and a cancellation, after which `record` still gives what there is.
    """

    def __init__(
        self,
        job: Job,
        agents: Mapping[str, Agent],
        *,
        run_seed: int,
        limits: Limits,
        budget: Budget,
        sink: Sink | None,
        env_version: str = "",
        snapshots: bool = False,
    ) -> None:
        self.job = job
        self._agents = agents
        self._limits = limits
        self._snapshots = snapshots
        self._seed = derive(run_seed, job.task.key, job.repeat, job.step)
        self._log = CallLog(self._seed, limits, budget)
        self._script = Transcript(job, self._seed, self._log, sink, env_version)
        self._sessions: dict[str, Session] = {}
        self._lost = False

    def record(self) -> Episode:
        """The record as it stands."""
        return self._script.record()

    async def run(self, opening: Awaitable[Host]) -> Episode:
        """Play to the end, close the host, and return the record."""
        token = CURRENT.set(self._log)
        host: Host | None = None
        try:
            host = await opening
            limit = await self._play(host)
            if limit is not None:
                await self._conclude(host, limit)
        except (EpisodeStopped, BudgetSpent):
            self._script.outcome = Outcome.CANCELLED
        except (EnvironmentFailure, InfrastructureError, AgentError) as error:
            self._script.fail(error)
        except asyncio.CancelledError:
            self._script.outcome = Outcome.CANCELLED
            raise
        finally:
            CURRENT.reset(token)
            self._end_sessions()
            await self._close(host)
        return self.record()

    async def _play(self, host: Host) -> str | None:
        """Turn after turn; returns the limit that ended the episode, None if it ended by itself."""
        script, most = self._script, self.job.task.max_turns
        try:
            await self._begin(host)
            while script.outcome is None:
                if most is not None and len(script.turns) >= most:
                    return "turns"
                await self._turn(host)
        except LimitReached as reached:
            return reached.limit
        except ContextOverflow:
            return "context"
        return None

    async def _begin(self, host: Host) -> None:
        task, script = self.job.task, self._script
        options = {} if task.name is None else {"task": task.name}
        try:
            script.open(await host.reset(task.seed, options, self._limits.reset_seconds))
        except CallTimeout:
            self._lost = True
            raise EnvironmentFailure(f"reset() took longer than {self._limits.reset_seconds:g} s.") from None
        for number, player in enumerate(script.briefs):
            agent = self._agent_of(player, number)
            script.agents[player] = agent
            brief = await self._brief(host, player)
            with blaming_agent():
                self._sessions[player] = agent.start(brief, derive(self._seed, player) if number else self._seed)
        script.start_journal()
        if self.job.prefix is not None:
            await self._replay(host, self.job.prefix)

    async def _brief(self, host: Host, player: str) -> Brief:
        can_list, has_oracle = await host.has(LegalActions), await host.has(Oracle)
        told = self._script.briefs[player]
        with reading_environment("reset() as brief"):
            return Brief(
                instructions=str(told.get("instructions", "")),
                tools=tools_of(told),
                limits={"turns": self.job.task.max_turns, **told.get("limits", {})},
                player=player,
                idle=str(told.get("idle", "")),
                legal_actions=(lambda: host.use(LegalActions, "legal_actions")) if can_list else None,
                oracle=(lambda: host.use(Oracle, "oracle_action")) if has_oracle else None,
            )

    def _agent_of(self, player: str, number: int) -> Agent:
        name = player if player in self._agents else "agent" if number == 0 else "others"
        if name not in self._agents:
            players = ", ".join(self._script.briefs)
            raise UsageError(f"{self.job.task.env} is played by {players}: name an agent for {player} (--player).")
        return self._agents[name]

    async def _replay(self, host: Host, prefix: Prefix) -> None:
        """Bring the environment and the sessions to where the branch begins."""
        script = self._script
        if prefix.snapshot is not None:
            await host.use(Snapshots, "restore", prefix.snapshot)
            for turn, observation in zip(prefix.turns, prefix.observations, strict=False):
                with blaming_agent():
                    self._session(turn.player).take(observation, turn.action)
                script.copy(turn)
            script.info = {"state_key": prefix.state_key, "player": prefix.player}
            script.show(prefix.observations[-1])
            return
        known = registration(self.job.task.env)
        for turn in prefix.turns:
            self._same(turn.index - 1, known.stable(turn.text), known.stable(script.observation.text))
            self._same(turn.index - 1, turn.state_key, script.info.get("state_key"))
            with blaming_agent():
                self._session(turn.player).take(script.observation, turn.action)
            await self._step(host, turn.player, Action(turn.action), Step(None, 0.0, 0.0, forced=True))
            again = script.turns[-1]
            self._same(turn.index, (turn.reward, turn.valid), (again.reward, again.valid))
            self._same(turn.index, (False, False), (again.terminated, again.truncated))
        last = len(prefix.turns) - 1
        self._same(last, known.stable(prefix.observations[-1].text), known.stable(script.observation.text))
        self._same(last, prefix.state_key, script.info.get("state_key"))

    def _same(self, turn: int, recorded: object, found: object) -> None:
        if recorded != found:
            place = f"Turn {turn}" if turn >= 0 else "The reset"
            raise EnvironmentFailure(
                f"{place} of the parent episode does not come out the same when it is executed again, so there is "
                "no such point to branch from. `arena replay RUN EPISODE --execute` shows what differs."
            )

    async def _turn(self, host: Host) -> None:
        player = self._script.info.get("player", "agent")
        snapshot = await self._snapshot(host) if self._snapshots else None
        begun = time.perf_counter()
        action = await self._decide(self._session(player))
        await self._step(host, player, action, Step(None, time.perf_counter() - begun, 0.0, snapshot))

    async def _decide(self, session: Session) -> Action:
        """The agent's action, within the time limits; what its code raises is its own bug."""
        limit, name = self._time_left()
        try:
            async with asyncio.timeout(limit):
                # A TimeoutError of the agent's own is its bug; the one that leaves this block is the limit's.
                with blaming_agent():
                    return checked_action(await session.act(self._script.observation))
        except TimeoutError:
            raise LimitReached(name) from None

    async def _step(self, host: Host, player: str, action: Action, step: Step) -> None:
        limit, name = self._time_left()
        begun = time.perf_counter()
        try:
            step.result = await host.step(action.text, limit)
        except CallTimeout:
            self._lost = True
            raise LimitReached(name) from None
        step.seconds = time.perf_counter() - begun
        self._script.add(player, action, step)

    async def _snapshot(self, host: Host) -> str | None:
        """Keep the state, where it is bytes; a handle lives only as long as its process, so it is let go."""
        if self._script.sink is None or not await host.has(Snapshots):
            return None
        saved = await host.use(Snapshots, "snapshot")
        if isinstance(saved, bytes):
            return self._script.sink.blob_bytes(saved)
        saved.release()
        return None

    async def _conclude(self, host: Host, limit: str) -> None:
        """Have the environment grade the state as it stands; one that no longer answers grants nothing."""
        result: Any = (0.0, {"success": False, "score": 0.0})
        graded = bool(self._script.briefs) and not self._lost
        if graded:
            try:
                result = await host.conclude(limit, self._limits.reset_seconds)
            except CallTimeout:
                self._lost, graded = True, False
        self._script.conclude(limit, result, graded=graded)

    def _time_left(self) -> tuple[float | None, str]:
        """Seconds for what comes next, and the name of the limit that sets them."""
        limit = self._limits.turn_seconds
        if self._limits.seconds is not None:
            left = max(self._limits.seconds - (time.perf_counter() - self._script.begun), 0.0)
            if limit is None or left < limit:
                return left, "time"
        return limit, "turn_time"

    def _session(self, player: str) -> Session:
        if player not in self._sessions:
            raise EnvironmentFailure(f"It is the turn of {player!r}, but reset briefed only {list(self._sessions)}.")
        return self._sessions[player]

    def _end_sessions(self) -> None:
        script = self._script
        for session in self._sessions.values():
            try:
                session.end(script.observation, script.outcome or Outcome.CANCELLED)
            except Exception as error:
                self._late(AgentError(f"end() raised {type(error).__name__}: {error}"))

    async def _close(self, host: Host | None) -> None:
        """Close the environment, also while the run is being cancelled."""
        if host is None:
            return
        try:
            with anyio.move_on_after(_CLOSING_SECONDS, shield=True):
                await host.close()
        except Exception as error:
            self._late(EnvironmentFailure(f"close() raised {type(error).__name__}: {error}"))

    def _late(self, error: ArenaError) -> None:
        """Trouble after the end must not hide how the episode ended, if it ended badly already."""
        if self._script.failure is None and self._script.outcome not in (None, Outcome.CANCELLED):
            self._script.fail(error)
