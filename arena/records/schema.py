"""The JSON schema of an episode's record."""

from __future__ import annotations

from typing import Any

from arena.core.episode import FORMAT, Episode


def episode_schema() -> dict[str, Any]:
    """The schema of one line of a shard, as JSON Schema 2020-12."""
    schema = Episode.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "version": FORMAT, **schema}
