"""A server that answers like vLLM's, from a real local model, as large as tests need.

    python tests/servers/vllm_like.py FOLDER [--port 8000] [--name NAME] [--deterministic]
                                             [--logprobs-mode raw_logprobs | processed_logprobs]

    GET  /health, /v1/models
    POST /v1/chat/completions   messages, tools (parallel calls), logprobs, return_token_ids
    POST /v1/completions        a prompt of ids or text, or a list of such; logprobs, return_token_ids

It prints the address it listens on; with `--port 0` that is a free one. Unknown fields are ignored as
vLLM does, and streaming is refused. A random model does not call tools of its own accord: the header
`X-Force-Text` (percent-encoded) or the field `force_text` is decoded in the place of sampled tokens,
with its true log-probabilities, so that everything after the sampling is as real as ever.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import time
import urllib.parse
import uuid
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from arena.agents.models.local import LocalModel, Options, Prompt
from arena.core.errors import ArenaError, ContextOverflow, UsageError
from arena.core.messages import (
    Completion,
    Message,
    Part,
    ReasoningPart,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)

Json = dict[str, Any]


class Refused(Exception):
    """A request that is answered with an error, in vLLM's form."""

    def __init__(self, status: int, message: str, kind: str = "BadRequestError") -> None:
        super().__init__(message)
        self.status, self.kind = status, kind

    def response(self) -> Response:
        error = {"message": str(self), "type": self.kind, "param": None, "code": self.status}
        return JSONResponse({"error": error}, self.status)


class Server:
    """The routes, over one model."""

    def __init__(self, model: LocalModel, name: str, folder: str, *, raw: bool) -> None:
        self.model, self.name, self.folder, self.raw = model, name, folder, raw
        self.engine = model.load()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/health", self.health),
                Route("/v1/models", self.models),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/completions", self.completions, methods=["POST"]),
            ]
        )

    def serves(self, name: str) -> bool:
        """Whether it knows a model of this name."""
        return name == self.name

    async def health(self, request: Request) -> Response:
        return Response()

    async def models(self, request: Request) -> Response:
        card = {"id": self.name, "object": "model", "owned_by": "arena", "max_model_len": self.engine.context}
        return JSONResponse({"object": "list", "data": [card]})

    async def chat(self, request: Request) -> Response:
        try:
            body = await self._body(request)
            tools = [Tool(**{k: v for k, v in t["function"].items() if v is not None}) for t in body.get("tools") or []]
            shown = () if body.get("tool_choice") == "none" else tuple(tools)
            messages = [read_message(message) for message in body["messages"]]
            prompt = self.engine.encoder.encode(messages, shown, None)
            found = await self._sample(prompt, body, self._forced(request, body), tools=bool(shown))
        except Refused as error:
            return error.response()
        ids = bool(body.get("return_token_ids"))
        choice: Json = {
            "index": 0,
            "message": write_answer(found),
            "logprobs": {"content": self._chat_logprobs(found)} if body.get("logprobs") else None,
            "finish_reason": found.finish,
            "stop_reason": None,
            "token_ids": list(found.token_ids or ()) if ids else None,
        }
        reply = self._reply("chat.completion", [choice], [found])
        return JSONResponse(reply | {"prompt_token_ids": list(prompt.ids) if ids else None})

    async def completions(self, request: Request) -> Response:
        try:
            body = await self._body(request)
            forced = self._forced(request, body)
            prompts = [self._prompt(prompt) for prompt in _prompts(body.get("prompt"))]
            found = await asyncio.gather(*(self._sample(prompt, body, forced) for prompt in prompts))
        except Refused as error:
            return error.response()
        choices = [self._text_choice(index, completion, body) for index, completion in enumerate(found)]
        return JSONResponse(self._reply("text_completion", choices, found))

    async def _body(self, request: Request) -> Json:
        try:
            body = await request.json()
        except ValueError as error:
            raise Refused(400, f"not JSON: {error}") from error
        if not isinstance(body, dict):
            raise Refused(400, "the body must be an object")
        if body.get("model") is not None and not self.serves(body["model"]):
            raise Refused(404, f"The model `{body['model']}` does not exist.", "NotFoundError")
        if body.get("stream") or (body.get("n") or 1) != 1:
            raise Refused(400, "this server neither streams nor gives several choices")
        return body

    async def _sample(self, prompt: Prompt, body: Json, forced: list[int], *, tools: bool = False) -> Completion:
        return await self._asked(self.model, prompt, body, forced, tools=tools)

    async def _asked(
        self, model: LocalModel, prompt: Prompt, body: Json, forced: list[int], *, tools: bool
    ) -> Completion:
        stop = body.get("stop") or ()
        try:
            sampling = Sampling(
                temperature=body.get("temperature"),
                top_p=body.get("top_p"),
                top_k=max(0, body["top_k"]) if body.get("top_k") is not None else None,
                max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
                stop=(stop,) if isinstance(stop, str) else tuple(stop),
                seed=body.get("seed"),
            )
            return await model.sample(prompt, sampling, tools=tools, forced=forced, raw=self.raw)
        except ContextOverflow as error:
            limit = f"This model's maximum context length is {self.engine.context} tokens."
            asked = f"However, your request has {len(prompt.ids)} input tokens."
            raise Refused(400, f"{limit} {asked} Please reduce the length of the input messages.") from error
        except (UsageError, ValueError) as error:
            raise Refused(400, str(error)) from error
        except ArenaError as error:
            raise Refused(500, str(error), "InternalServerError") from error

    def _prompt(self, prompt: str | list[int]) -> Prompt:
        ids = self.engine.tokenizer.encode(prompt, add_special_tokens=False) if isinstance(prompt, str) else prompt
        if any(id >= self.engine.network.config.vocab_size or id < 0 for id in ids):
            raise Refused(400, "a token id is out of the vocabulary")
        return Prompt(tuple(ids), 0, False)

    def _forced(self, request: Request, body: Json) -> list[int]:
        """The ids of a forced answer, its end of turn included."""
        text = urllib.parse.unquote(request.headers.get("x-force-text", "")) or body.get("force_text", "")
        if not text:
            return []
        return [*self.engine.tokenizer.encode(text, add_special_tokens=False), min(self.engine.stop_ids)]

    def _chat_logprobs(self, found: Completion) -> list[Json]:
        tokens = zip(found.token_ids or (), found.logprobs or (), strict=True)
        return [self._token(id) | {"logprob": logprob, "top_logprobs": []} for id, logprob in tokens]

    def _token(self, id: int) -> Json:
        text = self.engine.tokenizer.decode([id])
        return {"token": text, "bytes": list(text.encode())}

    def _text_choice(self, index: int, found: Completion, body: Json) -> Json:
        ids = list(found.token_ids or ())
        logprobs = None
        if body.get("logprobs") is not None:
            tokens = [self.engine.tokenizer.decode([id]) for id in ids]
            logprobs = {"tokens": tokens, "token_logprobs": list(found.logprobs or ()), "top_logprobs": None}
        wanted = bool(body.get("return_token_ids"))
        text = self.engine.encoder.decode(ids[:-1] if ids[-1] in self.engine.stop_ids else ids)
        stop = [body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop") or []
        text = text[: min((text.find(string) for string in stop if string in text), default=None)]
        return {
            "index": index,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": found.finish,
            "stop_reason": None,
            "token_ids": ids if wanted else None,
            "prompt_token_ids": list(found.prompt_ids or ()) if wanted else None,
        }

    def _reply(self, kind: str, choices: list[Json], found: list[Completion]) -> Json:
        fresh, cached, output = (sum(getattr(c.usage, name) for c in found) for name in ("input", "cached", "output"))
        usage = {
            "prompt_tokens": fresh + cached,
            "completion_tokens": output,
            "total_tokens": fresh + cached + output,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        made = {"id": f"{kind}-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": self.name}
        return made | {"choices": choices, "usage": usage}


def _prompts(prompt: Any) -> list[str | list[int]]:
    """One prompt or several, each text or ids."""
    if isinstance(prompt, str) or (isinstance(prompt, list) and prompt and isinstance(prompt[0], int)):
        return [prompt]
    if isinstance(prompt, list) and prompt and all(isinstance(item, str | list) and item for item in prompt):
        return prompt
    raise Refused(400, "prompt must be text, ids, or a list of them")


def read_message(plain: Json) -> Message:
    """A message of the request."""
    content = plain.get("content")
    text = content if isinstance(content, str) else "".join(item.get("text", "") for item in content or [])
    if plain["role"] == "tool":
        return Message(role="tool", parts=(ToolResultPart(id=plain.get("tool_call_id", ""), text=text),))
    parts: list[Part] = [TextPart(text=text)] if text else []
    if plain.get("reasoning_content"):
        parts.insert(0, ReasoningPart(text=plain["reasoning_content"]))
    for call in plain.get("tool_calls") or []:
        function = call["function"]
        parts.append(ToolCallPart(id=call["id"], name=function["name"], arguments=function["arguments"]))
    return Message(role=plain["role"], parts=tuple(parts))


def write_answer(found: Completion) -> Json:
    """The answer as a message."""
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in found.tool_calls
    ]
    thoughts = [part.text for part in found.parts if isinstance(part, ReasoningPart)]
    message: Json = {"role": "assistant", "content": found.text or None if calls else found.text, "tool_calls": calls}
    return message | ({"reasoning_content": "".join(thoughts)} if thoughts else {})


def arguments(text: str | None) -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--name", default="tiny")
    parser.add_argument("--deterministic", action="store_true")
    parser.add_argument("--logprobs-mode", choices=["raw_logprobs", "processed_logprobs"], default="raw_logprobs")
    return parser


def serve(kind: type[Server], given: argparse.Namespace, **more: Any) -> None:
    """Print the address and serve until the process ends."""
    model = LocalModel(given.folder, Options(threads=1, deterministic=given.deterministic))
    server = kind(model, given.name, given.folder, raw=given.logprobs_mode == "raw_logprobs", **more)
    listening = socket.create_server(("127.0.0.1", given.port))
    print(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}/v1"}), flush=True)  # noqa: T201
    uvicorn.Server(uvicorn.Config(server.app(), log_level="warning")).run(sockets=[listening])


def main() -> None:
    serve(Server, arguments(__doc__).parse_args())


if __name__ == "__main__":
    main()
