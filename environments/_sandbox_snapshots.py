"""Snapshots for environments in which an episode is what stands in a sandbox, and a few words beside it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Literal

from gymnasium.utils.seeding import np_random

from arena.core.errors import ResetNeeded
from arena.sandboxes import Sandbox, load_snapshot

if TYPE_CHECKING:
    from arena.core.env import Handle

__all__ = ["SandboxSnapshots"]


class SandboxSnapshots:
    """Mixin for an `AsyncEnv`: write the three methods at the end, and get snapshots as bytes.

    They hold the sandbox's work folders and its shell's state (see `arena.sandboxes.Snapshot`): processes, and files
    elsewhere, such as in /tmp, are not kept.
    """

    snapshot_kind: Literal["bytes", "handle"] = "bytes"
    np_random: Any
    np_random_seed: Any
    instructions: str
    _phase: Any

    async def snapshot(self) -> bytes:
        """The episode as it stands.

        Raises:
            ResetNeeded: none is under way.
        """
        if self._phase != "running":
            raise ResetNeeded("There is no state to save: call reset() first.")
        frame = {
            "generator": self.np_random.bit_generator.state,
            "seed": self.np_random_seed,
            "instructions": self.instructions,
            "noted": self._noted(),
        }
        saved = await self._sandbox().snapshot()
        try:
            return json.dumps(frame).encode() + b"\n" + await asyncio.to_thread(saved.to_bytes)
        finally:
            saved.release()

    async def restore(self, snapshot: bytes | Handle) -> None:
        """Go (back) to a saved state, in a sandbox of its own."""
        assert isinstance(snapshot, bytes)
        head, _, content = snapshot.partition(b"\n")
        frame, saved = json.loads(head), await asyncio.to_thread(load_snapshot, content)
        try:
            sandbox = await self._reopened(frame["noted"])
            await sandbox.restore(saved)
        finally:
            saved.release()
        self.np_random, _ = np_random(0)
        self.np_random.bit_generator.state = frame["generator"]
        self.np_random_seed, self.instructions = frame["seed"], frame["instructions"]
        self._phase = "running"

    def _sandbox(self) -> Sandbox:
        """The one that the episode is in."""
        raise NotImplementedError

    def _noted(self) -> dict[str, Any]:
        """What else an episode changes, and the task's name, for JSON."""
        raise NotImplementedError

    async def _reopened(self, noted: dict[str, Any]) -> Sandbox:
        """Make the task's sandbox anew, in the place of the one there was, and take over what was noted."""
        raise NotImplementedError
