"""A small server that samples for a training and takes its weights, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

SERVER = Path(__file__).parents[1] / "servers" / "vllm_training.py"


@contextlib.contextmanager
def served(folder, port=0):
    """The address of a server in a process of its own, and the process."""
    command = [sys.executable, str(SERVER), str(folder), "--port", str(port), "--deterministic", "--says-version"]
    command += ["--logprobs-mode", "processed_logprobs"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())["url"].removesuffix("/v1"), process
        finally:
            process.kill()


def spec(url, **options):
    """What `sampler` is told."""
    given = {"logprob_kind": "sampled", "max_retries": 0, **options}
    return f"tokens:tiny@{url}," + ",".join(f"{name}={value}" for name, value in given.items())
