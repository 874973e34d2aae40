"""Writes what test_golden.py reads. The files are kept for ever, so that what is written today stays readable.

    python tests/records/make_golden.py schema   # after the record gained a field
    python tests/records/make_golden.py run      # once per format of run folders; refuses to replace one

A field may be added (with a default). When one goes or changes its meaning, raise `FORMAT` in
arena/core/episode.py first: the files of the old format stay, and must still be read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from record_examples import conversation_episode, examples, image

from arena.core.episode import FORMAT, Episode
from arena.core.outcome import Outcome
from arena.records import create_run, episode_schema, open_run, resume_run
from arena.records._config import RUN_FORMAT

GOLDEN = Path(__file__).parent / "golden"
SCHEMA = GOLDEN / f"episode-schema-{FORMAT}.json"


def without_prose(schema: Any) -> Any:
    """The schema without what does not bind: titles and descriptions of models and fields."""
    if isinstance(schema, list):
        return [without_prose(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    prose = {key for key in ("title", "description") if isinstance(schema.get(key), str)}
    return {key: without_prose(value) for key, value in schema.items() if key not in prose}


def write_schema() -> None:
    """The schema of today's record."""
    GOLDEN.mkdir(exist_ok=True)
    SCHEMA.write_text(json.dumps(without_prose(episode_schema()), indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_run(folder: Path) -> None:
    """A run with two shards, an unfinished episode, an older attempt, superseded episodes, images and a torn tail."""
    config = {"suite": {"name": "golden", "hash": "0123456789abcdef"}, "agent": {"spec": "chat"}, "seed": 0}
    with create_run(folder, config) as writer:
        for episode in examples():
            writer.append(episode)
        writer.append(conversation_episode(1, outcome=Outcome.INFRASTRUCTURE_ERROR, score=None, success=None))
        checkpoint = writer.offsets()
        writer.append(conversation_episode(2))
        for shade in (10, 20):
            writer.blob(image(shade))
        open_one = conversation_episode(8)
        writer.journal_start(open_one.key, open_one.model_dump(include={"task", "seed", "agents", "briefs"}))
        writer.journal(open_one.key, open_one.turns[0], open_one.messages)
    with resume_run(folder, config) as writer:
        writer.supersede_after(checkpoint)
        writer.append(conversation_episode(1, attempt=1))
        writer.write_summary({"score": 0.5})
        shard = folder / "episodes" / "0001.jsonl.zst"
        writer.sync()
        with shard.open("ab") as file:
            file.write(shard.read_bytes()[:50])
    (folder / "run.lock").unlink()
    (folder / "index.sqlite").unlink(missing_ok=True)


def write_expected(folder: Path) -> None:
    """Beside the run, what reading it gave on the day it was written."""
    with open_run(folder) as run:
        rows = [{**row._asdict(), "name": row.name} for row in run.rows(latest=False)]
        lines = [json.loads(episode.model_dump_json()) for episode in run.episodes(latest=False)]
    expected = {"rows": rows, "episodes": lines}
    (folder / "index.sqlite").unlink()
    folder.with_suffix(".json").write_text(json.dumps(expected, indent=1, allow_nan=False) + "\n")


def main() -> None:
    """See the module's docstring."""
    what = sys.argv[1:]
    if what == ["schema"]:
        write_schema()
    elif what == ["run"]:
        folder = GOLDEN / f"run-format-{RUN_FORMAT}"
        if folder.exists():
            sys.exit(f"{folder} is kept as it is. Raise RUN_FORMAT in arena/records/_config.py to write another.")
        write_run(folder)
        write_expected(folder)
    else:
        sys.exit(__doc__)


__all__ = ["GOLDEN", "SCHEMA", "Episode", "without_prose"]

if __name__ == "__main__":
    main()
