"""An agent that takes its time, so that a test can kill the process in the middle."""

from __future__ import annotations

import asyncio

from arena.agents import build
from arena.core.agent import Action, Agent, Brief


class Slow:
    """The random agent, a few milliseconds a turn."""

    spec = "slow_agents:Slow"

    def start(self, brief: Brief, seed: int):
        session = build("random").start(brief, seed)
        quick = session.act

        async def act(observation) -> Action:
            await asyncio.sleep(0.004)
            return await quick(observation)

        session.act = act
        return session


_: type[Agent] = Slow
