"""A server that is given weights while it samples, as vLLM is: token-in routes and their development routes.

    python tests/servers/vllm_training.py FOLDER [options of vllm_like] [--says-version] [--slow SECONDS]

In addition to vllm_like's routes:

    POST /inference/v1/generate                             token_ids and sampling_params
    POST /pause?mode=wait, /resume                          answers in progress finish, new ones wait
    POST /collective_rpc                                    reload_weights from kwargs.weights_path
    POST /reset_prefix_cache, /update_weight_version
    GET  /weight_info                                       the version it was told, and the calls it took
    POST /v1/load_lora_adapter, /v1/unload_lora_adapter     answered in words

With `--says-version` every answer names the version (`weight_version`), as SGLang does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from vllm_like import Json, Refused, Server, arguments, serve

from arena.agents.models import _weights
from arena.agents.models.local import LocalModel
from arena.core.messages import Completion


class TrainingServer(Server):
    """The routes, over weights that change."""

    def __init__(self, *given: Any, says_version: bool = False, slow: float = 0.0, **options: Any) -> None:
        super().__init__(*given, **options)
        self.says_version, self.slow = says_version, slow
        self.version = "as-started"
        self.calls: list[str] = []
        self.adapters: dict[str, LocalModel] = {}
        self._busy = 0
        self._idle, self._open = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._open.set()

    def app(self) -> Starlette:
        app = super().app()
        for path, handler in {
            "/inference/v1/generate": self.generate,
            "/pause": self.pause,
            "/resume": self.resume,
            "/collective_rpc": self.collective_rpc,
            "/reset_prefix_cache": self.reset_prefix_cache,
            "/update_weight_version": self.update_weight_version,
            "/v1/load_lora_adapter": self.load_lora_adapter,
            "/v1/unload_lora_adapter": self.unload_lora_adapter,
        }.items():
            app.router.routes.append(Route(path, handler, methods=["POST"]))
        app.router.routes.append(Route("/weight_info", self.weight_info))
        return app

    def serves(self, name: str) -> bool:
        return name == self.name or name in self.adapters

    @contextlib.asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        """An answer in progress: none begins while paused, and a pause waits for it."""
        await self._open.wait()
        self._busy += 1
        self._idle.clear()
        try:
            await asyncio.sleep(self.slow)
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    async def _sample(self, prompt: Any, body: Json, forced: list[int], *, tools: bool = False) -> Completion:
        async with self._working():
            adapter = self.adapters.get(str(body.get("model")))
            if adapter is None:
                return await super()._sample(prompt, body, forced, tools=tools)
            return await self._asked(adapter, prompt, body, forced, tools=tools)

    def _reply(self, kind: str, choices: list[Json], found: list[Completion]) -> Json:
        reply = super()._reply(kind, choices, found)
        return reply | {"weight_version": self.version} if self.says_version else reply

    async def generate(self, request: Request) -> Response:
        try:
            body = await self._body(request)
            asked = body | body["sampling_params"]
            found = await self._sample(self._prompt(body["token_ids"]), asked, self._forced(request, body))
        except Refused as error:
            return error.response()
        logprobs = {"content": self._chat_logprobs(found)} if asked.get("logprobs") is not None else None
        choice = {"index": 0, "logprobs": logprobs, "finish_reason": found.finish, "token_ids": found.token_ids}
        said = {"weight_version": self.version} if self.says_version else {}
        return JSONResponse({"request_id": "1", "choices": [choice], "prompt_logprobs": None} | said)

    async def pause(self, request: Request) -> Response:
        self.calls.append(f"pause {request.query_params['mode']}")
        self._open.clear()
        await self._idle.wait()
        return JSONResponse({"status": "paused"})

    async def resume(self, request: Request) -> Response:
        self.calls.append("resume")
        self._open.set()
        return JSONResponse({"status": "resumed"})

    async def collective_rpc(self, request: Request) -> Response:
        body = await request.json()
        self.calls.append(body["method"])
        folder = Path(body["kwargs"]["weights_path"])
        if not folder.is_dir():
            return Refused(500, f"{folder} does not exist", "InternalServerError").response()
        await asyncio.to_thread(self._reload, folder)
        return JSONResponse({"results": [None]})

    def _reload(self, folder: Path) -> None:
        with self.model.updating("reloaded") as network:
            network.load_state_dict(load_file(folder / "model.safetensors"), strict=False)

    async def reset_prefix_cache(self, request: Request) -> Response:
        self.calls.append("reset_prefix_cache")
        return Response()

    async def update_weight_version(self, request: Request) -> Response:
        self.version = (await request.json())["new_version"]
        return JSONResponse({"success": True, "new_version": self.version})

    async def weight_info(self, request: Request) -> Response:
        return JSONResponse({"weight_version": self.version, "calls": self.calls, "adapters": list(self.adapters)})

    async def load_lora_adapter(self, request: Request) -> Response:
        body = await request.json()
        folder = _weights.find_folder(self.folder)
        network = _weights.load_network(folder, "cpu", _weights.choose_dtype(None, "cpu"))
        network.load_adapter(body["lora_path"])
        self.adapters[body["lora_name"]] = LocalModel.of(
            network.eval(), _weights.load_tokenizer(folder), self.model._options, identity=body["lora_name"]
        )
        return PlainTextResponse(f"Success: LoRA adapter '{body['lora_name']}' added successfully.")

    async def unload_lora_adapter(self, request: Request) -> Response:
        name = (await request.json())["lora_name"]
        if name not in self.adapters:
            return Refused(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError").response()
        del self.adapters[name]
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--says-version", action="store_true")
    parser.add_argument("--slow", type=float, default=0.0, help="seconds before each answer")
    given = parser.parse_args()
    serve(TrainingServer, given, says_version=given.says_version, slow=given.slow)


if __name__ == "__main__":
    main()
