"""A model of half a billion random parameters on a GPU: tokens per second, memory, share of the card's peak.

    python -m benchmarks gpu

64 episodes of 8 turns are sampled, then trained on. Random weights answer nonsense at the speed of trained ones.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import _multiturn as task
from benchmarks._report import CannotMeasure, Figure, Report
from benchmarks.update import Updater

if TYPE_CHECKING:
    from arena.core.episode import Episode

BF16_PEAKS = {
    "B200": 2250,
    "H200": 989,
    "H100": 989,
    "A100": 312,
    "L40S": 362,
    "L4": 121,
    "RTX 4090": 165,
}
"""Teraflop/s of dense bfloat16 products, from the makers' data sheets, by what a card's name contains."""


@dataclass(frozen=True)
class Size:
    """What is measured.

    Attributes:
        hidden, layers, heads, vocabulary: of the model.
        episodes, group: how many, and how many of one task.
        turns, answer: turns of an episode, and tokens of an answer.
        pass_tokens: padded tokens of a forward pass of the update.
        steps: optimiser steps that are timed, after one to warm up.
    """

    hidden: int = 1280
    layers: int = 24
    heads: int = 20
    vocabulary: int = 32768
    episodes: int = 64
    group: int = 8
    turns: int = 8
    answer: int = 64
    pass_tokens: int = 32768
    steps: int = 3


def measure() -> Report:
    """On the first GPU.

    Raises:
        CannotMeasure: there is none.
    """
    import torch

    if not torch.cuda.is_available():
        raise CannotMeasure(
            "There is no NVIDIA GPU that torch can use here, so there are no figures. On a machine with one, and a "
            "torch built for it: python -m benchmarks gpu"
        )
    return measure_on("cuda", Size())


def measure_on(device: str, size: Size) -> Report:
    """The figures on a device; on a CPU they say nothing, but the code is the same."""
    import torch

    with tempfile.TemporaryDirectory() as temporary:
        folder = build(Path(temporary, "model"), size)
        updater = Updater(folder, [], np.empty(0), pass_tokens=size.pass_tokens, device=device)
        parameters = sum(value.numel() for value in updater.policy.network.parameters())
        play(updater, folder, size)
        with updater.policy.updating("step-1"):
            pass
        seconds, episodes = play(updater, folder, size)
        sampling_memory = memory(device)
        train_on(updater, episodes)
        metrics = updater.step()
        synchronise(device)
        begun = time.perf_counter()
        for _ in range(size.steps):
            updater.step()
        synchronise(device)
        spent = (time.perf_counter() - begun) / size.steps
        asyncio.run(updater.policy.model.aclose())
    sampled = sum(len(call.token_ids or ()) for episode in episodes for call in episode.calls)
    computed = metrics["computed_tokens"]
    flops = computed * flops_per_token(parameters, size, computed / metrics["rows"])
    peak, source = peak_flops(device, next(iter(updater.policy.parameters().values())).dtype)
    figures = [
        Figure("sampled tokens", sampled / seconds, "per s", more_is_better=True),
        Figure("memory while sampling", sampling_memory, "GB"),
        Figure("tokens of an update", computed / spent, "per s", more_is_better=True),
        Figure("memory of an update", memory(device), "GB"),
        Figure("share of the peak in the update", flops / spent / peak, "share", more_is_better=True, note=source),
        Figure("padding of the update", metrics["padding_waste"], "share"),
    ]
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    method = (
        f"{name}: {parameters:,} random parameters, {size.episodes} episodes of {size.turns} turns in flight, "
        f"{size.answer} tokens an answer; clipped loss over all tokens, AdamW with float32 copies of bfloat16 weights, "
        f"passes of {size.pass_tokens:,} tokens, mean of {size.steps} steps by the clock after one to warm up."
    )
    return Report(method, figures, {"device": name, "parameters": parameters})


def build(folder: Path, size: Size) -> Path:
    """The model, of which no answer ends by itself."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from arena.agents.models.tiny import MARKERS, build_tiny_model
    from arena.core.registry import make_raw

    sizes = {"hidden": size.hidden, "layers": size.layers, "heads": size.heads}
    build_tiny_model(folder, **sizes, initializer_range=0.02)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder)
    network.resize_token_embeddings(max(size.vocabulary, len(tokenizer)), mean_resizing=False)
    unheard = [*tokenizer.all_special_ids, *tokenizer.convert_tokens_to_ids(list(MARKERS))]
    task.never(network, [*unheard, *range(len(tokenizer), size.vocabulary)])
    network.save_pretrained(folder)
    (folder / "system.j2").write_text(make_raw(task.ENV, **task.PARAMS).instructions)
    return folder


def play(updater: Updater, folder: Path, size: Size) -> tuple[float, list[Episode]]:
    """Sample the episodes; seconds by the clock."""
    from arena.agents import build as build_agent
    from arena.core.task import Task
    from arena.rollout import Engine, Job, RecordedModel

    spec = f"chat:system={folder / 'system.j2'},max_tokens={size.answer},temperature=1"
    agent = build_agent(spec, RecordedModel(updater.policy.model))
    seeds = range(size.episodes // size.group)
    tasks = [Task(task.ENV, seed, task.PARAMS, None, size.turns) for seed in seeds]
    jobs = [Job(one, repeat) for one in tasks for repeat in range(size.group)]
    episodes: list[Episode] = []
    begun = time.perf_counter()
    engine = Engine({"agent": agent}, concurrency=size.episodes, on_episode=episodes.append)
    asyncio.run(engine.run(jobs))
    return time.perf_counter() - begun, episodes


def train_on(updater: Updater, episodes: list[Episode]) -> None:
    """Let the next steps be about these episodes; the advantages are noise, since random play wins nothing."""
    from arena.trainers import TurnTable
    from arena.trainers._rows import rows_of

    tokens = len(TurnTable.from_episodes(episodes).token_producer)
    updater.take(rows_of(episodes), np.random.default_rng(0).normal(size=tokens))


def flops_per_token(parameters: int, size: Size, length: float) -> float:
    """Of a forward and a backward pass: 6 for each parameter, and the attention's 6 x layers x hidden x length.

    Kaplan et al. 2020 (arXiv 2001.08361); a token attends to half the sequence on average.
    """
    return 6.0 * parameters + 6.0 * size.layers * size.hidden * length


def peak_flops(device: str, dtype: Any) -> tuple[float, str]:
    """What the device can do at most, and where that is from: the data sheet, or a large product timed here."""
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else ""
    for part, teraflops in BF16_PEAKS.items():
        if part in name:
            return teraflops * 1e12, f"the data sheet's {teraflops} teraflop/s of dense bfloat16"
    n = 8192 if device == "cuda" else 512
    square = torch.ones(n, n, dtype=dtype, device=device)
    torch.mm(square, square)
    synchronise(device)
    begun = time.perf_counter()
    for _ in range(4):
        torch.mm(square, square)
    synchronise(device)
    found = 4 * 2 * n**3 / (time.perf_counter() - begun)
    return found, f"a product of two {n} x {n} matrices timed here: {found / 1e12:.3g} teraflop/s"


def memory(device: str) -> float:
    """The most memory since the last call, in GB; 0 on a CPU, where it is not told apart."""
    import torch

    if device != "cuda":
        return 0.0
    most = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.reset_peak_memory_stats()
    return most


def synchronise(device: str) -> None:
    """Wait until the device has done what it was given."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
