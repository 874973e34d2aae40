"""A vision-language model of random weights, built on the spot: LLaVA, of a CLIP and a Llama."""

from __future__ import annotations

from pathlib import Path

SIDE, PATCH = 32, 16

TEMPLATE = """\
{%- for message in messages %}<|im_start|>{{ message['role'] }}
{% for part in message['content'] %}\
{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}\
{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def build_tiny_vision_model(folder: Path, *, context: int = 4096, seed: int = 0) -> Path:
    """Write a LLaVA of about 0.2 M parameters, its tokenizer and its processor into a folder."""
    import torch
    from transformers import (
        AutoTokenizer,
        CLIPVisionConfig,
        GenerationConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    from arena.agents.models._weights import quiet
    from arena.agents.models.tiny import build_tiny_model

    tokenizer = AutoTokenizer.from_pretrained(build_tiny_model(folder.parent / f"{folder.name}-text", context=context))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    image = tokenizer.convert_tokens_to_ids("<image>")
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"vocab_size": len(tokenizer), "num_key_value_heads": 2, "max_position_embeddings": context}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**small, image_size=SIDE, patch_size=PATCH, projection_dim=32),
        text_config=LlamaConfig(**small, **text),
        image_token_index=image,
        vision_feature_layer=-1,
        image_seq_length=(SIDE // PATCH) ** 2,
    )
    with torch.random.fork_rng(devices=[]):
        network = LlavaForConditionalGeneration(config)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        # This vector too is drawn from the global generator; the others are gains and offsets, ones and zeros.
        if parameter.dim() > 1 or name.endswith("class_embedding"):
            parameter.data.normal_(0.0, 0.2, generator=generator)
    # Penalties that a model's authors chose for chatting must not act on what is asked for here.
    network.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, repetition_penalty=3.0
    )
    size = {"height": SIDE, "width": SIDE}
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=size),
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    with quiet():
        network.save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder
