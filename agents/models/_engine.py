"""What a loaded model consists of, and how it is put together."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import torch

from arena.agents.models import _weights
from arena.agents.models._padded import PaddedBatch
from arena.agents.models._prefixes import PrefixStore
from arena.agents.models._ragged import RaggedBatch, agrees, plain_attention
from arena.agents.models._sampler import Batch, Sampler
from arena.agents.models._template import ChatEncoder
from arena.core.errors import UsageError

_log = logging.getLogger(__name__)

_SMALL = 30_000_000
"""Parameters under which a second thread costs more than it brings."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a local model; their meaning is at the top of `local`."""

    device: str | None = None
    dtype: str | None = None
    threads: int | None = None
    max_batch: int = 32
    context: int | None = None
    cache_gb: float | None = None
    deterministic: bool = False
    critic: str | None = None
    beta: float = 16.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.beta):
            raise UsageError(f"beta is how far the critic is followed: a number such as 16, not {self.beta}.")
        if min(self.max_batch, 1 if self.threads is None else self.threads) < 1 or (self.cache_gb or 0) < 0:
            raise UsageError(f"max_batch and threads are at least 1 and cache_gb at least 0, not {self}.")


@dataclass(frozen=True, slots=True)
class Engine:
    """A loaded model.

    Attributes:
        network: the transformers module, in evaluation mode.
        tokenizer: the transformers tokenizer.
        encoder: turns conversations into ids.
        sampler: decodes.
        context: the most ids of a sequence, the answer included.
        stop_ids: ids that end an answer.
    """

    network: Any
    tokenizer: Any
    encoder: ChatEncoder
    sampler: Sampler
    context: int
    stop_ids: frozenset[int]


def assemble(network: Any, tokenizer: Any, options: Options, *, policy_version: str, name: str) -> Engine:
    """Put an engine around a network and its tokenizer; they stay as they are.

    Raises:
        UsageError: a context that does not fit the network.
    """
    device = next(network.parameters()).device
    context = _weights.context_of(network, tokenizer, options.context)
    encoder = ChatEncoder(tokenizer)
    sampler = Sampler(_batch(network, context, options, device, name), device, policy_version, name)
    return Engine(
        network, tokenizer, encoder, sampler, context, stop_ids_of(network.generation_config, tokenizer, encoder)
    )


def set_threads(network: Any, threads: int | None) -> None:
    """Give torch the threads asked for, or one where the network is small."""
    if threads is None and sum(parameter.numel() for parameter in network.parameters()) < _SMALL:
        threads = 1
    if threads is not None:
        torch.set_num_threads(threads)


def _batch(network: Any, context: int, options: Options, device: torch.device, name: str) -> Batch:
    """The fast batch where it is exact for this architecture, else the one that fits any."""
    if options.deterministic:
        return PaddedBatch(network, max_rows=1)
    if not plain_attention(network) or not agrees(network):
        _log.warning(
            "%s: %s has a cache that cannot be kept between turns; every prompt is encoded whole.",
            name,
            type(network).__name__,
        )
        return PaddedBatch(network, max_rows=options.max_batch)
    limit = _cache_bytes(options.cache_gb, device)
    return RaggedBatch(network, PrefixStore(limit // 2), max_rows=options.max_batch, context=context, limit=limit // 2)


def _cache_bytes(cache_gb: float | None, device: torch.device) -> int:
    if cache_gb is not None:
        return int(cache_gb * 2**30)
    return int(torch.cuda.mem_get_info(device)[0]) // 2 if device.type == "cuda" else 2 * 2**30


def stop_ids_of(defaults: Any, tokenizer: Any, encoder: ChatEncoder) -> frozenset[int]:
    """What ends an answer: the ends of sequence that the model and tokenizer name, and the template's end of turn.

    `defaults` is the model's `generation_config`.
    """
    named = defaults.eos_token_id
    ids = {*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id, encoder.turn_end()}
    return frozenset(int(id) for id in ids if id is not None)
