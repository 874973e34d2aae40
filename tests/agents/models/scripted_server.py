"""A real HTTP server on loopback that answers as it is told, well or badly, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One answer. `cut_after`: close the connection after so many bytes of the body; `pause`: seconds before
    the second half of the body is sent."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    pause: float = 0.0

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Request:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: Any
    at: float


class ScriptedServer:
    """Gives its answers in order, then the last one for ever."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.connections = 0
        self.at_once = 0
        self.most_at_once = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def bodies(self) -> list[Any]:
        return [request.body for request in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append(Request(head[0].split()[1], headers, json.loads(body), time.monotonic()))
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._answer(answer, writer)
        finally:
            self.at_once -= 1

    async def _answer(self, answer: Answer, writer: asyncio.StreamWriter) -> bool:
        data = answer.data
        lines = [f"HTTP/1.1 {answer.status} Said So", f"content-length: {len(data)}"]
        lines += [f"{key}: {value}" for key, value in answer.headers.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        if answer.cut_after is not None:
            writer.write(data[: answer.cut_after])
            await writer.drain()
            return False
        writer.write(data[: len(data) // 2])
        await writer.drain()
        if answer.pause:
            await asyncio.sleep(answer.pause)
        writer.write(data[len(data) // 2 :])
        await writer.drain()
        return True


@contextmanager
def serving(*answers: Answer) -> Iterator[ScriptedServer]:
    """The server in a thread of its own, so that clients may come and go with their event loops."""
    server = ScriptedServer(answers)
    ready, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        served: list[tuple[asyncio.StreamWriter, asyncio.Task[None]]] = []

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append((writer, asyncio.ensure_future(server.serve(reader, writer))))

        listening = await asyncio.start_server(connected, "127.0.0.1", 0, limit=2**20)
        server.port = listening.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        listening.close()
        for writer, task in served:  # one that was cancelled before it began would leave its connection open
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*(task for _, task in served), return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    ready.wait(10)
    try:
        yield server
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(10)


def chat(
    text: str | None = "fine", *, finish: str = "stop", usage: Any = None, top: Any = None, **message: Any
) -> Answer:
    """An answer as chat completions give it; `message` holds further fields of the message, `top` of the whole."""
    said = {"role": "assistant", "content": text, **message}
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15} if usage is None else usage
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return Answer(
        {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage, **(top or {})}
    )


def claude(*blocks: Any, stop: str = "end_turn", usage: Any = None) -> Answer:
    """An answer as Anthropic's messages API gives it."""
    content = list(blocks) or [{"type": "text", "text": "fine"}]
    usage = usage or {"input_tokens": 10, "output_tokens": 4}
    return Answer(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": content,
            "stop_reason": stop,
            "usage": usage,
        }
    )
