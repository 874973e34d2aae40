"""The worker process: `python -m arena.rollout._worker FD` serves environments over the pipe FD."""

from __future__ import annotations

import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any

from arena.core.errors import ArenaError, EnvironmentFailure, UsageError
from arena.core.registry import instantiate
from arena.rollout.hosts import InlineHost, blaming_environment, finish


def serve(connection: Connection[Any, Any]) -> None:
    """Answer requests until the engine closes the pipe."""
    hosts: dict[int, InlineHost] = {}
    while True:
        try:
            method, number, *args = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer, error = _answer(hosts, method, number, args), None
        except ArenaError as failure:
            failure.add_note(traceback.format_exc())
            answer, error = None, failure
        try:
            connection.send((answer, error))
        except Exception as failure:
            connection.send((None, EnvironmentFailure(f"What {method} returned cannot be sent: {failure}")))


def _answer(hosts: dict[int, InlineHost], method: str, number: int, args: list[Any]) -> Any:
    if method == "make":
        known, params = args
        with blaming_environment(UsageError):
            hosts[number] = InlineHost(instantiate(known, params))
        return None
    if method == "close":
        return finish(hosts.pop(number).close())
    return finish(getattr(hosts[number], method)(*args))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
