"""Run folders: append, read, resume, query.

run.toml             the resolved configuration, and what wrote the run
episodes/0000.jsonl.zst   one shard per writing process, one checksummed zstd frame per episode
blobs/<sha256>       images and snapshots, each once
journal/0000.jsonl   the turns of unfinished episodes
superseded.json      frames that no longer count, after a training was resumed
index.sqlite         one row per episode; rebuilt whenever it is missing, stale or damaged
summary.json         the results
log.txt              what happened
"""

from __future__ import annotations

from arena.records._config import config_difference
from arena.records._frames import Damage
from arena.records._journal import Unfinished
from arena.records.reader import Run, open_run
from arena.records.rows import Row, key_name
from arena.records.schema import episode_schema
from arena.records.withdraw import withdraw_run, withdrawn_if_refused
from arena.records.writer import RunWriter, create_run, join_run, resume_run

__all__ = [
    "Damage",
    "Row",
    "Run",
    "RunWriter",
    "Unfinished",
    "config_difference",
    "create_run",
    "episode_schema",
    "join_run",
    "key_name",
    "open_run",
    "resume_run",
    "withdraw_run",
    "withdrawn_if_refused",
]
