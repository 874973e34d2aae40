"""Environments and agents that do on purpose what the engine must survive."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time
from typing import Any

import numpy as np

import arena
from arena import AsyncEnv, Env
from arena.core.agent import Action, Brief
from arena.core.errors import EpisodeStopped
from arena.core.messages import Message, Sampling


class Count(Env):
    """Say `go` `length` times; `behaviour` makes it misbehave at the second step."""

    instructions = "Say go."

    def __init__(self, length: int = 3, behaviour: str = "") -> None:
        self.length, self.behaviour = length, behaviour

    def _reset(self, task: str | None) -> tuple[str, dict[str, Any]]:
        if self.behaviour == "reset":
            raise RuntimeError("no reset today")
        if self.behaviour == "slow reset":
            time.sleep(30)
        if self.behaviour == "bad brief":
            return "start", {"brief": "play"}
        self.count = 0
        self.thread = threading.get_ident()
        return "start", {"instance": str(self.np_random_seed), "state_key": "0"}

    def _step(self, action: str) -> tuple[str, Any, bool, bool, dict[str, Any]]:
        self.count += action.strip() == "go"
        if self.count == 2:
            self._misbehave()
        info: dict[str, Any] = {"valid": action.strip() == "go", "state_key": str(self.count)}
        if self.count == 2:
            info |= {"not json": {"thing": object()}, "bad info": {"error": 5}}.get(self.behaviour, {})
            if self.behaviour == "short":
                return "count 2", 0.0, False, info  # type: ignore[return-value]
        if self.behaviour == "pid":
            info["pid"], info["same_thread"] = os.getpid(), threading.get_ident() == self.thread
        reward: Any = float("nan") if self.behaviour == "nan" and self.count == 2 else 1.0
        reward = np.float32(reward) if self.behaviour == "numpy" else reward
        if self.behaviour == "cut" and self.count == 2:
            return "cut", 0.0, False, True, {"limit": "budget"}
        over = self.count == self.length
        return f"count {self.count}", reward, over, False, {**info, "success": over}

    def _conclude(self, reason: str) -> tuple[float, dict[str, Any]]:
        return 0.0, {"success": False, "score": self.count / self.length}

    def _misbehave(self) -> None:
        if self.behaviour == "raise":
            raise RuntimeError("the environment broke")
        if self.behaviour == "misuse":
            raise arena.core.errors.ResetNeeded("an inner environment was not reset")
        if self.behaviour == "child":
            subprocess.Popen(["sleep", "31.4159"])
            time.sleep(30)
        if self.behaviour == "nap":
            time.sleep(0.5)
        if self.behaviour == "exit":
            os._exit(9)
        if self.behaviour == "sleep":
            time.sleep(30)


class Later(AsyncEnv):
    """As `Count` with coroutines; behaviour `hang` waits for ever at the second step."""

    instructions = "Say go."

    def __init__(self, length: int = 3, behaviour: str = "") -> None:
        self.length, self.behaviour = length, behaviour

    async def _reset(self, task: str | None) -> tuple[str, dict[str, Any]]:
        self.count = 0
        return "start", {}

    async def _step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        await asyncio.sleep(0)
        self.count += 1
        if self.behaviour == "hang" and self.count == 2:
            await asyncio.Event().wait()
        over = self.count == self.length
        return f"count {self.count}", 1.0, over, False, {"success": over}

    async def _close(self) -> None:
        await asyncio.sleep(0.1)
        CLOSED.append(self)


CLOSED: list[Later] = []
"""Environments that were closed to the end."""


class Go:
    """Says `go`; `behaviour` makes it misbehave at its second turn."""

    def __init__(self, behaviour: str = "") -> None:
        self.behaviour = behaviour
        self.spec = f"go:behaviour={behaviour}" if behaviour else "go"

    def start(self, brief: Brief, seed: int) -> Going:
        return Going(self.behaviour, seed)


class Going:
    def __init__(self, behaviour: str, seed: int) -> None:
        self.behaviour, self.seed, self.turn = behaviour, seed, 0
        self.ended: list[Any] = []

    async def act(self, observation: Any) -> Any:
        self.turn += 1
        if self.turn == 2:
            if self.behaviour == "raise":
                raise ValueError("a bug")
            if self.behaviour == "wrong type":
                return "go"
            if self.behaviour == "timeout":
                raise TimeoutError("a socket of the agent's own")
            if self.behaviour == "no text":
                return Action(None)  # type: ignore[arg-type]
            if self.behaviour == "hang":
                await asyncio.Event().wait()
            if self.behaviour == "stop":
                raise EpisodeStopped("that is enough")
        return Action("stay" if self.behaviour == "lazy" else "go")

    def take(self, observation: Any, action: str) -> None:
        self.turn += 1

    def end(self, observation: Any, outcome: Any) -> None:
        self.ended.append(outcome)


arena.register("probe/Count-v0", "probes:Count", max_turns=10)
arena.register("probe/CountThread-v0", "probes:Count", max_turns=10, execution="thread")
arena.register("probe/CountProcess-v0", "probes:Count", max_turns=10, execution="process")
arena.register("probe/Later-v0", "probes:Later", max_turns=10, execution="async")


class Chatty(AsyncEnv):
    """Passes what the agent says to a simulated user and shows the answer; over when the user says bye."""

    instructions = "Talk to the user."

    def __init__(self, models: Any) -> None:
        self.user = models["user"]

    async def _reset(self, task: str | None) -> tuple[str, dict[str, Any]]:
        self.last: Any = None
        return "The user is there.", {}

    async def _step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.last = await self.user.complete([Message.of("user", action)], Sampling(), after=self.last)
        over = self.last.text == "bye"
        return self.last.text, 0.0, over, False, {"success": over}


arena.register("probe/Chatty-v0", "probes:Chatty", max_turns=5, execution="async", roles=("user",))
