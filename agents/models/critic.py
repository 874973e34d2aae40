"""Critics: what a point of a conversation is worth, in the tokens of a language model.

A critic is a trunk, which turns ids into hidden states, and named heads that read numbers off them
(`critic_heads`). The trunk is its own (a copy of the policy's, a small one, any pretrained one), or it is
the policy's, and then the critic is its heads alone. Its folder:

    critic/
        config.json         what it is: heads, the encoder's kind and width, digest of the tokenizer, versions
        heads.safetensors   name of the head -> its weights
        encoder/            the trunk and its tokenizer, as an ordinary model folder; absent where it is the policy's

Shapes: B sequences, L tokens of the longest, H width of the hidden states, M positions.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from arena.agents.models import _weights
from arena.agents.models.critic_heads import HeadOptions, ValueHead
from arena.core.errors import UsageError
from arena.core.seeds import derive

KIND, FORMAT = "arena-critic", 1


class Critic(nn.Module):  # type: ignore[misc]
    """A trunk and heads.

    Attributes:
        trunk: a transformers module without language-model head; None where the policy's is read.
        heads: name -> head. The value of a state is called `value`.
        tokenizer: whose ids it reads.
        context: the most tokens of a sequence.
        answer_limit: the most tokens of the answers that it was trained on, where they had a limit: those that reach
            it are cut off there, without the end of the turn.
    """

    def __init__(self, trunk: Any, heads: Mapping[str, ValueHead], tokenizer: Any, context: int, encoder: Any) -> None:
        """Use `on`, `borrowing` or `load`."""
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleDict(dict(heads))
        self.tokenizer, self.context = tokenizer, context
        self.answer_limit: int | None = None
        self.eval()
        self._encoder = {"model_type": encoder.model_type, "hidden_size": width_of(encoder)}

    @classmethod
    def on(cls, trunk: Any, tokenizer: Any, heads: Mapping[str, HeadOptions], *, seed: int = 0) -> Critic:
        """Fresh heads on a trunk of its own, all of which trains."""
        trunk.requires_grad_(True)
        context = _weights.context_of(trunk, tokenizer, None)
        return cls(trunk, _heads(trunk, heads, seed), tokenizer, context, trunk.config)

    @classmethod
    def borrowing(cls, network: Any, tokenizer: Any, heads: Mapping[str, HeadOptions], *, seed: int = 0) -> Critic:
        """Fresh heads for the hidden states of a policy's network."""
        context = _weights.context_of(network, tokenizer, None)
        return cls(None, _heads(network, heads, seed), tokenizer, context, network.config)

    @classmethod
    def load(
        cls, folder: str | Path, *, device: str | None = None, dtype: str | None = None, network: Any = None
    ) -> Critic:
        """Load a critic's folder.

        Args:
            folder: what `save` wrote.
            device: cuda where there is a GPU, else cpu.
            dtype: of the trunk; bfloat16 on a GPU, float32 on a CPU. Heads are float32.
            network: the policy's, for a critic without a trunk of its own.

        Raises:
            UsageError: it is no critic, of another version, damaged, or does not fit `network`.
        """
        path = Path(folder)
        described, heads = _described(path), _head_weights(path)
        where = _weights.choose_device(device)
        if (path / "encoder").is_dir():
            tokenizer = _weights.load_tokenizer(path / "encoder")
            trunk = load_trunk(path / "encoder", where, _weights.choose_dtype(dtype, where))
        elif network is not None:
            tokenizer, trunk = None, None
        else:
            raise UsageError(
                f"The critic {path} has no encoder of its own: it reads the hidden states of the policy it was trained "
                "with. Use the one in RUN/critic, which holds a copy of them, or give its policy's network."
            )
        config = (trunk if trunk is not None else network).config
        expected = described["encoder"]
        if (config.model_type, width_of(config)) != (expected["model_type"], expected["hidden_size"]):
            raise UsageError(
                f"The critic {path} was trained on a {expected['model_type']} of width {expected['hidden_size']}, and "
                f"this is a {config.model_type} of width {width_of(config)}: use it with the model it was trained with."
            )
        width = width_of(config)
        made = cls(
            trunk,
            {name: ValueHead.of(width, options) for name, options in described["heads"].items()},
            tokenizer,
            described["context"],
            config,
        )
        made.answer_limit = described.get("answer_limit")
        try:
            made.heads.load_state_dict(heads)
        except RuntimeError as error:
            raise UsageError(f"The heads in {path} do not fit its config.json: {error}") from None
        made.to(where)
        return made

    def hidden(self, ids: Tensor, attention: Tensor) -> Tensor:
        """The trunk's last hidden states (B, L, H); where there is padding they mean nothing.

        Args:
            ids: token ids, padded on either side (B, L).
            attention: 1 on tokens and 0 on padding (B, L).
        """
        assert self.trunk is not None, "the hidden states are the policy's"
        return hidden_states(self.trunk, ids, attention)

    def values(self, ids: Tensor, attention: Tensor, head: str = "value") -> Tensor:
        """The value after each token, by a head: (B, L), and (B, L, outputs) where it has several."""
        read: Any = self.heads[head]
        found: Tensor = read.value(read(self.hidden(ids, attention)))
        return found

    def looks_ahead(self) -> bool:
        """Whether what follows a token changes the hidden state at that token, as in BERT: found by trying."""
        assert self.trunk is not None
        device = next(self.trunk.parameters()).device
        ids = torch.arange(8, device=device).repeat(2, 1)
        ids[1, -1] = 9
        with torch.no_grad():
            one, other = self.hidden(ids, torch.ones_like(ids))
        close = torch.finfo(one.dtype).eps * float(one.abs().max())
        return not torch.allclose(one[:-1], other[:-1], rtol=0, atol=close)

    def save(self, folder: str | Path, *, trunk: Any = None, tokenizer: Any = None) -> Path:
        """Write it into a folder.

        Args:
            folder: made if missing.
            trunk: written as the encoder of a critic that has none of its own.
            tokenizer: written with that trunk.
        """
        from safetensors.torch import save_file

        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        tokenizer = self.tokenizer if tokenizer is None else tokenizer
        described = {
            "format": FORMAT,
            "kind": KIND,
            "encoder": self._encoder,
            "tokenizer": tokenizer_digest(tokenizer),
            "context": self.context,
            "answer_limit": self.answer_limit,
            "heads": {name: head.described() for name, head in self.heads.items()},
            "versions": {name: metadata.version(name) for name in ("arena-gym", "torch", "transformers")},
        }
        (path / "config.json").write_text(json.dumps(described, indent=2) + "\n")
        weights = {name: value.detach().contiguous() for name, value in self.heads.state_dict().items()}
        save_file(weights, path / "heads.safetensors")
        encoder = self.trunk if self.trunk is not None else trunk
        if encoder is not None:
            with _weights.quiet():
                encoder.save_pretrained(path / "encoder")
            tokenizer.save_pretrained(path / "encoder")
        return path


def is_critic(folder: Path) -> bool:
    """Whether a folder says that it holds a critic."""
    try:
        return bool(json.loads((folder / "config.json").read_text()).get("kind") == KIND)
    except (OSError, ValueError, AttributeError):
        return False


def tokenizer_digest(tokenizer: Any) -> str:
    """SHA-256 of a tokenizer's vocabulary: with equal digests ids mean the same tokens."""
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: (entry[1], entry[0]))
    return hashlib.sha256(json.dumps(vocabulary).encode()).hexdigest()


def hidden_states(trunk: Any, ids: Tensor, attention: Tensor) -> Tensor:
    """The last hidden states of a trunk (B, L, H), for ids padded on either side; see `Critic.hidden`."""
    given = {"input_ids": ids, "attention_mask": attention}
    known = inspect.signature(trunk.forward).parameters
    if "use_cache" in known:
        given["use_cache"] = False
    # RoBERTa and its kin number positions from the ids, beginning after their padding's own.
    own = hasattr(getattr(trunk, "embeddings", None), "create_position_ids_from_input_ids")
    if "position_ids" in known and not own:
        given["position_ids"] = (attention.cumsum(-1) - 1).clamp(min=0)
    states: Tensor = trunk(**given).last_hidden_state
    return states


def trunk_of(network: Any) -> Any:
    """The part of a causal language model that makes the hidden states."""
    return network.base_model


def width_of(config: Any) -> int:
    """The width H of the hidden states."""
    return int(config.get_text_config().hidden_size)


def load_trunk(folder: Path, device: str, dtype: torch.dtype) -> Any:
    """The trunk of a model folder, without its language-model head, in evaluation mode.

    Raises:
        UsageError: weights that are missing, damaged, or of an architecture transformers cannot load.
    """
    import transformers

    with _weights.quiet():
        try:
            trunk = transformers.AutoModel.from_pretrained(folder, dtype=dtype, local_files_only=True)
        except Exception as error:
            raise UsageError(f"The encoder in {folder} cannot be loaded: {error}") from error
    return trunk.to(device).eval()


def small_trunk(tokenizer: Any, context: int, *, hidden: int, layers: int, heads: int, seed: int) -> Any:
    """A small causal transformer (a Llama without its head), its weights drawn from `seed`.

    Raises:
        UsageError: sizes that do not fit.
    """
    from transformers import LlamaConfig, LlamaModel

    if hidden % (2 * heads) or min(hidden, layers, heads) < 1:
        raise UsageError(f"hidden={hidden} must be a multiple of 2 x heads={heads}, and all sizes at least 1.")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=context,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        trunk = LlamaModel(config)
    generator = torch.Generator().manual_seed(seed % 2**63)
    for parameter in trunk.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0.0, 0.06, generator=generator)
    return trunk.eval()


def _heads(network: Any, heads: Mapping[str, HeadOptions], seed: int) -> dict[str, ValueHead]:
    width, device = width_of(network.config), next(network.parameters()).device
    return {
        name: ValueHead(width, options, seed=derive(seed, "head", name)).to(device) for name, options in heads.items()
    }


def _described(path: Path) -> dict[str, Any]:
    if not is_critic(path):
        raise UsageError(f"{path} is no critic: expected a folder that a training wrote, such as runs/RUN/critic.")
    described: dict[str, Any] = json.loads((path / "config.json").read_text())
    if described.get("format") != FORMAT:
        raise UsageError(
            f"The critic {path} has format {described.get('format')}; this version of Arena reads format {FORMAT}."
        )
    return described


def _head_weights(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path / "heads.safetensors")
    except (OSError, SafetensorError) as error:
        raise UsageError(f"The critic {path} is damaged: heads.safetensors cannot be read ({error}).") from error


__all__ = [
    "Critic",
    "HeadOptions",
    "ValueHead",
    "hidden_states",
    "is_critic",
    "load_trunk",
    "small_trunk",
    "tokenizer_digest",
    "trunk_of",
]
