"""The policy: a causal language model that samples episodes and is trained on them, from one copy of the weights.

Shapes: B rows, L tokens of the longest. Log-probabilities and entropies are in nats, of the distribution
at the sampling temperature.

The network stays in evaluation mode while it trains, so that no dropout comes between what was sampled
and what is trained on. (Gradient checkpointing needs training mode; dropout is then set to 0.)
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import inspect
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from arena.core.errors import MissingPrerequisite, UsageError
from arena.core.seeds import derive
from arena.trainers._ranks import Ranks
from arena.trainers._sharding import gather, in_parts

if TYPE_CHECKING:
    from torch import Tensor

    from arena.agents.models.local import LocalModel


class PolicyOptions(BaseModel):
    """How the network is held."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str | None = None
    """cuda where there is a GPU, else cpu."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """bfloat16 on a GPU (the optimiser then keeps float32 copies), float32 on a CPU."""
    lora_rank: int = Field(default=0, ge=0)
    """Rank of the adapters that are trained instead of the weights; 0 trains the weights."""
    lora_alpha: float | None = Field(default=None, gt=0)
    """Scale of the adapters; twice the rank unless told."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, about a third more time."""
    deterministic: bool = False
    """Sample each answer alone, so that a run is repeated and resumed bit for bit (on a CPU with one thread)."""
    threads: int | None = Field(default=None, ge=1)
    """Torch's threads; one for small models on a CPU unless told."""
    context: int | None = Field(default=None, ge=1)
    """Longest sequence; the model's own limit unless told."""


class Policy:
    """A network, its tokenizer, and the model that samples from it.

    Attributes:
        network: the transformers module; with adapters they are inside it.
        learner: what trains: the network itself, or with several ranks its weights in parts (`_sharding`).
        ranks: who trains it.
        tokenizer: its tokenizer.
        model: samples from these very weights; give it to the agent.
        options: how it is held.
    """

    def __init__(
        self,
        network: Any,
        tokenizer: Any,
        options: PolicyOptions,
        *,
        identity: str,
        spec: str,
        ranks: Ranks | None = None,
    ) -> None:
        from arena.agents.models.local import LocalModel, Options

        self.network, self.tokenizer, self.options = network, tokenizer, options
        self.ranks = ranks or Ranks()
        whole = self.ranks.alone or options.lora_rank
        self.learner: Any = network if whole else in_parts(network, self.ranks)
        self._identity = identity
        held = Options(context=options.context, deterministic=options.deterministic)
        self.model: LocalModel = LocalModel.of(network, tokenizer, held, identity=identity, spec=spec)

    @classmethod
    def load(
        cls, folder: str | Path, options: PolicyOptions | None = None, *, seed: int = 0, ranks: Ranks | None = None
    ) -> Policy:
        """Load a model folder.

        Args:
            folder: what `save_pretrained` wrote, or the name of a model on the Hugging Face hub.
            options: how to hold it.
            seed: of fresh adapters.
            ranks: who trains it together; alone unless told.

        Raises:
            UsageError: the folder is missing, damaged, or has no chat template.
            MissingPrerequisite: adapters without peft.
        """
        from arena.agents.models import _weights
        from arena.agents.models._engine import set_threads

        options = options or PolicyOptions()
        found = _weights.find_folder(str(folder))
        _weights.template_of(found)
        device = _weights.choose_device(options.device)
        tokenizer = _weights.load_tokenizer(found)
        network = _weights.load_network(found, device, _weights.choose_dtype(options.dtype, device))
        if device == "cpu":
            set_threads(network, options.threads)
        if options.lora_rank:
            add_adapters(network, options, seed)
        if options.gradient_checkpointing:
            _checkpoint_activations(network)
        identity = _weights.identity_of(found)
        return cls(network, tokenizer, options, identity=identity, spec=f"hf:{folder}", ranks=ranks)

    @property
    def has_pad(self) -> bool:
        """Whether the tokenizer has a token that only fills up."""
        return self.tokenizer.pad_token_id not in (None, self.tokenizer.eos_token_id)

    @property
    def device(self) -> Any:
        """Where the weights are."""
        return next(self.network.parameters()).device

    @property
    def context(self) -> int:
        """The most tokens of a sequence."""
        return self.model.load().context

    def parameters(self) -> dict[str, Any]:
        """The parameters that train, by name: all, or the adapters'."""
        return {name: value for name, value in self.learner.named_parameters() if value.requires_grad}

    @contextlib.contextmanager
    def updating(self, version: str) -> Iterator[None]:
        """Change the weights: sampling waits, and from then on says it comes from `version`."""
        with self.model.updating(version) as network:
            if self.options.gradient_checkpointing:
                self.learner.train()
            yield
            if self.learner is not network:
                with self.ranks.guarded():
                    gather(self.learner, network)
        self.model.traits = dataclasses.replace(self.model.traits, identity=f"{self._identity}+{version}")

    def logprobs(
        self, ids: Tensor, attention: Tensor, mask: Tensor, temperature: float = 1.0, *, entropy_grad: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy of the tokens where `mask` is set, 0 elsewhere (B, L each).

        Args:
            ids: token ids, padded on the right (B, L).
            attention: 1 on tokens and 0 on padding (B, L).
            mask: the tokens asked for; never the first of a row (B, L).
            temperature: what the logits are divided by, as when sampling; 0 (greedy) counts as 1.
            entropy_grad: let gradients flow into the entropy.
        """
        import torch

        columns = mask.any(0).nonzero()[:, 0]
        given = {"input_ids": ids, "attention_mask": attention, "use_cache": False}
        if "logits_to_keep" in inspect.signature(self.learner.forward).parameters:
            logits = self.learner(**given, logits_to_keep=columns - 1).logits
        else:
            logits = self.learner(**given).logits[:, columns - 1]
        chosen = mask[:, columns].bool()
        scores = (logits[chosen].float() / (temperature or 1.0)).log_softmax(-1)
        found = scores.gather(-1, ids[:, columns][chosen][:, None])[:, 0]
        with contextlib.nullcontext() if entropy_grad else torch.no_grad():
            spread = -(scores.exp() * scores).sum(-1)
        places = mask.bool()
        empty = torch.zeros(ids.shape, device=ids.device)
        return empty.masked_scatter(places, found), empty.masked_scatter(places, spread)

    @contextlib.contextmanager
    def as_reference(self) -> Iterator[None]:
        """Within the block the adapters are off: the network is the reference policy.

        Raises:
            UsageError: it has no adapters, so the weights it began with are gone.
        """
        if not self.options.lora_rank:
            raise UsageError("Only a policy with adapters holds its reference; load a second one, or set lora_rank.")
        self.network.disable_adapters()
        try:
            yield
        finally:
            self.network.enable_adapters()

    def save(self, folder: str | Path) -> Path:
        """Write an ordinary model folder, adapters merged; it appears whole or not at all."""
        from arena.agents.models._weights import quiet

        path = Path(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        with quiet():
            self.merged().save_pretrained(fresh)
        self.tokenizer.save_pretrained(fresh)
        replace_folder(fresh, path)
        return path

    def merged(self) -> Any:
        """The network, and where it has adapters a copy in which they are part of the weights."""
        if not self.options.lora_rank:
            return self.network
        from peft.tuners.tuners_utils import BaseTunerLayer

        merged = copy.deepcopy(self.network)
        for name, module in list(merged.named_modules()):
            if isinstance(module, BaseTunerLayer):
                module.merge()
                parent, _, own = name.rpartition(".")
                setattr(merged.get_submodule(parent), own, module.get_base_layer())
        merged._hf_peft_config_loaded = False
        return merged


def add_adapters(network: Any, options: PolicyOptions, seed: int) -> None:
    """Put low-rank adapters (Hu et al. 2021) on every linear layer; nothing else trains.

    Raises:
        MissingPrerequisite: peft is not installed.
    """
    import torch

    try:
        import peft
    except ModuleNotFoundError as error:
        raise MissingPrerequisite("lora_rank needs the package peft.", 'pip install "arena-gym[train]"') from error
    alpha = options.lora_alpha or 2.0 * options.lora_rank
    config = peft.LoraConfig(r=options.lora_rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")  # type: ignore[arg-type]
    with torch.random.fork_rng():
        network.add_adapter(config)
    for name, parameter in network.named_parameters():
        if "lora_A" in name:
            drawn = torch.Generator().manual_seed(derive(seed, "adapter", name) % 2**63)
            bound = 1 / math.sqrt(parameter.shape[1])
            start = torch.empty(parameter.shape).uniform_(-bound, bound, generator=drawn)
            parameter.data.copy_(start)
    network.eval()


def replace_folder(fresh: Path, path: Path) -> None:
    """Put a finished folder in its place, so that no moment shows half of it.

    Its files reach the disk first. Where there is one already it steps aside and goes.
    """
    for file in fresh.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
    aside = path.with_name(f".{path.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if path.exists():
        path.rename(aside)
    fresh.rename(path)
    shutil.rmtree(aside, ignore_errors=True)


def _checkpoint_activations(network: Any) -> None:
    """Compute activations again in the backward pass. It happens in training mode only, so dropout is set to 0."""
    import torch

    # The method has a new name since transformers 5.22; the old one warns.
    newer = getattr(network, "activation_checkpointing_enable", None)
    if newer is not None:
        newer({"use_reentrant": False})
    else:
        network.gradient_checkpointing_enable({"use_reentrant": False})
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.0


__all__ = ["Policy", "PolicyOptions", "replace_folder"]
