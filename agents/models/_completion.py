"""How long an answer may be, and sampled ids as a completion, whether the weights are here or behind a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from arena.agents.models._answer import CLOSE, read_answer
from arena.agents.models._sampler import Sampled
from arena.agents.models._template import ChatEncoder, Prompt
from arena.core.errors import ContextOverflow, UsageError
from arena.core.messages import Completion, ReasoningPart, Sampling, ToolCallPart, Usage


def answer_limit(prompt: Prompt, context: int, sampling: Sampling, defaults: Any) -> int:
    """The most tokens an answer may have.

    Args:
        prompt: what comes before it.
        context: the most ids of a sequence, the answer included.
        sampling: what was asked for.
        defaults: the model's `generation_config`.

    Raises:
        ContextOverflow: the prompt leaves no room for an answer.
        UsageError: the prompt is empty.
    """
    if not prompt.ids:
        raise UsageError("The prompt has no tokens. Say something first.")
    room = context - len(prompt.ids)
    if room < 1:
        raise ContextOverflow(
            f"The conversation has {len(prompt.ids)} tokens; this model takes {context} with the answer."
        )
    return int(min(room, sampling.max_tokens or defaults.max_new_tokens or room))


def completion_of(
    encoder: ChatEncoder,
    prompt: Prompt,
    sampled: Sampled,
    *,
    stop: Sequence[str],
    stop_ids: frozenset[int],
    tools: bool,
    kind: Literal["raw", "sampled"],
) -> Completion:
    """What was sampled, with its text cut before a stop string and split into parts; the ids stay whole.

    Args:
        encoder: decodes the ids.
        prompt: what they were sampled after.
        sampled: at least one id.
        stop: strings that end an answer.
        stop_ids: ids that end one.
        tools: whether tool calls are looked for.
        kind: what the log-probabilities are of.
    """
    ids = sampled.tokens
    text = encoder.decode(ids[:-1] if ids[-1] in stop_ids else ids)
    text = text[: min((text.find(string) for string in stop if string in text), default=None)]
    parts = read_answer(text, thinking=prompt.thinking, tools=tools, prefix=f"call_{len(prompt.ids)}")
    called = sampled.finish == "stop" and any(isinstance(part, ToolCallPart) for part in parts)
    return Completion(
        parts=parts,
        finish="tool_calls" if called else sampled.finish,
        usage=Usage(
            input=len(prompt.ids) - sampled.cached,
            cached=sampled.cached,
            output=len(ids),
            reasoning=_reasoning_tokens(encoder, ids) if isinstance(parts[0], ReasoningPart) else 0,
        ),
        prompt_ids=prompt.ids,
        token_ids=ids,
        logprobs=sampled.logprobs,
        logprob_kind=kind,
        policy_version=sampled.policy_version or None,
    )


def _reasoning_tokens(encoder: ChatEncoder, ids: Sequence[int]) -> int:
    """How many ids it takes until the reasoning is closed; all of them where it is not."""
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if CLOSE in encoder.decode(ids[:middle]) else (middle + 1, high)
    return low
