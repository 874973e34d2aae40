"""The replay buffer of a training: turns go in, transitions come out.

Shapes: B transitions.

A row is a turn. The turns of a trajectory lie one after the other, so what follows a turn is the row after it:

    episode, turn, left     which trajectory, the turn's index, and how many turns of it come later
    reward, return          of the turn, and discounted from it to the end as recorded
    terminated, truncated   how the trajectory ended, on its last turn
    producer                of the answer: a place in `_table.PRODUCERS`, the run's `policy` or a `demonstrator`
    version                 the step after which a policy with these weights sampled it; -1: somebody else did
    prompt, answer          ids the policy was shown and answered
    logprob                 of the answer's tokens, as the sampler gave them; NaN: somebody else's
    state                   ids the critic is shown, where that is not the prompt
    final                   ids shown after a truncated trajectory; empty where they do not fit the context

The buffer lies in `replay/` of the run folder. A checkpoint names how much of it counted, so a run that was
killed goes on with the very rows that it had.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.records.buffer import BufferWriter, Columns, Ragged
from arena.records.buffer_reader import BufferReader
from arena.trainers._ranks import Ranks
from arena.trainers._sampling import PrioritisedSampler, UniformSampler
from arena.trainers._segments import Flags, Floats, Integers
from arena.trainers._turn_rows import TurnRows

COLUMNS = Columns(
    scalars={
        "episode": "<i8",
        "turn": "<i4",
        "left": "<i4",
        "reward": "<f8",
        "return": "<f8",
        "terminated": "?",
        "truncated": "?",
        "producer": "u1",
        "version": "<i4",
    },
    sequences={"prompt": "<i4", "answer": "<i4", "logprob": "<f4", "state": "<i4", "final": "<i4"},
)

Sequences = list[NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Transitions:
    """Turns that were drawn, each with what follows it.

    Attributes:
        rows: their numbers in the buffer (B).
        prompt, answer, logprob: what the policy was shown and answered, and the sampler's log-probabilities; B of each.
        state: what the critic is shown; B of them.
        reward: discounted sum over the n turns from this one on, or those that are left (B).
        discount: what the value of `after` counts: gamma^n, and 0 where nothing follows (B).
        after: what the critic is shown after these n turns; empty where nothing follows. B of them.
        returns: discounted rewards from this turn to the end, as recorded (B).
        last: whether it is the trajectory's last turn (B).
        terminated, truncated: how the trajectory ended, on its last turn (B).
        episode, turn, version: see the columns (B).
    """

    rows: Integers
    prompt: Sequences
    answer: Sequences
    logprob: Sequences
    state: Sequences
    reward: Floats
    discount: Floats
    after: Sequences
    returns: Floats
    last: Flags
    terminated: Flags
    truncated: Flags
    episode: Integers
    turn: Integers
    version: Integers

    def __len__(self) -> int:
        return len(self.rows)


class Replay:
    """A replay buffer, as a part of a training run: see `_checkpoint.Part`.

    Rank 0 writes, all ranks read. Nothing is on the disk until `open`.

    Args:
        capacity: turns that are kept, at least; None keeps all.
        segment_rows: turns of a segment: the oldest is dropped whole.
    """

    def __init__(self, *, capacity: int | None = None, segment_rows: int = 65_536) -> None:
        self._capacity = capacity
        self._segment_rows = segment_rows if capacity is None else max(min(segment_rows, capacity // 8), 1)
        self._position: list[dict[str, int]] = []
        self._writer: BufferWriter | None = None
        self._reader: BufferReader | None = None
        self._ranks = Ranks()

    def open(self, folder: Path, ranks: Ranks) -> None:
        """Make the buffer, or go on with it from where the run's checkpoint left it; all ranks together.

        Raises:
            UsageError: there is another kind of buffer.
            RunLocked: another run writes there.
        """
        self._ranks = ranks
        with ranks.together():
            if ranks.first:
                self._writer = BufferWriter(
                    folder,
                    COLUMNS,
                    capacity=self._capacity,
                    segment_rows=self._segment_rows,
                    position=self._position,
                )
                self._writer.commit()
        self._reader = BufferReader(folder)

    def close(self) -> None:
        """Let go of the files."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __len__(self) -> int:
        return len(self.reader)

    @property
    def reader(self) -> BufferReader:
        """What has been added so far."""
        assert self._reader is not None, "open comes first"
        return self._reader

    def add(self, turns: TurnRows) -> None:
        """Append whole trajectories; every rank has them, rank 0 writes. They are on the disk when this returns."""
        with self._ranks.together():
            if self._writer is not None:
                self._writer.add(turns.scalars, turns.sequences)
                self._writer.commit()
                self._position = self._writer.position()
        self.reader.refresh()

    def uniform(self, generator: np.random.Generator) -> UniformSampler:
        """Draws every turn with equal probability."""
        return UniformSampler(self.reader, generator)

    def prioritised(self, generator: np.random.Generator, alpha: float, beta: float) -> PrioritisedSampler:
        """Draws turns in proportion to their priorities; see `PrioritisedSampler`."""
        return PrioritisedSampler(self.reader, generator, alpha=alpha, beta=beta)

    def transitions(self, rows: Integers, *, gamma: float, steps: int = 1, bootstrap: bool = True) -> Transitions:
        """The turns of these rows (B) and what follows them.

        Args:
            rows: numbers, as a sampler draws them.
            gamma: discount per turn.
            steps: turns whose rewards are summed before the value of what follows counts.
            bootstrap: what follows a truncated trajectory counts; else nothing does, as if it had ended there
                (ArCHer's code: `done` covers truncation).
        """
        reader = self.reader
        left = reader.scalar("left", rows).astype(np.int64)
        reward, taken = np.zeros(len(rows)), np.minimum(steps, left + 1)
        for k in range(int(taken.max(initial=0))):
            here = k < taken
            reward[here] += gamma**k * reader.scalar("reward", rows[here] + k)
        # Where the last turn is among those n, what follows it is the final state, which stands in its own row.
        inside = steps <= left
        after: Sequences = [np.zeros(0, np.int32)] * len(rows)
        for places, found in (
            (np.flatnonzero(inside), self._states(rows[inside] + steps)),
            (np.flatnonzero(~inside), _each(reader.sequences("final", rows[~inside] + left[~inside]))),
        ):
            for place, ids in zip(places.tolist(), found, strict=True):
                after[place] = ids if bootstrap or inside[place] else after[place]
        follows = np.array([len(ids) > 0 for ids in after], bool)
        numbers = {name: reader.scalar(name, rows) for name in ("return", "terminated", "truncated", "episode")}
        return Transitions(
            rows=rows,
            **{name: _each(reader.sequences(name, rows)) for name in ("prompt", "answer", "logprob")},
            state=self._states(rows),
            reward=reward,
            discount=np.where(follows, gamma ** taken.astype(np.float64), 0.0),
            after=after,
            returns=numbers["return"],
            last=left == 0,
            terminated=numbers["terminated"],
            truncated=numbers["truncated"],
            episode=numbers["episode"],
            turn=reader.scalar("turn", rows).astype(np.int64),
            version=reader.scalar("version", rows).astype(np.int64),
        )

    def save(self, folder: Path) -> None:
        """Write how much of the buffer counts."""
        folder.mkdir(parents=True)
        (folder / "position.json").write_text(json.dumps(self._position) + "\n")

    def restore(self, folder: Path) -> None:
        """Go on from there at the next `open`."""
        self._position = json.loads((folder / "position.json").read_text())

    def publish(self, folder: Path) -> None:
        """Nothing: the buffer stands in the run folder already."""

    def _states(self, rows: Integers) -> Sequences:
        """What the critic is shown at these rows: the state, and the prompt where there is none."""
        states, prompts = (_each(self.reader.sequences(name, rows)) for name in ("state", "prompt"))
        return [state if len(state) else prompt for state, prompt in zip(states, prompts, strict=True)]


def _each(sequences: Ragged) -> Sequences:
    values, ends = sequences.values, sequences.offsets.tolist()
    return [values[begin:end] for begin, end in pairwise(ends)]


__all__ = ["COLUMNS", "Replay", "Transitions"]
