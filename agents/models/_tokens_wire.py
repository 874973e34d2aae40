"""Requests of ids and answers of ids, as vLLM writes them on its two routes.

    completions   POST /v1/completions           {"prompt": [ids], "return_token_ids": true, …}
    generate      POST /inference/v1/generate    {"token_ids": [ids], "sampling_params": {…}}

(`vllm/entrypoints/openai/completion/protocol.py` and `vllm/entrypoints/serve/disagg/protocol.py`.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from arena.agents.models._draw import Settings
from arena.agents.models._http import Json
from arena.agents.models._sampler import Sampled
from arena.core.errors import UsageError

ROUTES = {"completions": "/v1/completions", "generate": "/inference/v1/generate"}

_FINISH: dict[str, Literal["stop", "length"]] = {"length": "length", "stop": "stop"}


def write_request(
    route: str,
    model: str,
    ids: Sequence[int],
    settings: Settings,
    *,
    limit: int,
    stop: Sequence[str],
    stop_ids: Sequence[int],
) -> Json:
    """A request for one answer with the log-probabilities of its tokens."""
    sampling: Json = {
        "max_tokens": limit,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k or -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "stop_token_ids": list(stop_ids),
        "seed": settings.seed % 2**63,
        "logprobs": 1,
    }
    if stop:
        sampling["stop"] = list(stop)
    if route == "generate":
        return {"model": model, "token_ids": list(ids), "sampling_params": sampling}
    return {"model": model, "prompt": list(ids), **sampling, "return_token_ids": True}


def read_tokens(reply: Json, prompt: Sequence[int], spec: str) -> tuple[Sampled, str | None]:
    """The sampled ids, and the version of the weights where the server names it (`weight_version`).

    Args:
        reply: the server's JSON.
        prompt: the ids that were sent.
        spec: the model, for messages.

    Raises:
        ValueError: there is nothing to read; says why.
        UsageError: it gives no ids or log-probabilities, or sampled after other ids than it was sent.
    """
    choices = reply.get("choices")
    if not choices:
        raise ValueError(f"an error in its place: {reply['error']}" if reply.get("error") else "it has no choices")
    choice = choices[0]
    if str(choice.get("finish_reason")) not in _FINISH:
        raise ValueError(f"it was broken off (finish_reason {choice.get('finish_reason')!r})")
    ids = choice.get("token_ids")
    if ids is None:
        raise UsageError(
            f"{spec} gave no token ids. vLLM gives them on /v1/completions since 0.10.2 (return_token_ids), and on "
            "/inference/v1/generate always (option route=generate); other servers may not."
        )
    if not ids:
        raise ValueError("it has no tokens")
    seen = choice.get("prompt_token_ids") or reply.get("prompt_token_ids")
    if seen is not None and list(seen) != list(prompt):
        raise UsageError(
            f"{spec} sampled after other ids than it was sent ({len(seen)} instead of {len(prompt)}): it adds or cuts "
            "tokens. Switch that off at the server."
        )
    logprobs = _logprobs(choice, spec)
    if len(logprobs) != len(ids):
        raise ValueError(f"it has {len(ids)} token ids and {len(logprobs)} log-probabilities")
    cached = ((reply.get("usage") or {}).get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    sampled = Sampled(tuple(ids), logprobs, _FINISH[choice["finish_reason"]], min(cached, len(prompt)), "")
    return sampled, reply.get("weight_version")


def _logprobs(choice: Json, spec: str) -> tuple[float, ...]:
    """A log-probability for each token, in the form of either route."""
    given = choice.get("logprobs")
    if given is None:
        raise UsageError(f"{spec} was asked for log-probabilities and gave none, so nothing can be trained on.")
    if "content" in given:
        values = [token["logprob"] for token in given["content"]]
    else:
        values = given["token_logprobs"]
    found = tuple(float(value) for value in values)
    if any(math.isnan(value) or value > 0 for value in found):
        raise ValueError("its log-probabilities are not numbers of at most 0")
    return found
