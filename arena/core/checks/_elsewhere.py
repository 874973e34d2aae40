"""The same actions in a second process: no network, another clock, folder, hash seed, time zone and locale.

`python -m arena.core.checks._elsewhere` reads a script (JSON) from standard input and writes what it saw (JSON) to
standard output. An environment may print; that goes to standard error.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.core.checks._trace import Played, Seen

if TYPE_CHECKING:
    from arena.core.registry import Registration
    from arena.core.task import Task

_SHIFT = 400 * 86400 + 7 * 3600 + 11
"""Seconds by which the second process's clock is ahead."""

_CUT = ("unshare", "-rn")
"""Runs a program in a network namespace of its own, where nothing is connected."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What the second process saw.

    Attributes:
        here: the tasks and what this process saw.
        there: what the second process saw; empty if it failed.
        error: why it failed, even with the network.
        offline: why it failed without the network although it runs with it.
        uncut: why the network could not be cut off.
    """

    here: list[tuple[Task, Played]]
    there: list[tuple[Seen, ...]]
    error: str = ""
    offline: str = ""
    uncut: str = ""


@functools.cache
def uncut() -> str:
    """Why this machine cannot cut off the network for one process; the empty string where it can."""
    if shutil.which(_CUT[0]) is None:
        return "there is no `unshare` here (package util-linux)"
    done = subprocess.run([*_CUT, "true"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"`{' '.join(_CUT)}` is not allowed here: {done.stderr.strip()}"


def play_elsewhere(known: Registration, played: list[tuple[Task, Played]], timeout: float) -> Elsewhere:
    """Repeat episodes in a second process, without the network if that can be cut off here."""
    script = {
        "registration": asdict(known),
        "episodes": [{"task": task.to_json(), "actions": episode.actions} for task, episode in played],
    }
    reason = uncut()
    there, error = _ask({**script, "cut": not reason}, timeout)
    offline = ""
    if error and not reason:
        offline = error
        there, error = _ask({**script, "cut": False}, timeout)
        offline = "" if error else offline
    return Elsewhere(played, there, error, offline, reason)


def _ask(script: dict[str, Any], timeout: float) -> tuple[list[tuple[Seen, ...]], str]:
    command = [*(_CUT if script["cut"] else ()), sys.executable, "-m", __name__]
    paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path)
    hash_seed = "271828" if os.environ.get("PYTHONHASHSEED") != "271828" else "314159"
    other = {"PYTHONPATH": paths, "PYTHONHASHSEED": hash_seed, "TZ": "XST-13:45", "LC_ALL": "C", "PYTHONSAFEPATH": "1"}
    with tempfile.TemporaryDirectory(prefix="arena-elsewhere-") as folder:
        try:
            done = subprocess.run(
                command,
                input=json.dumps(script).encode(),
                capture_output=True,
                cwd=folder,
                env={**os.environ, **other},
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return [], f"no answer within {timeout:.0f} s"
    if done.returncode != 0:
        return [], f"exit code {done.returncode}: {done.stderr.decode(errors='replace')[-2000:].strip()}"
    answer = json.loads(done.stdout)
    return [tuple(Seen(**seen) for seen in episode) for episode in answer["episodes"]], answer["error"]


def _main() -> None:
    """Run the script of standard input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    script = json.load(sys.stdin)
    if script["cut"]:
        _raise_loopback()
    _shift_clock()
    episodes: list[list[dict[str, Any]]] = []
    error = ""
    try:
        for item in _episodes(script):
            episodes.append([asdict(seen) for seen in item])
    except Exception as failure:
        error = _explained(failure)
    with answers:
        json.dump({"episodes": episodes, "error": error}, answers)


def _episodes(script: dict[str, Any]) -> Sequence[tuple[Seen, ...]]:
    from arena.core import registry
    from arena.core.checks import _play
    from arena.core.task import Task

    known = script["registration"]
    registry.register(known.pop("id"), known.pop("entry_point"), **{**known, "roles": tuple(known["roles"])})
    found = []
    for item in script["episodes"]:
        task = Task(**item["task"])
        env = registry.make(task.env, **task.params)
        found.append(_play.repeat(env, task, item["actions"]))
        env.close()
    return found


def _explained(failure: Exception) -> str:
    last = traceback.extract_tb(failure.__traceback__)[-1]
    return f"{type(failure).__name__}: {failure} (in {Path(last.filename).name}, line {last.lineno}: {last.line})"


def _raise_loopback() -> None:
    """Switch 127.0.0.1 on, which a new network namespace starts without: local servers are no network."""
    get_flags, set_flags, up = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(handle, get_flags, request))[1]
        fcntl.ioctl(handle, set_flags, struct.pack("16sh14x", b"lo", flags | up))


def _shift_clock() -> None:
    """Move this process's clock ahead, before the environment's code is imported."""
    import datetime
    import time

    real_time, real_ns, real_local, real_utc = time.time, time.time_ns, time.localtime, time.gmtime
    real_format = time.strftime
    time.time = lambda: real_time() + _SHIFT
    time.time_ns = lambda: real_ns() + _SHIFT * 10**9
    time.localtime = lambda seconds=None: real_local(time.time() if seconds is None else seconds)
    time.gmtime = lambda seconds=None: real_utc(time.time() if seconds is None else seconds)

    time.strftime = lambda form, moment=None: real_format(form, time.localtime() if moment is None else moment)
    time.ctime = lambda seconds=None: time.asctime(time.localtime(seconds))

    class Later(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, cls.__mro__[1])

    class LaterDate(datetime.date, metaclass=Later):
        @classmethod
        def today(cls) -> LaterDate:
            return cls.fromtimestamp(time.time())

    class LaterDatetime(datetime.datetime, metaclass=Later):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> LaterDatetime:
            return cls.fromtimestamp(time.time(), tz)

        @classmethod
        def utcnow(cls) -> LaterDatetime:
            return cls.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> LaterDatetime:
            return cls.fromtimestamp(time.time())

    datetime.date, datetime.datetime = LaterDate, LaterDatetime  # type: ignore[misc]


if __name__ == "__main__":
    _main()
