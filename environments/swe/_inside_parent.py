"""Runs in the sandbox: starts the tests in another process, listens to them, and vouches for what it heard.

It never imports what is tested. Nobody else can read its memory or files: it is not dumpable, and the sandbox refuses
`ptrace`. It first prints the hash of a secret and at last the secret, with which the report is signed: whoever else
writes into its output cannot have chosen the one nor known the other in time. Standard library only.
"""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import json
import os
import select
import subprocess
import sys
import time

PR_SET_DUMPABLE = 4
MOST = 64 << 20


def main(folder: str) -> None:
    """Run the tests that `folder`/plan.json names."""
    if ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        sys.exit("prctl does not work here")
    secret = os.urandom(32).hex()
    _say(hashlib.sha256(secret.encode()).hexdigest())
    heard, exit_code = _listen(folder)
    report = json.dumps({"heard": heard.decode("utf-8", "replace"), "exit_code": exit_code})
    signature = hmac.new(secret.encode(), report.encode(), hashlib.sha256).hexdigest()
    _say(f"{secret}\n{report}\n{signature}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _listen(folder: str) -> tuple[bytes, int]:
    """What the tests' process wrote while it ran; processes that outlive it are not heard."""
    ear, mouth = os.pipe()
    command = [sys.executable, "-I", "-S", "-B", f"{folder}/child.py", folder, str(mouth)]
    child = subprocess.Popen(
        command, pass_fds=[mouth], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(mouth)
    os.set_blocking(ear, False)
    heard = bytearray()
    while True:
        ended = child.poll() is not None
        select.select([ear], [], [], 0 if ended else 0.02)
        more = _read(ear)
        heard += more[: MOST - len(heard)]
        if not more and ended:
            return bytes(heard), child.returncode
        if not more:
            time.sleep(0.002)


def _read(file: int) -> bytes:
    try:
        return os.read(file, 1 << 16)
    except BlockingIOError:
        return b""


if __name__ == "__main__":
    main(sys.argv[1])
