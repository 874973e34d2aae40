"""A tiny language model built on the spot: a real folder that any transformers program opens.

    build_tiny_model("my-model")                                 # about 0.1 M parameters, in a second
    build_tiny_model("my-model", hidden=256, layers=4)           # 3.2 M parameters
    build_tiny_model("my-model", text=seen, pieces="phrases")    # a token per phrase of the game's own text

The weights are random, so it knows nothing until it is trained; it exists for tests, for the first
run without a network, and as the student of small training runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from arena.agents.models._tiny_templates import TEMPLATES
from arena.core.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ChatTemplate = Literal["chatml", "llama3", "gemma", "mistral", "strip_reasoning"]
Pieces = Literal["words", "phrases"]

MARKERS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
"""Ordinary tokens (they stay in decoded text) that reasoning and tool calls are written with."""

_BETWEEN_PHRASES = r"\p{N}|[^\p{L}\p{N}' ]+ ?"
"""A digit, or punctuation with the space after it."""

_TEXT = """You are playing a text game. Read what you see and answer with one action.
You are in a small room. There is a door to the north, a window to the east and a key on the table.
The door is locked. You take the key. You open the door with the key and go north.
Your inventory: a lamp, a rope, a coin and an apple. You put the coin in the box. The box is closed.
Action: go west. Action: look around. Action: take the lamp. Action: open the chest. Action: wait.
The maze: you are at position 3, 4. The goal is at position 6, 1. There are walls above you, to your left.
move up, move down, move left, move right. You hit a wall. You reached the goal. You have 12 moves left.
Guess a word of five letters. crane, slate, audio, stone, light, plant, mouse, table. g y b g y b b g y.
Is it an animal? Yes. Is it bigger than a dog? No. Can you eat it? I do not know. Is it made of metal?
Guess a number between 1 and 100. 50 is too high. 25 is too low. 37 is right. You have 0 1 2 3 4 5 6 7 8 9 tries.
Invalid action. The valid actions are listed below. Please choose one of them. Thought: I should try the door.
{"name": "move", "arguments": {"direction": "north"}} [{"tool": "look", "arguments": {}}] true false null
Congratulations, you won! The game is over. Your score is 10 out of 10. Turn 7 of 20. What do you do next?
"""


def build_tiny_model(
    folder: str | Path,
    *,
    template: ChatTemplate = "chatml",
    hidden: int = 64,
    layers: int = 2,
    heads: int = 4,
    key_heads: int | None = None,
    vocabulary: int = 400,
    context: int = 4096,
    initializer_range: float = 0.06,
    text: Iterable[str] = (),
    pieces: Pieces = "words",
    seed: int = 0,
) -> Path:
    """Write a Llama with random weights, a byte-level tokenizer and a chat template into a folder.

    Args:
        folder: where to write; made if missing.
        template: the chat template's family. `strip_reasoning` drops past reasoning, as Qwen 3 does;
            `mistral` spends the fewest tokens, two a message.
        hidden: width; the feed-forward part is 8/3 of it. 64 x 2 layers have 0.1 M parameters, 256 x 4 have 3.2 M.
        layers: number of transformer blocks.
        heads: attention heads; must divide `hidden` into even parts.
        key_heads: heads of keys and values, each shared by heads / key_heads queries; as many as `heads` unless told.
        vocabulary: most tokens the tokenizer may have, the 256 bytes and special tokens included.
        context: longest sequence, in tokens.
        initializer_range: standard deviation of the random weights.
        text: further text to train the tokenizer on, such as observations of the game to be played.
        pieces: the longest that a token may be: a word, or a phrase between two punctuation marks or digits
            ("move left" is one token then). Fewer tokens a turn; where what is said is made of set phrases,
            as in most text games, a small model learns from phrases much faster.
        seed: of the weights. Global generators are neither used nor changed.

    Returns:
        The folder.

    Raises:
        UsageError: a template or pieces that do not exist, or sizes that do not fit.
    """
    from transformers import LlamaConfig

    from arena.agents.models._weights import quiet

    if template not in TEMPLATES:
        raise UsageError(f"There is no chat template {template!r} for a tiny model: {', '.join(TEMPLATES)}.")
    if pieces not in ("words", "phrases"):
        raise UsageError(f"The tokens of a tiny model are words or phrases, not {pieces!r}.")
    if hidden % (2 * heads) or min(hidden, heads, layers, context) < 1:
        raise UsageError(f"hidden={hidden} must be a multiple of 2 x heads={heads}, and all sizes at least 1.")
    if heads % (key_heads := key_heads or heads):
        raise UsageError(f"heads={heads} must be a multiple of key_heads={key_heads}.")
    tokenizer = _tokenizer(template, pieces, vocabulary, [_TEXT, *text])
    tokenizer.model_max_length = context
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=8 * math.ceil(hidden / 3),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        max_position_embeddings=context,
        initializer_range=initializer_range,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    network = _network(config, seed)
    with quiet():
        network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def _network(config: Any, seed: int) -> Any:
    """A Llama whose weight matrices are drawn from N(0, initializer_range²); norms stay at one."""
    import torch
    from transformers import GenerationConfig, LlamaForCausalLM

    with torch.random.fork_rng(devices=[]):
        network = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0.0, config.initializer_range, generator=generator)
    network.generation_config = GenerationConfig(eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id)
    return network


def _tokenizer(template: str, pieces: str, vocabulary: int, text: list[str]) -> PreTrainedTokenizerFast:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    chat_template, first, end, others = TEMPLATES[template]
    special = [first, end, *others]
    core = Tokenizer(models.BPE())
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if pieces == "phrases":
        cut = pre_tokenizers.Split(Regex(_BETWEEN_PHRASES), behavior="isolated")
        words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        core.pre_tokenizer = pre_tokenizers.Sequence([cut, words])
    else:
        core.pre_tokenizer = words
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(MARKERS),
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(text, trainer)
    core.add_tokens([AddedToken(marker, special=False, normalized=False) for marker in MARKERS])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=first,
        eos_token=end,
        pad_token=first,
        extra_special_tokens=list(others),
        chat_template=chat_template,
        clean_up_tokenization_spaces=False,
    )
