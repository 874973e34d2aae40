"""The replay buffer: 1,000 batches of 256 turns drawn from 1,000,000 on disk, and the memory that takes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from arena.records.buffer import BufferWriter, Columns
from arena.records.buffer_reader import BufferReader
from arena.trainers._sampling import PrioritisedSampler, UniformSampler
from benchmarks._report import Figure, Report

TURNS, BATCHES, BATCH = 1_000_000, 1_000, 256
COLUMNS = Columns({"reward": "<f4", "episode": "<i8", "turn": "<i4"}, {"state": "<i4", "action": "<i4"})


def fill(folder: Path, turns: int, generator: np.random.Generator) -> float:
    """Write turns with states of 20 to 60 tokens and actions of 1 to 8; returns the wall seconds."""
    begun = time.perf_counter()
    with BufferWriter(folder, COLUMNS) as writer:
        for first in range(0, turns, 10_000):
            numbers = np.arange(first, first + 10_000)
            tokens = generator.integers(0, 32_000, 60)
            states = [tokens[:length] for length in generator.integers(20, 61, 10_000)]
            actions = [tokens[:length] for length in generator.integers(1, 9, 10_000)]
            scalars = {"reward": numbers % 2, "episode": numbers // 10, "turn": numbers % 10}
            writer.add(scalars, {"state": states, "action": actions})
            writer.commit()
    return time.perf_counter() - begun


def draw(reader: BufferReader, rows: Callable[[int], Any], batches: int) -> float:
    """Draw whole batches, numbers and tokens; returns the wall seconds."""
    begun = time.perf_counter()
    for _ in range(batches):
        chosen = rows(BATCH)
        for name in COLUMNS.scalars:
            reader.scalar(name, chosen)
        for name in COLUMNS.sequences:
            reader.sequences(name, chosen)
    return time.perf_counter() - begun


def own_memory() -> float:
    """MB of this process that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def measure() -> Report:
    """Uniform and prioritised, from one buffer."""
    with tempfile.TemporaryDirectory() as temporary:
        written = fill(Path(temporary, "buffer"), TURNS, np.random.default_rng(0))
        size = sum(path.stat().st_size for path in Path(temporary).rglob("*.bin")) / 1e6
        reader = BufferReader(Path(temporary, "buffer"))
        uniform = UniformSampler(reader, np.random.default_rng(1))
        prioritised = PrioritisedSampler(reader, np.random.default_rng(2))
        draw(reader, uniform.draw, 10)
        before = own_memory()
        seconds = draw(reader, uniform.draw, BATCHES)
        ranked = draw(reader, prioritised.draw, BATCHES)
        grown = own_memory() - before
    what = f"{BATCHES:,} batches of {BATCH} turns out of {TURNS:,}"
    figures = [
        Figure(f"{what}, uniform", seconds, "s", target=5.0),
        Figure(f"{what}, prioritised", ranked, "s", target=5.0),
        Figure("memory grown meanwhile", grown, "MB", target=10.0),
        Figure(f"{TURNS:,} turns written", written, "s", note=f"{size:.0f} MB on disk, committed every 10,000 turns."),
    ]
    return Report("Wall time, the files in the page cache; memory that no file backs.", figures)
