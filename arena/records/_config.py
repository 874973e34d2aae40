"""`run.toml`: the configuration a run was started with, and how two of them differ."""

from __future__ import annotations

import json
import os
import platform
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from arena.core.errors import UsageError
from arena.core.text import clean

RUN_FORMAT = 1
"""Version of the run folder's layout; newer ones are refused, older ones stay readable."""

_RECORD = "record"
_SECRET_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
_SECRET_SETTING = re.compile(r"(api_?key|password|secret|authorization|(access|auth|bearer)_?token)$", re.IGNORECASE)
_EXCERPT = 60


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write `run.toml`: the configuration, then under `[record]` what wrote it, and when."""
    import tomli_w

    settings = resolved(config)
    if _RECORD in settings:
        raise UsageError(f"A run's configuration has no section [{_RECORD}]: that name is taken by run.toml itself.")
    settings[_RECORD] = {
        "format": RUN_FORMAT,
        "arena": version("arena-gym"),
        "python": platform.python_version(),
        "created": datetime.now(UTC).replace(microsecond=0),
    }
    temporary = folder / "run.toml.new"
    temporary.write_text(tomli_w.dumps(settings))
    temporary.replace(folder / "run.toml")


def read_config(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration in `run.toml`, and its `[record]` section.

    Raises:
        UsageError: there is no run in the folder, or a newer version of Arena wrote it.
    """
    path = folder / "run.toml"
    try:
        config = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise UsageError(f"{folder} is not a run: it has no run.toml.{_runs_near(folder)}") from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error
    record = config.pop(_RECORD, {})
    if record.get("format", 0) > RUN_FORMAT:
        raise UsageError(
            f"{folder} was written by Arena {record.get('arena', '?')} in format {record['format']}; this version "
            f"reads up to {RUN_FORMAT}: upgrade it."
        )
    return config, record


def resolved(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as TOML can hold it: no None, no tuples, no paths, and no secrets.

    The value of an environment variable that looks secret becomes the variable's name.
    """
    secrets = {
        value: f"${name}" for name, value in os.environ.items() if len(value) >= 8 and _SECRET_VARIABLE.search(name)
    }
    return {str(k): _resolve(str(k), v, secrets) for k, v in config.items() if v is not None}


def _resolve(name: str, value: Any, secrets: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _resolve(str(k), v, secrets) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [_resolve(name, item, secrets) for item in items if item is not None]
    if _SECRET_SETTING.search(name):
        return "(hidden)"
    if isinstance(value, bool | int | float):
        return value
    text = clean(str(value))[0]
    for secret, variable in secrets.items():
        text = text.replace(secret, variable)
    return text


def config_difference(old: Mapping[str, Any], new: Mapping[str, Any], keys: Iterable[str] | None = None) -> list[str]:
    """How two configurations differ, one readable line per setting.

    Args:
        old: what the run was started with.
        new: what is asked for now.
        keys: the settings to compare, dotted (`agent`, `model.spec`), each with all below it; None for all.
    """
    before, now = _leaves(resolved(old)), _leaves(resolved(new))
    wanted = list(keys) if keys is not None else None
    lines = []
    for name in dict.fromkeys([*before, *now]):
        if wanted is not None and not any(name == key or name.startswith(f"{key}.") for key in wanted):
            continue
        if before.get(name) != now.get(name):
            was, is_now = _excerpts(before.get(name), now.get(name))
            lines.append(f"{name}: was {was}, is now {is_now}")
    return lines


def _leaves(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted name -> value as JSON."""
    leaves: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            leaves |= _leaves(value, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = json.dumps(value, ensure_ascii=False, default=str)
    return leaves


def _excerpts(was: str | None, now: str | None) -> tuple[str, str]:
    """Both values, long ones cut down to where they first differ."""
    if was is None or now is None or max(len(was), len(now)) <= 2 * _EXCERPT:
        return _shown(was), _shown(now)
    common = next((i for i, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now)))
    start = max(common - _EXCERPT // 3, 0)
    lead = "…" if start else ""
    return lead + _shown(was[start:]), lead + _shown(now[start:])


def _shown(text: str | None) -> str:
    if text is None:
        return "not set"
    return text if len(text) <= 2 * _EXCERPT else f"{text[: 2 * _EXCERPT]}…"


def _runs_near(folder: Path) -> str:
    """Names the runs beside or inside a folder that holds none itself."""
    for place in (folder, folder.parent):
        if found := sorted(str(path.parent) for path in place.glob("*/run.toml")):
            return f" There is: {', '.join(found[:10])}{', …' if len(found) > 10 else ''}."
    return ""
