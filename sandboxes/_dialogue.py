"""Questions to a sandbox's supervisor and its answers: a line of text each way, matched by a token."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

READY = "ready"
"""What the supervisor says of its own accord, once."""


class Dialogue:
    """Told what was `heard`; asks through `send`, which takes whole lines."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.over = False
        self._send = send
        self._tokens = itertools.count(1)
        self._awaited: dict[str, asyncio.Future[str | None]] = {}

    def expect(self, token: str) -> asyncio.Future[str | None]:
        """The future answer that begins with this token; None when there will be none."""
        self._awaited[token] = asyncio.get_running_loop().create_future()
        return self._awaited[token]

    async def ask(self, verb: str, *words: object, patience: float) -> str | None:
        """Send a line and wait for its answer, without the token; None where none came in so many seconds."""
        if self.over:
            return None
        token = str(next(self._tokens))
        answered = self.expect(token)
        self.say(verb, token, *words)
        await asyncio.wait((answered,), timeout=patience)
        self._awaited.pop(token, None)
        return answered.result() if answered.done() else None

    def tell(self, verb: str, *words: object) -> None:
        """Send a line that is answered, and do not wait."""
        self.say(verb, next(self._tokens), *words)

    def say(self, *words: object) -> None:
        """Send a line."""
        self._send((" ".join(map(str, words)) + "\n").encode())

    def heard(self, message: bytes | None) -> None:
        """An answer came; None is for the end of all answers."""
        if message is None:
            return
        token, _, text = message.decode("ascii", "replace").partition(" ")
        answered = self._awaited.pop(token, None)
        if answered and not answered.done():
            answered.set_result(text)

    def end(self) -> None:
        """There will be no further answer."""
        self.over = True
        for answered in self._awaited.values():
            if not answered.done():
                answered.set_result(None)
        self._awaited.clear()
