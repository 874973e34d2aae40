"""Value-guided decoding: a language model whose logits a critic of tokens leans towards what is worth more.

    logits = log pi(.|s) + beta min_i Q_i(s, .)

as ILQL plays (Snell et al. 2023, arXiv 2206.11871; V is the same for all tokens, so it is not subtracted). Policy
and critic run side by side, each with keys and values of its own in one cache, so nothing else of the
sampler knows that there are two. Temperature and the like apply to the sum, and log-probabilities are of it.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any

from torch import Tensor, nn
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast

from arena.agents.models._ragged import plain_attention
from arena.agents.models.critic import Critic, tokenizer_digest
from arena.agents.models.critic_scores import critic_folder, least, q_heads
from arena.core.errors import UsageError


class GuidedNetwork(nn.Module):  # type: ignore[misc]
    """A policy's network and a critic as one network; see the module."""

    def __init__(self, network: Any, critic: Critic, beta: float, name: str) -> None:
        """Use `guided`."""
        super().__init__()
        self.network, self.critic, self.beta = network, critic, beta
        self.q = q_heads(critic, name)
        self.generation_config = network.generation_config
        self._own = _layers(network)
        self.config = _with_layers(network.config, self._own + _layers(critic.trunk), critic.context)

    def forward(
        self,
        input_ids: Tensor,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool = False,
        logits_to_keep: Tensor | int = 0,
    ) -> CausalLMOutputWithPast:
        """As a causal language model's."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "use_cache": use_cache}
        if position_ids is not None:
            given["position_ids"] = position_ids
        own = theirs = None
        if past_key_values is not None:
            own, theirs = Cache(past_key_values.layers[: self._own]), Cache(past_key_values.layers[self._own :])
        logits = self.network(**given, past_key_values=own, logits_to_keep=logits_to_keep).logits.float()
        hidden = self.critic.trunk(**given, past_key_values=theirs).last_hidden_state
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        worth = least(self.critic, self.q, hidden[:, kept])
        return CausalLMOutputWithPast(
            logits=logits.log_softmax(-1) + self.beta * worth, past_key_values=past_key_values
        )


def load_guided(network: Any, tokenizer: Any, name: str, beta: float) -> GuidedNetwork:
    """A network with the critic of a training run, or of a critic's folder, beside it.

    Raises:
        UsageError: the critic does not fit the network.
    """
    device, dtype = str(next(network.parameters()).device), str(network.dtype).removeprefix("torch.")
    return guided(network, tokenizer, Critic.load(critic_folder(name), device=device, dtype=dtype), beta, name)


def guided(network: Any, tokenizer: Any, critic: Critic, beta: float, name: str) -> GuidedNetwork:
    """A network with a critic beside it.

    Raises:
        UsageError: the critic has no Q of tokens, reads other ids, fewer of them, or what comes later; or one
            of the two keeps something else than all keys and values.
    """
    outputs = {critic.heads[head].options.outputs for head in q_heads(critic, name)}
    width = int(network.get_output_embeddings().weight.shape[0])
    if outputs == {1}:
        raise UsageError(
            f"The critic {name} judges whole answers, so it cannot choose among tokens: let it choose among "
            "candidates (-a best_of_n:n=8), or take one of ilql or mc."
        )
    if outputs != {width} or tokenizer_digest(critic.tokenizer) != tokenizer_digest(tokenizer):
        raise UsageError(
            f"The critic {name} was trained for another tokenizer than this model's: its Q would be of other words. "
            "Use it with the model it was trained beside (RUN/model), or let it choose among candidates, whose text "
            "it reads with its own: -a best_of_n:n=8."
        )
    both = (network, critic.trunk)
    takes = inspect.signature(critic.trunk.forward).parameters
    if not all(map(plain_attention, both)) or "past_key_values" not in takes or critic.looks_ahead():
        raise UsageError(
            "Value-guided decoding runs model and critic side by side, which needs plain causal attention in both; "
            f"{' or '.join(type(each).__name__ for each in both)} has another. best_of_n works with any critic."
        )
    return GuidedNetwork(network, critic, beta, name)


def _layers(network: Any) -> int:
    return int(network.config.get_text_config(decoder=True).num_hidden_layers)


def _with_layers(config: Any, number: int, context: int) -> Any:
    """A configuration that asks for a cache of so many layers, for at most `context` ids."""
    wider = copy.deepcopy(config)
    text = wider.get_text_config(decoder=True)
    text.num_hidden_layers = number
    text.max_position_embeddings = min(getattr(text, "max_position_embeddings", None) or context, context)
    if getattr(text, "layer_types", None):
        text.layer_types = ["full_attention"] * number
    return wider


__all__ = ["GuidedNetwork", "guided", "load_guided"]
