"""Snapshots for environments whose whole state is one dataclass."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from gymnasium.utils.seeding import np_random

from arena.core.errors import ResetNeeded

if TYPE_CHECKING:
    from arena.core.env import Handle


class StateSnapshots:
    """Mixin: keep all that changes in `self.state`, a dataclass whose fields are annotated, and get snapshots as bytes.

    The class attribute `state_type` names the dataclass. Everything outside `state` must be fixed by the constructor.
    """

    snapshot_kind: Literal["bytes", "handle"] = "bytes"
    state_type: type[Any]
    state: Any
    instructions: str
    _phase: Any
    _np_random: Any
    _np_random_seed: Any

    def snapshot(self) -> bytes:
        """The state, the generator and where the episode stands, as JSON."""
        if self._phase == "new":
            raise ResetNeeded("There is no state to save: call reset() first.")
        state = _adapter(self.state_type).dump_python(self.state, mode="json")
        generator = self._np_random.bit_generator.state if self._np_random is not None else None
        saved = {
            "state": state,
            "generator": generator,
            "seed": self._np_random_seed,
            "phase": self._phase,
            "instructions": self.instructions,
        }
        return json.dumps(saved).encode()

    def restore(self, snapshot: bytes | Handle) -> None:
        """Go back to a saved state."""
        assert isinstance(snapshot, bytes)
        saved = json.loads(snapshot)
        self.state = _adapter(self.state_type).validate_python(saved["state"])
        self._np_random, _ = np_random(0)
        if saved["generator"] is not None:
            self._np_random.bit_generator.state = saved["generator"]
        self._np_random_seed = saved["seed"]
        self._phase = saved["phase"]
        self.instructions = saved["instructions"]


_adapters: dict[type[Any], Any] = {}


def _adapter(state_type: type[Any]) -> Any:
    """Made once per type: making one takes longer than a hundred snapshots."""
    if state_type not in _adapters:
        from pydantic import TypeAdapter

        _adapters[state_type] = TypeAdapter(state_type)
    return _adapters[state_type]
