"""The task that Arena and TRL play against each other: episodes of eight turns with a model of 3 M parameters.

It is a Llama whose four heads share one for keys and values, the proportion of Llama 3: its cache is then as large,
compared with its weights, as that of models which people train.

Both sides ask the same model the same conversations, at temperature 1 without restrictions, and the model
never ends an answer by itself: each answer has `ANSWER` tokens, so both sides sample equally many.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

ENV, PARAMS = "arena/KeyDoor-v0", {"length": 4}
TASKS, GROUP = 2, 8
EPISODES = TASKS * GROUP
TURNS, ANSWER = 8, 16
SAMPLED = EPISODES * TURNS * ANSWER
"""Tokens of a round."""

TEMPLATE = """{%- for message in messages %}
{{- '<|im_start|>' + ('user' if message.role == 'tool' else message.role) + '\\n' + message.content }}
{%- for call in message.tool_calls or [] %}{{- call.function | tojson }}{%- endfor %}{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""
"""What a tool answers is shown like any other observation, and tools are not listed."""

_LEVEL, _FAR = 4.0, 10.0


def build(folder: Path) -> Path:
    """The model, 2.9 M random parameters, and beside it the system message that both sides begin with."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from arena.agents.models.tiny import MARKERS, build_tiny_model
    from arena.core.registry import make_raw

    build_tiny_model(folder, hidden=256, layers=4, heads=4, key_heads=1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder)
    never(network, [*tokenizer.all_special_ids, *tokenizer.convert_tokens_to_ids(list(MARKERS))])
    network.save_pretrained(folder)
    (folder / "system.j2").write_text(make_raw(ENV, **PARAMS).instructions)
    return folder


def never(network: Any, ids: list[int]) -> None:
    """Let a Llama with tied embeddings never sample these ids.

    One coordinate of the residual stream is the same number for all other tokens and left alone by every
    layer, so that in the logits it is a constant, which for these ids is far below.
    """
    import torch

    with torch.no_grad():
        network.model.embed_tokens.weight[:, 0] = _LEVEL
        network.model.embed_tokens.weight[ids, 0] = -_FAR
        for layer in network.model.layers:
            layer.self_attn.o_proj.weight[0] = 0.0
            layer.mlp.down_proj.weight[0] = 0.0
